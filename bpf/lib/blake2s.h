/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Keyed BLAKE2s with a 16-byte digest, RFC 7693. */
#ifndef OMNI_BLAKE2S_H
#define OMNI_BLAKE2S_H

#include "chacha20.h"

struct blake2s {
	__u32 h[8];
	__u32 length;	/* bytes compressed so far */
	__u32 final;	/* all ones before the last block */
};

static const __u32 blake2s_iv[8] = {
	0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19,
};

#define BLAKE2S_MIX(a, b, c, d, x, y)			\
	do {						\
		a += b + word[x];			\
		d = rotl32(d ^ a, 32 - 16);		\
		c += d;					\
		b = rotl32(b ^ c, 32 - 12);		\
		a += b + word[y];			\
		d = rotl32(d ^ a, 32 - 8);		\
		c += d;					\
		b = rotl32(b ^ c, 32 - 7);		\
	} while (0)

/* One round with its row of the message schedule, RFC 7693 section 2.7. */
#define BLAKE2S_ROUND(s0, s1, s2, s3, s4, s5, s6, s7, s8, s9, s10, s11, s12, s13, s14, s15)	\
	do {									\
		BLAKE2S_MIX(a[0], b0, c[0], d0, s0, s1);				\
		BLAKE2S_MIX(a[1], b1, c[1], d1, s2, s3);				\
		BLAKE2S_MIX(a[2], b2, c[2], d2, s4, s5);				\
		BLAKE2S_MIX(a[3], b3, c[3], d3, s6, s7);				\
		BLAKE2S_MIX(a[0], b1, c[2], d3, s8, s9);				\
		BLAKE2S_MIX(a[1], b2, c[3], d0, s10, s11);				\
		BLAKE2S_MIX(a[2], b3, c[0], d1, s12, s13);				\
		BLAKE2S_MIX(a[3], b0, c[1], d2, s14, s15);				\
	} while (0)

/* Compresses a block of which `bytes` count (the rest is zero). Returns 0. */
OMNI_GLOBAL int blake2s_compress(struct blake2s *state, struct block *m, __u32 bytes)
{
	__u32 b0, b1, b2, b3, d0, d1, d2, d3;
	/*
	 * Volatile, half of the state and all words of the block: there are 512
	 * bytes of stack for everybody, and what clang 19 puts there by its own
	 * choice is twice as much, and slower.
	 */
	volatile __u32 a[4], c[4];
	const volatile __u32 *word = m->word;

	if (!state || !m)
		return -1;
	state->length += bytes;
	a[0] = state->h[0], a[1] = state->h[1], a[2] = state->h[2], a[3] = state->h[3];
	b0 = state->h[4], b1 = state->h[5], b2 = state->h[6], b3 = state->h[7];
	c[0] = blake2s_iv[0], c[1] = blake2s_iv[1], c[2] = blake2s_iv[2], c[3] = blake2s_iv[3];
	d0 = blake2s_iv[4] ^ state->length, d1 = blake2s_iv[5];
	d2 = blake2s_iv[6] ^ state->final, d3 = blake2s_iv[7];

	BLAKE2S_ROUND(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
	BLAKE2S_ROUND(14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3);
	BLAKE2S_ROUND(11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4);
	BLAKE2S_ROUND(7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8);
	BLAKE2S_ROUND(9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13);
	BLAKE2S_ROUND(2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9);
	BLAKE2S_ROUND(12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11);
	BLAKE2S_ROUND(13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10);
	BLAKE2S_ROUND(6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5);
	BLAKE2S_ROUND(10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0);

	state->h[0] ^= a[0] ^ c[0];
	state->h[1] ^= a[1] ^ c[1];
	state->h[2] ^= a[2] ^ c[2];
	state->h[3] ^= a[3] ^ c[3];
	state->h[4] ^= b0 ^ d0;
	state->h[5] ^= b1 ^ d1;
	state->h[6] ^= b2 ^ d2;
	state->h[7] ^= b3 ^ d3;
	return 0;
}

/* Starts a hash with a 32-byte key, which is the first block. `scratch` is overwritten. */
static __always_inline void blake2s_init_keyed(struct blake2s *state, const __u32 key[8], struct block *scratch)
{
	*scratch = (struct block){};
#pragma unroll
	for (int i = 0; i < 8; i++) {
		state->h[i] = blake2s_iv[i];
		scratch->word[i] = key[i];
	}
	/* Parameter block: fanout 1, depth 1, key 32 bytes, digest 16 bytes. */
	state->h[0] ^= 1 << 24 | 1 << 16 | 32 << 8 | OMNI_MAC1_LEN;
	state->length = 0;
	state->final = 0;
	blake2s_compress(state, scratch, BLOCK_LEN);
}

#endif /* OMNI_BLAKE2S_H */
