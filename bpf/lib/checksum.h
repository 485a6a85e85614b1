/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The internet checksum (RFC 1071) over part of a packet. */
#ifndef OMNI_CHECKSUM_H
#define OMNI_CHECKSUM_H

#include "packet.h"

#define CHECKSUM_CHUNK 512	/* bpf_csum_diff takes no more before Linux 6.13 */
#define CHECKSUM_CHUNKS 8	/* a packet is shorter than 4 KiB */

static __always_inline __u32 checksum_fold(__u64 sum)
{
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16 & 0xffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16);
	return (sum & 0xffff) + (sum >> 16);
}

/* Adds `size` bytes of the packet, a constant, to the sum; what lies outside is not added. */
static __always_inline __u32 checksum_add(struct xdp_md *ctx, __u32 offset, __u32 size, __u32 sum)
{
	struct span part = packet_from(ctx, offset);

	return part.at + size > part.end ? sum : (__u32)bpf_csum_diff(NULL, 0, part.at, size, sum);
}

/*
 * One's complement sum of the packet's `length` bytes (less than 4,096) from
 * `offset` on, folded to 16 bits, in the packet's byte order. In constant
 * sizes, which the verifier asks for: whole chunks, then one piece for each
 * bit of what remains; where a piece lies follows from the length alone.
 */
OMNI_GLOBAL int checksum_packet(struct xdp_md *ctx, __u32 offset, __u32 length)
{
	__u32 sum = 0;
	struct span part;
	__u64 rest;

	for (__u32 i = 0; i < CHECKSUM_CHUNKS && i < length / CHECKSUM_CHUNK; i++)
		sum = checksum_add(ctx, offset + i * CHECKSUM_CHUNK, CHECKSUM_CHUNK, sum);
#pragma unroll
	for (__u32 size = CHECKSUM_CHUNK / 2; size >= sizeof(__u32); size /= 2)
		if (length & size)
			sum = checksum_add(ctx, offset + (length & ~(2 * size - 1)), size, sum);
	rest = sum;
	part = packet_from(ctx, offset + (length & ~3));
	if (length & 2 && part.at + 2 <= part.end)
		rest += *(__u16 *)part.at;
	part = packet_from(ctx, offset + (length & ~1));
	if (length & 1 && part.at + 1 <= part.end)
		rest += *(__u8 *)part.at;
	return checksum_fold(rest);
}

#endif /* OMNI_CHECKSUM_H */
