/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What every program needs: helpers, the shared types, a 64-byte block. */
#ifndef OMNI_COMMON_H
#define OMNI_COMMON_H

#include "../omni_types.h"

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/udp.h>

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "ciphers and wire header are read as they lie in memory: little-endian only"
#endif

#ifndef AF_INET
#define AF_INET 2
#endif
#ifndef AF_INET6
#define AF_INET6 10
#endif

/*
 * A function that the verifier checks once by itself, for all callers, rather
 * than along every path that leads to it. Pointers to it may be NULL as far as
 * the verifier knows (5.12 and later accept pointers to fixed-size memory,
 * packet and map values included), so each such function checks; it returns
 * an int because the verifier demands it.
 */
#define OMNI_GLOBAL __attribute__((noinline))

/* Memory that the ciphers work on, as words and as the parts that they come in. */
struct quarter {
	__u32 word[4];
} __attribute__((aligned(8)));

struct block {
	__u32 word[16];
} __attribute__((aligned(8)));

/* In constant time. */
static __always_inline int quarter_equal(const struct quarter *a, const struct quarter *b)
{
	return ((a->word[0] ^ b->word[0]) | (a->word[1] ^ b->word[1]) |
		(a->word[2] ^ b->word[2]) | (a->word[3] ^ b->word[3])) == 0;
}

#define BLOCK_LEN 64
#define QUARTER_LEN 16

#endif /* OMNI_COMMON_H */
