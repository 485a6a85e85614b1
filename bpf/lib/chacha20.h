/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* ChaCha20, RFC 8439 section 2.3 and 2.4. */
#ifndef OMNI_CHACHA20_H
#define OMNI_CHACHA20_H

#include "common.h"

/* constants (4 words) | key (8) | block counter (1) | nonce (3) */
struct chacha20 {
	__u32 word[16];
};

static __always_inline __u32 rotl32(__u32 x, int n)
{
	return x << n | x >> (32 - n);
}

/* The nonce is 0x00000000 || counter, little-endian: docs/protocol.md. */
static __always_inline void chacha20_init(struct chacha20 *state, const __u32 key[OMNI_KEY_WORDS], __u64 counter)
{
	state->word[0] = 0x61707865; /* "expand 32-byte k" */
	state->word[1] = 0x3320646e;
	state->word[2] = 0x79622d32;
	state->word[3] = 0x6b206574;
#pragma unroll
	for (int i = 0; i < OMNI_KEY_WORDS; i++)
		state->word[4 + i] = key[i];
	state->word[12] = 0;
	state->word[13] = 0;
	state->word[14] = (__u32)counter;
	state->word[15] = (__u32)(counter >> 32);
}

/*
 * One block, in assembly: what limits this cipher is the number of
 * instructions, and clang 19 (which has ten registers for sixteen words) adds
 * nine loads and stores to every quarter round. Here nine words stay in r1..r9,
 * r0 is scratch, and the word whose next use is furthest away makes room: 28
 * loads and stores in the two rounds of a loop. The quarter rounds of one round
 * touch different words, so their order is free; it is chosen such that a turn
 * ends with every word where it began:
 *
 *   word      0  3  5  7  9 10 11 13 15   others
 *   register  1  8  9  3  7  6  5  4  2   their slot
 *
 * Inputs: the state in r1, the block in r2.
 */
#define AT_0 "0"
#define AT_1 "4"
#define AT_2 "8"
#define AT_3 "12"
#define AT_4 "16"
#define AT_5 "20"
#define AT_6 "24"
#define AT_7 "28"
#define AT_8 "32"
#define AT_9 "36"
#define AT_10 "40"
#define AT_11 "44"
#define AT_12 "48"
#define AT_13 "52"
#define AT_14 "56"
#define AT_15 "60"

/* Word and register, by number. */
#define SPILL(word, reg) "*(u32 *)%[slot" #word "] = w" #reg ";"
#define FILL(word, reg) "w" #reg " = *(u32 *)%[slot" #word "];"
#define FROM_STATE(word, reg) "w" #reg " = *(u32 *)(r1 + " AT_##word ");"
#define STATE_TO_SLOT(word) FROM_STATE(word, 0) SPILL(word, 0)
/* With the state in r1 and the block in r2: block ^= reg + state. */
#define XOR_OUT(word, reg)				\
	FROM_STATE(word, 0)				\
	"w" #reg " += w0;"				\
	"w0 = *(u32 *)(r2 + " AT_##word ");"		\
	"w" #reg " ^= w0;"				\
	"*(u32 *)(r2 + " AT_##word ") = w" #reg ";"
#define SLOT_XOR_OUT(word) FILL(word, 9) XOR_OUT(word, 9)

#define ADD(x, y) "w" #x " += w" #y ";"
#define XOR_ROTL(x, y, left, right)			\
	"w" #x " ^= w" #y ";"				\
	"w0 = w" #x ";"					\
	"w0 >>= " #right ";"				\
	"w" #x " <<= " #left ";"			\
	"w" #x " |= w0;"
#define QUARTER(a, b, c, d)				\
	ADD(a, b) XOR_ROTL(d, a, 16, 16)		\
	ADD(c, d) XOR_ROTL(b, c, 12, 20)		\
	ADD(a, b) XOR_ROTL(d, a, 8, 24)			\
	ADD(c, d) XOR_ROTL(b, c, 7, 25)

/* A column round and a diagonal round. */
#define DOUBLE_ROUND						\
	QUARTER(8, 3, 5, 2) /* 3 7 11 15 */                             \
	SPILL(15, 2)                                                    \
	FILL(1, 2)                                                      \
	QUARTER(2, 9, 7, 4) /* 1 5 9 13 */                              \
	SPILL(5, 9) SPILL(11, 5) SPILL(1, 2)                            \
	FILL(4, 9) FILL(8, 5) FILL(12, 2)                               \
	QUARTER(1, 9, 5, 2) /* 0 4 8 12 */                              \
	SPILL(0, 1) SPILL(12, 2) SPILL(13, 4)                           \
	FILL(2, 1) FILL(6, 2) FILL(14, 4)                               \
	QUARTER(1, 2, 6, 4) /* 2 6 10 14 */                             \
	QUARTER(8, 9, 7, 4) /* 3 4 9 14 */                              \
	SPILL(14, 4)                                                    \
	FILL(13, 4)                                                     \
	QUARTER(1, 3, 5, 4) /* 2 7 8 13 */                              \
	SPILL(2, 1) SPILL(4, 9) SPILL(8, 5)                             \
	FILL(1, 9) FILL(11, 5) FILL(12, 1)                              \
	QUARTER(9, 2, 5, 1) /* 1 6 11 12 */                             \
	SPILL(6, 2) SPILL(12, 1) SPILL(1, 9)                            \
	FILL(0, 1) FILL(5, 9) FILL(15, 2)                               \
	QUARTER(1, 9, 6, 2) /* 0 5 10 15 */

/* XORs the next 64 bytes of keystream into block and steps the block counter. Returns 0. */
OMNI_GLOBAL int chacha20_xor(struct chacha20 *state, struct block *block)
{
	register struct chacha20 *r1 asm("r1") = state;
	register struct block *r2 asm("r2") = block;
	__u32 slot[12];
	struct chacha20 *state_slot;
	struct block *block_slot;

	if (!r1 || !r2)
		return -1;
	asm volatile(
		"*(u64 *)%[state] = r1;"
		"*(u64 *)%[block] = r2;"
		STATE_TO_SLOT(1) STATE_TO_SLOT(2) STATE_TO_SLOT(4) STATE_TO_SLOT(6)
		STATE_TO_SLOT(8) STATE_TO_SLOT(12) STATE_TO_SLOT(14)
		FROM_STATE(3, 8) FROM_STATE(5, 9) FROM_STATE(7, 3) FROM_STATE(9, 7) FROM_STATE(10, 6)
		FROM_STATE(11, 5) FROM_STATE(13, 4) FROM_STATE(15, 2) FROM_STATE(0, 1)
		DOUBLE_ROUND DOUBLE_ROUND DOUBLE_ROUND DOUBLE_ROUND DOUBLE_ROUND
		DOUBLE_ROUND DOUBLE_ROUND DOUBLE_ROUND DOUBLE_ROUND DOUBLE_ROUND
		SPILL(0, 1) SPILL(15, 2)
		"r1 = *(u64 *)%[state];"
		"r2 = *(u64 *)%[block];"
		XOR_OUT(3, 8) XOR_OUT(5, 9) XOR_OUT(7, 3) XOR_OUT(9, 7) XOR_OUT(10, 6) XOR_OUT(11, 5) XOR_OUT(13, 4)
		SLOT_XOR_OUT(0) SLOT_XOR_OUT(1) SLOT_XOR_OUT(2) SLOT_XOR_OUT(4) SLOT_XOR_OUT(6)
		SLOT_XOR_OUT(8) SLOT_XOR_OUT(12) SLOT_XOR_OUT(14) SLOT_XOR_OUT(15)
		FROM_STATE(12, 0)
		"w0 += 1;"
		"*(u32 *)(r1 + " AT_12 ") = w0;"
		: "+r"(r1), "+r"(r2), [state] "=m"(state_slot), [block] "=m"(block_slot),
		  [slot0] "=m"(slot[0]), [slot1] "=m"(slot[1]), [slot2] "=m"(slot[2]), [slot4] "=m"(slot[3]),
		  [slot5] "=m"(slot[4]), [slot6] "=m"(slot[5]), [slot8] "=m"(slot[6]), [slot11] "=m"(slot[7]),
		  [slot12] "=m"(slot[8]), [slot13] "=m"(slot[9]), [slot14] "=m"(slot[10]), [slot15] "=m"(slot[11])
		:
		: "r0", "r3", "r4", "r5", "r6", "r7", "r8", "r9", "memory");
	return 0;
}

#endif /* OMNI_CHACHA20_H */
