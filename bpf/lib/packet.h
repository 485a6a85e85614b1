/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The XDP packet as the verifier wants it looked at. */
#ifndef OMNI_PACKET_H
#define OMNI_PACKET_H

#include "common.h"

/* Keeps the compiler from reusing what it knows of a value. */
#define opaque(x) asm volatile("" : "+r"(x))

/* Part of a packet: its first byte and the packet's end. */
struct span {
	void *at, *end;
};

/*
 * The packet from `offset` on. Read from the context anew wherever a loop over
 * the packet has ended: the verifier knows of a pointer how far it has been
 * checked, and would follow each of the loop's 56 exits to the end by itself.
 */
static __always_inline struct span packet_from(struct xdp_md *ctx, __u32 offset)
{
	opaque(ctx);
	return (struct span){ (void *)(long)ctx->data + (offset & 0xfff), (void *)(long)ctx->data_end };
}

/* Opaque, or clang makes 32-bit arithmetic of it, which the verifier refuses on pointers. */
static __always_inline long packet_length(const struct xdp_md *ctx)
{
	long data = (long)ctx->data, end = (long)ctx->data_end, length;

	opaque(data);
	opaque(end);
	length = end - data;
	opaque(length);
	return length;
}

#endif /* OMNI_PACKET_H */
