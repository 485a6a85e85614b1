/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Handshake messages on their way to the agent's socket. docs/protocol.md
 *
 *   0 | type | version | reserved | ... | mac1 (16) | mac2 (16)
 *
 * The cheapest checks come first: shape, membership (mac1), a socket that
 * listens, an initiation that was not seen before, and the allowances. A source
 * is charged for what it proved (mac2) alone: anybody can send in its name.
 * A response or cookie reply must be to an initiation of ours. mac1 of a cookie
 * reply is under its sender's key, since the sender has not looked whom the
 * initiation is by, so it cannot be checked here.
 *
 * Each message that passes leaves a ticket: the filter on the agent's socket
 * (omni_socket.bpf.c) lets nothing in that has none.
 */
#ifndef OMNI_CONTROL_H
#define OMNI_CONTROL_H

#include "control_header.h"
#include "mac.h"
#include "ratelimit.h"
#include "underlay.h"

/* Where an answer repeats the sender id of the initiation that it is to. */
#define RESPONSE_RECEIVER 24
#define COOKIE_RECEIVER 16

/* Whether the sender knows a key that only members can know. More than one is there, and is tried, while keys change. */
static __always_inline int control_member(struct xdp_md *ctx, const struct gate_entry *gate, struct mac_input *input)
{
	for (__u32 i = 0; i < OMNI_MAC1_KEYS; i++) {
		if (i >= gate->mac1_count)
			return 0;
		mac_key(input, gate->mac1_keys + MAC_KEY_LEN * i);
		if (mac1_valid(ctx, input))
			return 1;
	}
	return 0;
}

/* Whether mac2 shows that the sender receives what is sent to the datagram's source: it has a cookie of ours for it. */
static __always_inline int control_proven(struct xdp_md *ctx, const struct gate_entry *gate,
					  const struct datagram *datagram, struct mac_input *input)
{
	struct omni_address source = datagram->source;

	if (mac2_is_zero(ctx, input))
		return 0;
	for (__u32 i = 0; i < OMNI_COOKIE_SECRETS; i++) {
		if (i >= gate->cookie_count)
			return 0;
		mac_key(input, gate->cookie_secrets + MAC_KEY_LEN * i);
		if (mac_cookie(input, &source, datagram->source_port))
			return 0;
		if (mac2_valid(ctx, input))
			return 1;
	}
	return 0;
}

/*
 * Whether a socket listens on our port. Without one the stack would answer with
 * an ICMP error, and tell a stranger that somebody is here.
 */
static __noinline int control_agent_listens(struct xdp_md *ctx, const struct datagram *datagram)
{
	struct bpf_sock_tuple tuple = {};
	struct bpf_sock *socket;
	__u32 size;

	if (address_is_ipv4(&datagram->source)) {
		tuple.ipv4.saddr = address_ipv4(&datagram->source);
		tuple.ipv4.daddr = address_ipv4(&datagram->destination);
		tuple.ipv4.sport = datagram->source_port;
		tuple.ipv4.dport = datagram->destination_port;
		size = sizeof(tuple.ipv4);
	} else {
		__builtin_memcpy(tuple.ipv6.saddr, &datagram->source, sizeof(tuple.ipv6.saddr));
		__builtin_memcpy(tuple.ipv6.daddr, &datagram->destination, sizeof(tuple.ipv6.daddr));
		tuple.ipv6.sport = datagram->source_port;
		tuple.ipv6.dport = datagram->destination_port;
		size = sizeof(tuple.ipv6);
	}
	socket = bpf_sk_lookup_udp(ctx, &tuple, size, BPF_F_CURRENT_NETNS, 0);
	if (!socket)
		return 0;
	bpf_sk_release(socket);
	return 1;
}

/* Whether a source completed a handshake lately. */
static __always_inline int control_known(const struct omni_address *source, __u64 now_ns)
{
	struct omni_address key = address_is_ipv4(source) ? *source : address_prefix64(source);
	const __u64 *known_ns = bpf_map_lookup_elem(&known_map, &key);

	return known_ns && now_ns - *known_ns < OMNI_KNOWN_NS;
}

/* OMNI_DROP_NONE, or why an initiation that proved its source does not pass. */
static __noinline int control_charge_proven(const struct datagram *datagram, __u64 now_ns)
{
	int known = control_known(&datagram->source, now_ns);
	struct omni_address share = ratelimit_everybody(known ? RATELIMIT_KNOWN : RATELIMIT_PROVEN);

	if (!ratelimit_take_source(&datagram->source, config.new_sessions_per_second, now_ns))
		return OMNI_DROP_RATELIMIT;
	return ratelimit_take(&share, known ? OMNI_KNOWN_PER_SECOND : OMNI_PROVEN_PER_SECOND, now_ns) ?
		       OMNI_DROP_NONE :
		       OMNI_DROP_OVERLOAD;
}

/*
 * OMNI_DROP_NONE, or why the initiation does not pass. One that came from the
 * same source before is dropped before anybody pays: whoever recorded it could
 * use up the allowances of the node that made it. The same initiation with
 * proof is another one, since the agent answered the first with a cookie.
 */
static __noinline int control_initiation(const struct datagram *datagram, const struct seen_key *seen, int proven,
					 __u64 now_ns)
{
	struct omni_address everybody = ratelimit_everybody(RATELIMIT_INITIATIONS);
	int reason;

	if (proven ? !!bpf_map_lookup_elem(&seen_proven_map, seen) : !!bpf_map_lookup_elem(&seen_map, seen))
		return OMNI_DROP_RECORDED;
	if (proven) {
		reason = control_charge_proven(datagram, now_ns);
		if (!reason)
			bpf_map_update_elem(&seen_proven_map, seen, &now_ns, BPF_ANY);
		return reason;
	}
	if (!ratelimit_take(&everybody, OMNI_UNPROVEN_PER_SECOND, now_ns))
		return OMNI_DROP_OVERLOAD;
	bpf_map_update_elem(&seen_map, seen, &now_ns, BPF_ANY);
	return OMNI_DROP_NONE;
}

/* Whether a response or a cookie reply is to an initiation of ours that is under way. */
static __always_inline int control_expected(struct xdp_md *ctx, __u32 receiver_at, __u64 now_ns)
{
	struct span receiver = packet_from(ctx, receiver_at);
	struct pending_entry *pending;
	__u64 id;

	if (receiver.at + sizeof(id) > receiver.end)
		return 0;
	id = *(__u64 *)receiver.at;
	pending = bpf_map_lookup_elem(&pending_map, &id);
	return pending && now_ns < pending->expires_ns;
}

/* OMNI_DROP_NONE, or why a response or a cookie reply does not pass. `receiver_at`: where it names our initiation. */
static __always_inline int control_answer(struct xdp_md *ctx, __u32 receiver_at, enum ratelimit_shared bucket,
					  __u32 rate, __u64 now_ns)
{
	struct omni_address everybody = ratelimit_everybody(bucket);

	if (!control_expected(ctx, receiver_at, now_ns))
		return OMNI_DROP_UNEXPECTED;
	/* An observer of an initiation can make as many answers to it as they like. */
	return ratelimit_take(&everybody, rate, now_ns) ? OMNI_DROP_NONE : OMNI_DROP_OVERLOAD;
}

/* Hands the message to the agent's socket, with a ticket. */
static __always_inline int control_pass(const __u8 *mac1, __u64 now_ns)
{
	struct ticket_key ticket;

	__builtin_memcpy(ticket.mac1, mac1, sizeof(ticket.mac1));
	if (bpf_map_update_elem(&ticket_map, &ticket, &now_ns, BPF_ANY))
		return drop(OMNI_DROP_INTERNAL);
	stat_add(OMNI_STAT_CONTROL_PASSED, 1);
	return XDP_PASS;
}

/* The verdict on a datagram whose session id is 0. */
static __always_inline int control_verdict(struct xdp_md *ctx, const struct datagram *datagram)
{
	struct span message = packet_from(ctx, datagram->payload);
	struct omni_control_header *header = message.at;
	const struct gate_entry *gate;
	struct mac_input input = {};
	struct seen_key seen = {};
	__u64 now_ns;
	__u32 zero = 0;
	int reason;
	__u8 type;

	if ((void *)(header + 1) > message.end)
		return underlay_refuse(ctx, OMNI_DROP_TRUNCATED);
	type = header->type;
	if (datagram->length != control_length(header) || !control_reserved_zero(header))
		return underlay_refuse(ctx, OMNI_DROP_CONTROL_INVALID);

	now_ns = bpf_ktime_get_boot_ns();
	input.message = datagram->payload;
	input.mac1 = datagram->payload + datagram->length - MAC1_FROM_END;
	if (mac1_read(ctx, input.mac1, seen.mac1))
		return drop(OMNI_DROP_INTERNAL);
	if (type == OMNI_CONTROL_COOKIE) {
		reason = control_answer(ctx, datagram->payload + COOKIE_RECEIVER, RATELIMIT_COOKIES,
					OMNI_UNPROVEN_PER_SECOND, now_ns);
		if (reason == OMNI_DROP_UNEXPECTED)
			return underlay_refuse(ctx, reason);
		if (!reason && !control_agent_listens(ctx, datagram))
			reason = OMNI_DROP_NO_AGENT;
		return reason ? drop(reason) : control_pass(seen.mac1, now_ns);
	}
	input.covered = type == OMNI_CONTROL_INITIATION ? OMNI_INITIATION_COVERED : OMNI_RESPONSE_COVERED;
	gate = bpf_map_lookup_elem(&gate_map, &zero);
	if (!gate || !control_member(ctx, gate, &input))
		return underlay_refuse(ctx, OMNI_DROP_MAC1);
	if (!control_agent_listens(ctx, datagram))
		return drop(OMNI_DROP_NO_AGENT);

	if (type == OMNI_CONTROL_INITIATION) {
		seen.source = datagram->source;
		reason = control_initiation(datagram, &seen, control_proven(ctx, gate, datagram, &input), now_ns);
	} else {
		reason = control_answer(ctx, datagram->payload + RESPONSE_RECEIVER, RATELIMIT_RESPONSES,
					OMNI_RESPONSES_PER_SECOND, now_ns);
	}
	return reason ? drop(reason) : control_pass(seen.mac1, now_ns);
}

#endif /* OMNI_CONTROL_H */
