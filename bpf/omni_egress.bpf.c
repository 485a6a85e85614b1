// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * XDP on omni0x: a frame that this host sends into the overlay.
 *
 *   1. ARP and ND questions are answered here.
 *   2. The destination MAC leads to a peer, the peer to an endpoint and a session.
 *   3. No session: up to the agent, which makes one and sends the frame again.
 *   4. Way out, outer headers, next counter, seal, redirect to the underlay.
 */
#include "lib/aead.h"
#include "lib/encap.h"
#include "lib/neigh.h"
#include "lib/path_order.h"
#include "lib/session.h"

/* Takes the next counter; 0: they are used up. */
static __always_inline int next_counter(struct session_entry *session, __u64 *counter)
{
	if (session->tx_counter >= SESSION_MAX_COUNTER)
		return 0;
	*counter = __sync_fetch_and_add(&session->tx_counter, 1);
	return 1;
}

/* Writes the header and seals the packet. Returns OMNI_DROP_NONE or a reason. */
static __always_inline int seal(struct xdp_md *ctx, struct session_entry *session, const __u64 *id)
{
	struct omni_header *header = (void *)(long)ctx->data + OMNI_OUTER_IPV4;
	struct chacha20 cipher;
	__u64 counter;

	if ((void *)(header + 1) > (void *)(long)ctx->data_end)
		return OMNI_DROP_INTERNAL;
	/* The key before the counter: session_holds() wants an atomic operation in between. */
	chacha20_init(&cipher, session->tx_key, 0);
	header->session_id = session->remote_id;
	if (!next_counter(session, &counter))
		return OMNI_DROP_COUNTER_EXHAUSTED;
	chacha20_set_counter(&cipher, counter);
	header->counter = counter;
	if (!session_holds(id, session))
		return OMNI_DROP_SESSION_UNKNOWN;
	return aead_seal(ctx, &cipher, AEAD_AAD_LEN) == AEAD_OK ? OMNI_DROP_NONE : OMNI_DROP_INTERNAL;
}

/* A path message is none of the data that a peer must answer to: the way that it takes may lead nowhere. */
static __always_inline void count_sent(struct session_entry *session, __u32 inner_length, int order, __u64 now_ns)
{
	session->tx_last_ns = now_ns;
	if (inner_length) {
		if (order == PATH_ORDER_NONE)
			session->tx_data_last_ns = now_ns;
		__sync_fetch_and_add(&session->tx_bytes, inner_length);
		stat_add(OMNI_STAT_TX_BYTES, inner_length);
	}
	stat_add(OMNI_STAT_TX_PACKETS, 1);
}

/* Where to send; NULL: nobody knows. */
static __always_inline const struct omni_endpoint *endpoint_for(__u64 peer, int order)
{
	struct peer_entry *entry = bpf_map_lookup_elem(&peer_map, &peer);
	const struct omni_endpoint *endpoint;

	if (!entry)
		return NULL;
	endpoint = order == PATH_ORDER_MESSAGE	      ? path_via() :
		   entry->flags & OMNI_PEER_ENDPOINT ? &entry->endpoint :
						       NULL;
	return endpoint && encap_possible(endpoint) ? endpoint : NULL;
}

/* `order`: enum path_order; a keepalive leaves the frame off. */
static __always_inline int send_to_peer(struct xdp_md *ctx, __u64 peer, __u32 inner_length, int order)
{
	const struct omni_endpoint *endpoint = endpoint_for(peer, order);
	struct session_entry *session;
	struct encap_route route = {};
	__u64 id = 0, now_ns;
	int reason;

	if (!endpoint)
		return drop(OMNI_DROP_NO_ENDPOINT);
	now_ns = bpf_ktime_get_boot_ns();
	session = session_for_sending(peer, now_ns, &id);
	if (!session) {
		if (order != PATH_ORDER_NONE)
			return drop(OMNI_DROP_PATH);
		stat_add(OMNI_STAT_QUEUED, 1);
		return XDP_PASS;
	}
	session_check_rekey(session, id, now_ns);

	if (order == PATH_ORDER_KEEPALIVE)
		inner_length = 0;
	reason = encap_find_way(ctx, endpoint, inner_length, &route);
	if (!reason)
		reason = encap_grow(ctx, inner_length);
	if (!reason)
		reason = seal(ctx, session, &id);
	if (!reason)
		reason = encap_write(ctx, endpoint, &route, inner_length);
	if (reason)
		return drop(reason);
	count_sent(session, inner_length, order, now_ns);
	return encap_send(ctx, &route);
}

SEC("xdp")
int omni_egress(struct xdp_md *ctx)
{
	struct ethhdr *eth = (void *)(long)ctx->data;
	__u32 length = packet_length(ctx);
	struct fdb_key key = {};
	struct fdb_entry *forward;
	int verdict, order = PATH_ORDER_NONE;

	if (length < ETH_HLEN || length > OMNI_MAX_FRAME)
		return drop(OMNI_DROP_FRAME_MALFORMED);
	if (config.arp_suppression) {
		verdict = neigh_answer(ctx);
		if (verdict != NEIGH_NOT_ASKED)
			return verdict;
		eth = (void *)(long)ctx->data;
	}
	if ((void *)(eth + 1) > (void *)(long)ctx->data_end)
		return drop(OMNI_DROP_FRAME_MALFORMED);
	if (eth->h_dest[0] & 1)
		return drop(OMNI_DROP_MULTICAST);

	mac_copy(key.mac, eth->h_dest);
	forward = bpf_map_lookup_elem(&fdb_map, &key);
	if (!forward || !forward->peer)
		return drop(OMNI_DROP_FDB_MISS);
	if (eth->h_proto == bpf_htons(OMNI_ETHERTYPE_PATH))
		order = path_read_order(ctx, length, forward->peer);
	if (order == PATH_ORDER_INVALID)
		return drop(OMNI_DROP_PATH);
	return send_to_peer(ctx, forward->peer, length, order);
}

char _license[] SEC("license") = "Dual BSD/GPL";
