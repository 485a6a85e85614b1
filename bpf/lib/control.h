/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Handshake messages on their way to the agent's socket. docs/protocol.md
 *
 *   0 | type | version | reserved | ... | mac1 (16) | mac2 (16)
 *
 * What costs least comes first: shape, membership (mac1), and then who is
 * welcome. An initiation pays from its source's bucket, and, unless mac2 proves
 * that the source is where it says, from one that all sources share. An answer
 * must be to an initiation of ours. Of a cookie reply that is all that can be
 * asked here: who sends one has not looked whom the initiation is by, so its
 * mac1 is under the sender's key and not under ours.
 */
#ifndef OMNI_CONTROL_H
#define OMNI_CONTROL_H

#include "mac.h"
#include "ratelimit.h"
#include "underlay.h"

/* Where an answer repeats the sender id of the initiation that it is to. */
#define RESPONSE_RECEIVER 24
#define COOKIE_RECEIVER 16

/* The exact length of a message of this type and version, or 0: we accept none such. */
static __always_inline __u32 control_length(__u8 type, __u8 version)
{
	int hybrid = version == OMNI_PROTOCOL_HYBRID;

	if (version != OMNI_PROTOCOL_CLASSIC && !hybrid)
		return 0;
	switch (type) {
	case OMNI_CONTROL_INITIATION:
		return hybrid ? OMNI_HYBRID_INITIATION_LEN : OMNI_INITIATION_LEN;
	case OMNI_CONTROL_RESPONSE:
		return hybrid ? OMNI_HYBRID_RESPONSE_LEN : OMNI_RESPONSE_LEN;
	case OMNI_CONTROL_COOKIE:
		return OMNI_COOKIE_LEN;
	default:
		return 0;
	}
}

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

/* OMNI_DROP_NONE, or why the initiation does not pass. */
static __always_inline int control_initiation(const struct datagram *datagram, int proven, __u64 now_ns)
{
	struct omni_address source = ratelimit_source(&datagram->source, proven);
	struct omni_address everybody = ratelimit_everybody(RATELIMIT_INITIATIONS);

	if (!ratelimit_take(&source, config.new_sessions_per_second, now_ns))
		return OMNI_DROP_RATELIMIT;
	if (!proven && !ratelimit_take(&everybody, OMNI_UNPROVEN_PER_SECOND, now_ns))
		return OMNI_DROP_OVERLOAD;
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

static __always_inline int control_pass(void)
{
	stat_add(OMNI_STAT_CONTROL_PASSED, 1);
	return XDP_PASS;
}

/*
 * Whoever sees an initiation can make what looks like a cookie reply to it, as
 * many as they like: the agent is asked to look at so many.
 */
static __always_inline int control_cookie_verdict(struct xdp_md *ctx, const struct datagram *datagram, __u64 now_ns)
{
	struct omni_address everybody = ratelimit_everybody(RATELIMIT_COOKIES);

	if (!control_expected(ctx, datagram->payload + COOKIE_RECEIVER, now_ns))
		return underlay_refuse(ctx, OMNI_DROP_UNEXPECTED);
	if (!ratelimit_take(&everybody, OMNI_UNPROVEN_PER_SECOND, now_ns))
		return drop(OMNI_DROP_OVERLOAD);
	return control_pass();
}

/* The verdict on a datagram whose session id is 0. */
static __always_inline int control_verdict(struct xdp_md *ctx, const struct datagram *datagram)
{
	struct span message = packet_from(ctx, datagram->payload);
	struct omni_control_header *header = message.at;
	const struct gate_entry *gate;
	struct mac_input input = {};
	__u64 now_ns;
	__u32 zero = 0;
	int reason;
	__u8 type;

	if ((void *)(header + 1) > message.end)
		return underlay_refuse(ctx, OMNI_DROP_TRUNCATED);
	type = header->type;
	if (datagram->length != control_length(type, header->version) ||
	    header->reserved[0] | header->reserved[1] | header->reserved[2] | header->reserved[3] |
	    header->reserved[4] | header->reserved[5])
		return underlay_refuse(ctx, OMNI_DROP_CONTROL_INVALID);

	now_ns = bpf_ktime_get_boot_ns();
	if (type == OMNI_CONTROL_COOKIE)
		return control_cookie_verdict(ctx, datagram, now_ns);
	input.message = datagram->payload;
	input.mac1 = datagram->payload + datagram->length - MAC1_FROM_END;
	input.covered = type == OMNI_CONTROL_INITIATION ? OMNI_INITIATION_COVERED : OMNI_RESPONSE_COVERED;
	gate = bpf_map_lookup_elem(&gate_map, &zero);
	if (!gate || !control_member(ctx, gate, &input))
		return underlay_refuse(ctx, OMNI_DROP_MAC1);

	if (type == OMNI_CONTROL_INITIATION)
		reason = control_initiation(datagram, control_proven(ctx, gate, datagram, &input), now_ns);
	else
		reason = control_expected(ctx, datagram->payload + RESPONSE_RECEIVER, now_ns) ? OMNI_DROP_NONE :
												OMNI_DROP_UNEXPECTED;
	return reason ? drop(reason) : control_pass();
}

#endif /* OMNI_CONTROL_H */
