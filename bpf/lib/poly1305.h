/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Poly1305, RFC 8439 section 2.5, with 32-bit limbs in 64-bit words.
 *
 * Clamping leaves r[i] < 2^28 and r[1..3] divisible by 4, so 5/4 r[i] is exact:
 * 2^128 * r[i] = 5/4 r[i] (mod 2^130 - 5). After a block h[1..3] < 2^32, h[4] < 4
 * and h[0] < 2.2 * 2^32 (its last carry is left in it); a block adds at most
 * 2^32 to each. Every sum of four products then stays below 5.5 * 2^61 and
 * needs no carry before the one chain at the end.
 */
#ifndef OMNI_POLY1305_H
#define OMNI_POLY1305_H

#include "common.h"

struct poly1305 {
	__u64 h[5];	/* accumulator, 32 bits a limb, see above */
	__u32 r[4];
	__u32 s[4];	/* added at the end */
};

/* key: the first 32 bytes of ChaCha20's block 0 (RFC 8439 section 2.6). */
static __always_inline void poly1305_init(struct poly1305 *mac, const struct block *key)
{
#pragma unroll
	for (int i = 0; i < 5; i++)
		mac->h[i] = 0;
	mac->r[0] = key->word[0] & 0x0fffffff;
#pragma unroll
	for (int i = 1; i < 4; i++)
		mac->r[i] = key->word[i] & 0x0ffffffc;
#pragma unroll
	for (int i = 0; i < 4; i++)
		mac->s[i] = key->word[4 + i];
}

/* h = (h + 2^128 + words) * r, for `count` times 16 bytes. */
static __always_inline void poly1305_absorb(struct poly1305 *mac, const __u32 *words, int count)
{
	__u64 h0 = mac->h[0], h1 = mac->h[1], h2 = mac->h[2], h3 = mac->h[3], h4 = mac->h[4];
	__u64 r0 = mac->r[0], r1 = mac->r[1], r2 = mac->r[2], r3 = mac->r[3];
	__u64 s1 = r1 + (r1 >> 2), s2 = r2 + (r2 >> 2), s3 = r3 + (r3 >> 2);

#pragma unroll
	for (int i = 0; i < count; i++, words += 4) {
		__u64 d0, d1, d2, d3;

		h0 += words[0];
		h1 += words[1];
		h2 += words[2];
		h3 += words[3];
		h4 += 1;
		d0 = h0 * r0 + h1 * s3 + h2 * s2 + h3 * s1;
		d1 = h0 * r1 + h1 * r0 + h2 * s3 + h3 * s2 + h4 * s1;
		d2 = h0 * r2 + h1 * r1 + h2 * r0 + h3 * s3 + h4 * s2;
		d3 = h0 * r3 + h1 * r2 + h2 * r1 + h3 * r0 + h4 * s3;
		d1 += d0 >> 32;
		d2 += d1 >> 32;
		d3 += d2 >> 32;
		h4 = h4 * r0 + (d3 >> 32);
		h0 = (__u32)d0 + (h4 >> 2) * 5;
		h1 = (__u32)d1;
		h2 = (__u32)d2;
		h3 = (__u32)d3;
		h4 &= 3;
	}

	mac->h[0] = h0;
	mac->h[1] = h1;
	mac->h[2] = h2;
	mac->h[3] = h3;
	mac->h[4] = h4;
}

/* Absorbs 64 bytes. Returns 0. */
OMNI_GLOBAL int poly1305_block(struct poly1305 *mac, struct block *block)
{
	if (!mac || !block)
		return -1;
	poly1305_absorb(mac, block->word, 4);
	return 0;
}

/* Absorbs 16 bytes. Returns 0. */
OMNI_GLOBAL int poly1305_quarter(struct poly1305 *mac, struct quarter *quarter)
{
	if (!mac || !quarter)
		return -1;
	poly1305_absorb(mac, quarter->word, 1);
	return 0;
}

/* Writes the tag: (h mod 2^130 - 5) + s mod 2^128, in constant time. Returns 0. */
OMNI_GLOBAL int poly1305_finish(struct poly1305 *mac, struct quarter *tag)
{
	__u64 h[5], g[5], carry, mask;

	if (!mac || !tag)
		return -1;
	carry = 0;
#pragma unroll
	for (int i = 0; i < 4; i++) {
		carry += mac->h[i];
		h[i] = (__u32)carry;
		carry >>= 32;
	}
	h[4] = mac->h[4] + carry;

	/* Twice: the carry out of the fold can reach 2^130 once more. */
#pragma unroll
	for (int fold = 0; fold < 2; fold++) {
		carry = (h[4] >> 2) * 5;
		h[4] &= 3;
#pragma unroll
		for (int i = 0; i < 4; i++) {
			carry += h[i];
			h[i] = (__u32)carry;
			carry >>= 32;
		}
		h[4] += carry;
	}

	/* g = h + 5 - 2^130; if it is not negative, h was at least p. */
	carry = 5;
#pragma unroll
	for (int i = 0; i < 4; i++) {
		carry += h[i];
		g[i] = (__u32)carry;
		carry >>= 32;
	}
	mask = -((h[4] + carry) >> 2 & 1);

	carry = 0;
#pragma unroll
	for (int i = 0; i < 4; i++) {
		carry += ((h[i] & ~mask) | (g[i] & mask)) + mac->s[i];
		tag->word[i] = (__u32)carry;
		carry >>= 32;
	}
	return 0;
}

#endif /* OMNI_POLY1305_H */
