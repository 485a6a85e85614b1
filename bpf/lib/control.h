/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Handshake messages on their way to the agent's socket: shape, membership,
 * rate. docs/protocol.md
 *
 *   0 | type | version | reserved | ... | mac1 (16) | mac2 (16)
 */
#ifndef OMNI_CONTROL_H
#define OMNI_CONTROL_H

#include "blake2s.h"
#include "ratelimit.h"
#include "underlay.h"

/* From a message's end. */
#define MAC1_OFFSET 32

/* The exact length of a message of this type, or 0: we accept none such. */
static __always_inline __u32 control_length(__u8 type)
{
	switch (type) {
	case OMNI_CONTROL_INITIATION:
		return OMNI_INITIATION_LEN;
	case OMNI_CONTROL_RESPONSE:
		return OMNI_RESPONSE_LEN;
	default:
		return 0;
	}
}

_Static_assert(OMNI_INITIATION_LEN - MAC1_OFFSET == 2 * BLOCK_LEN, "mac1 covers two blocks of an initiation");
_Static_assert(OMNI_RESPONSE_LEN - MAC1_OFFSET == BLOCK_LEN + QUARTER_LEN, "and 80 bytes of a response");

/* mac1: BLAKE2s-128 of what precedes it, under `key`. */
static __noinline int control_mac1_valid(struct xdp_md *ctx, const struct datagram *datagram, const __u8 *key)
{
	struct span message = packet_from(ctx, datagram->payload);
	struct blake2s hash;
	struct block scratch;

	blake2s_init_keyed(&hash, key, &scratch);
	if (datagram->length == OMNI_INITIATION_LEN) {
		if (message.at + OMNI_INITIATION_LEN > message.end)
			return 0;
		blake2s_compress(&hash, message.at, BLOCK_LEN);
		hash.final = ~0U;
		blake2s_compress(&hash, message.at + BLOCK_LEN, BLOCK_LEN);
		return quarter_equal((struct quarter *)hash.h, message.at + OMNI_INITIATION_LEN - MAC1_OFFSET);
	}
	if (message.at + OMNI_RESPONSE_LEN > message.end)
		return 0;
	blake2s_compress(&hash, message.at, BLOCK_LEN);
	scratch = (struct block){};
	*(struct quarter *)&scratch = *(struct quarter *)(message.at + BLOCK_LEN);
	hash.final = ~0U;
	blake2s_compress(&hash, &scratch, QUARTER_LEN);
	return quarter_equal((struct quarter *)hash.h, message.at + OMNI_RESPONSE_LEN - MAC1_OFFSET);
}

/* Whether the sender knows a key that only members can know. More than one is there, and is tried, while keys change. */
static __always_inline int control_authentic(struct xdp_md *ctx, const struct datagram *datagram)
{
	__u32 zero = 0;
	const struct gate_entry *gate = bpf_map_lookup_elem(&gate_map, &zero);

	if (!gate)
		return 0;
#pragma unroll
	for (__u32 i = 0; i < OMNI_MAC1_KEYS; i++) {
		if (i >= gate->mac1_count)
			return 0;
		if (control_mac1_valid(ctx, datagram, gate->mac1_keys + 32 * i))
			return 1;
	}
	return 0;
}

/* The verdict on a datagram whose session id is 0. */
static __always_inline int control_verdict(struct xdp_md *ctx, const struct datagram *datagram)
{
	struct span message = packet_from(ctx, datagram->payload);
	struct omni_control_header *header = message.at;
	struct omni_address source;
	__u8 type;

	if ((void *)(header + 1) > message.end)
		return underlay_refuse(ctx, OMNI_DROP_TRUNCATED);
	type = header->type;
	if (datagram->length != control_length(type) || header->version != OMNI_PROTOCOL_CLASSIC ||
	    header->reserved[0] | header->reserved[1] | header->reserved[2] | header->reserved[3] |
	    header->reserved[4] | header->reserved[5])
		return underlay_refuse(ctx, OMNI_DROP_CONTROL_INVALID);
	if (!control_authentic(ctx, datagram))
		return underlay_refuse(ctx, OMNI_DROP_MAC1);

	source = address_is_ipv4(&datagram->source) ? datagram->source : address_prefix64(&datagram->source);
	if (type == OMNI_CONTROL_INITIATION &&
	    !ratelimit_take(&source, config.new_sessions_per_second, bpf_ktime_get_boot_ns()))
		return drop(OMNI_DROP_RATELIMIT);
	stat_add(OMNI_STAT_CONTROL_PASSED, 1);
	return XDP_PASS;
}

#endif /* OMNI_CONTROL_H */
