/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A data datagram's way in: session, replay window (a hint), tag, replay
 * window, text, sender, where it came from, omni0.
 */
#ifndef OMNI_RECEIVE_H
#define OMNI_RECEIVE_H

#include "aead.h"
#include "inner.h"
#include "path.h"
#include "refuse.h"
#include "replay.h"
#include "session.h"
#include "underlay.h"

/* What is known of a datagram once its header was read. */
struct receipt {
	__u64 id;
	__u64 counter;
	__u64 now_ns;
	__u64 expires_ns;	/* of the session, as it was found */
	__u64 peer;		/* the session's; known once the datagram is accepted */
	__u32 reason;		/* OMNI_DROP_*: why data_find() found none */
};

/*
 * Cuts off what lies before and behind the datagram: what IPv6's header is
 * longer than IPv4's, so that lib/aead.h finds every text at one offset, and
 * Ethernet padding. From here on the packet is nothing for the stack. Returns
 * 0, or -1.
 */
static __always_inline int trim(struct xdp_md *ctx, const struct datagram *datagram)
{
	int surplus;

	if (datagram->payload != UNDERLAY_PAYLOAD_IPV4 &&
	    bpf_xdp_adjust_head(ctx, UNDERLAY_PAYLOAD_IPV6 - UNDERLAY_PAYLOAD_IPV4))
		return -1;
	surplus = packet_length(ctx) - UNDERLAY_PAYLOAD_IPV4 - datagram->length;
	return surplus > 0 && bpf_xdp_adjust_tail(ctx, -surplus) ? -1 : 0;
}

/* Verifies the tag with the session's key; the cipher is ready to decrypt afterwards. */
static __always_inline int authenticate(struct xdp_md *ctx, const struct session_entry *session, __u64 counter,
					struct chacha20 *cipher)
{
	chacha20_init(cipher, session->rx_key, counter);
	return aead_verify(ctx, cipher, AEAD_AAD_LEN);
}

/*
 * Accepts an authentic datagram's counter, once, if the row is still that of
 * the session whose key it was authenticated with (lib/session.h). Returns
 * OMNI_DROP_NONE or a reason.
 */
static __noinline int accept(struct session_entry *session, struct receipt *receipt, __u32 inner_length)
{
	__u64 counter = receipt->counter, now_ns = receipt->now_ns, expires_ns = receipt->expires_ns;
	int reason = OMNI_DROP_NONE;

	bpf_spin_lock(&session->lock);
	if (session->expires_ns != expires_ns) {
		reason = OMNI_DROP_SESSION_UNKNOWN;
	} else if (!replay_fresh(session, counter)) {
		reason = OMNI_DROP_REPLAY;
	} else {
		replay_accept(session, counter);
		session->rx_packets++;
		session->rx_bytes += inner_length;
		session->rx_last_ns = now_ns;
	}
	receipt->peer = session->peer;
	bpf_spin_unlock(&session->lock);
	return reason;
}

/* Authenticates, checks for replay, decrypts. Returns OMNI_DROP_NONE or a reason. */
static __always_inline int open(struct xdp_md *ctx, struct session_entry *session, struct receipt *receipt,
				__u32 inner_length)
{
	struct chacha20 cipher;
	int reason;

	if (authenticate(ctx, session, receipt->counter, &cipher) != AEAD_OK)
		return OMNI_DROP_AUTH;
	reason = accept(session, receipt, inner_length);
	if (reason)
		return reason;
	return aead_decrypt(ctx, &cipher) == AEAD_OK ? OMNI_DROP_NONE : OMNI_DROP_INTERNAL;
}

static __always_inline void count_received(__u32 inner_length)
{
	stat_add(OMNI_STAT_RX_PACKETS, 1);
	if (inner_length)
		stat_add(OMNI_STAT_RX_BYTES, inner_length);
}

/* Hands the frame inside to omni0, a path message to the agent: the latter is no sign that traffic moved. */
static __always_inline int deliver(struct xdp_md *ctx, const struct datagram *datagram, struct session_entry *session,
				   const struct receipt *receipt, __u32 inner_length)
{
	struct ethhdr *eth;
	int reason;

	if (inner_length < ETH_HLEN)
		return refuse(receipt->peer, OMNI_DROP_INNER_MALFORMED);
	reason = inner_check(ctx, receipt->peer);
	if (reason == INNER_PATH) {
		reason = path_receive(ctx, datagram, receipt->id, receipt->peer, receipt->now_ns);
		if (reason)
			return refuse(receipt->peer, reason);
		count_received(inner_length);
		return XDP_DROP;
	}
	if (reason != INNER_FRAME)
		return refuse(receipt->peer, reason);
	session->rx_data_last_ns = receipt->now_ns;
	path_check(datagram, receipt->id, receipt->peer, receipt->now_ns);
	if (bpf_xdp_adjust_head(ctx, OMNI_OVERHEAD_IPV4))
		return drop(OMNI_DROP_INTERNAL);
	eth = (void *)(long)ctx->data;
	if ((void *)(eth + 1) > (void *)(long)ctx->data_end)
		return drop(OMNI_DROP_INTERNAL);
	inner_readdress(eth);
	count_received(inner_length);
	return bpf_redirect(config.ifindex_outer, 0);
}

/*
 * Finds the datagram's session, NULL if it has none that may open it. Then
 * `receipt->reason` says why.
 */
static __always_inline struct session_entry *data_find(struct xdp_md *ctx, const struct datagram *datagram,
							struct receipt *receipt)
{
	struct span message = packet_from(ctx, datagram->payload);
	struct omni_header *header = message.at;
	struct session_entry *session;

	receipt->reason = OMNI_DROP_TRUNCATED;
	if ((void *)(header + 1) > message.end || datagram->length < sizeof(*header) ||
	    datagram->length > sizeof(*header) + OMNI_MAX_FRAME)
		return NULL;
	receipt->id = header->session_id;
	receipt->counter = header->counter;

	receipt->reason = OMNI_DROP_SESSION_UNKNOWN;
	session = bpf_map_lookup_elem(&session_map, &receipt->id);
	if (!session)
		return NULL;
	receipt->now_ns = bpf_ktime_get_boot_ns();
	receipt->expires_ns = *(volatile __u64 *)&session->expires_ns;
	if (receipt->now_ns >= receipt->expires_ns) {
		session_wipe(session, receipt->now_ns);
		receipt->reason = OMNI_DROP_SESSION_EXPIRED;
		return NULL;
	}
	receipt->reason = OMNI_DROP_REPLAY;
	return replay_fresh(session, receipt->counter) ? session : NULL;
}

/* Opens the datagram and hands on what is inside. Returns a verdict. */
static __always_inline int data_open(struct xdp_md *ctx, const struct datagram *datagram, struct session_entry *session,
				     struct receipt *receipt)
{
	__u32 inner_length = datagram->length - sizeof(struct omni_header);
	int reason;

	if (trim(ctx, datagram))
		return drop(OMNI_DROP_INTERNAL);
	reason = open(ctx, session, receipt, inner_length);
	if (reason)
		return drop(reason);
	session_check_confirm(session, receipt->id);
	session_check_last_call(session, receipt->id, receipt->now_ns);
	if (inner_length)
		return deliver(ctx, datagram, session, receipt, inner_length);
	path_check(datagram, receipt->id, receipt->peer, receipt->now_ns);
	count_received(0);
	return XDP_DROP;
}

#endif /* OMNI_RECEIVE_H */
