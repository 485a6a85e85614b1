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

static __always_inline void chacha20_set_counter(struct chacha20 *state, __u64 counter)
{
	state->word[14] = (__u32)counter;
	state->word[15] = (__u32)(counter >> 32);
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
	chacha20_set_counter(state, counter);
}

/*
 * One block, in assembly: clang 19 has ten registers for sixteen words and adds
 * nine loads and stores to every quarter round; this adds three and a half, in
 * half of the stack. Words 4..7 always stay in registers, because a round
 * ends with them and the next one begins with them: a way through memory would
 * delay everything. Five more registers hold whatever the quarter rounds need
 * of the others; what is needed last again makes room. The quarter rounds of
 * one round touch different words, so their order is free; it is chosen such
 * that a turn ends with every word where it began:
 *
 *   word      4  5  6  7   9 14 15 11  3   the others
 *   register  6  7  8  9   1  2  3  4  5   their slots
 *
 * r0 is scratch.
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
#define DOUBLE_ROUND								\
	QUARTER(5, 9, 4, 3) /* 3 7 11 15 */						\
	SPILL(3, 5) SPILL(11, 4) FILL(1, 5) FILL(13, 4)					\
	QUARTER(5, 7, 1, 4) /* 1 5 9 13 */						\
	SPILL(9, 1) SPILL(1, 5) SPILL(15, 3) FILL(0, 5) FILL(8, 1) FILL(12, 3)		\
	QUARTER(5, 6, 1, 3) /* 0 4 8 12 */						\
	SPILL(12, 3) SPILL(0, 5) FILL(2, 3) FILL(10, 5)					\
	QUARTER(3, 8, 5, 2) /* 2 6 10 14 */						\
	QUARTER(3, 9, 1, 4) /* 2 7 8 13 */						\
	SPILL(2, 3) SPILL(8, 1) FILL(0, 1) FILL(15, 3)					\
	QUARTER(1, 7, 5, 3) /* 0 5 10 15 */						\
	SPILL(10, 5) SPILL(0, 1) SPILL(13, 4) FILL(1, 1) FILL(11, 4) FILL(12, 5)	\
	QUARTER(1, 8, 4, 5) /* 1 6 11 12 */						\
	SPILL(12, 5) SPILL(1, 1) FILL(3, 5) FILL(9, 1)					\
	QUARTER(5, 6, 1, 2) /* 3 4 9 14 */

/* XORs the next 64 bytes of keystream into block and steps the block counter. Returns 0. */
OMNI_GLOBAL int chacha20_xor(struct chacha20 *state, struct block *block)
{
	register struct chacha20 *r1 asm("r1") = state;
	register struct block *r2 asm("r2") = block;
	struct chacha20 *state_slot;
	struct block *block_slot;
	__u64 turns;
	__u32 slot[12];

	if (!r1 || !r2)
		return -1;
	asm volatile(
		"*(u64 *)%[state] = r1;"
		"*(u64 *)%[block] = r2;"
		"r0 = 10;"
		"*(u64 *)%[turns] = r0;"
		STATE_TO_SLOT(0) STATE_TO_SLOT(1) STATE_TO_SLOT(2) STATE_TO_SLOT(8)
		STATE_TO_SLOT(10) STATE_TO_SLOT(12) STATE_TO_SLOT(13)
		FROM_STATE(4, 6) FROM_STATE(5, 7) FROM_STATE(6, 8) FROM_STATE(7, 9)
		FROM_STATE(14, 2) FROM_STATE(15, 3) FROM_STATE(11, 4) FROM_STATE(3, 5) FROM_STATE(9, 1)
		"1:"
		DOUBLE_ROUND
		"r0 = *(u64 *)%[turns];"
		"r0 += -1;"
		"*(u64 *)%[turns] = r0;"
		"if r0 != 0 goto 1b;"
		SPILL(9, 1) SPILL(14, 2)
		"r1 = *(u64 *)%[state];"
		"r2 = *(u64 *)%[block];"
		XOR_OUT(3, 5) XOR_OUT(4, 6) XOR_OUT(5, 7) XOR_OUT(6, 8) XOR_OUT(7, 9) XOR_OUT(11, 4) XOR_OUT(15, 3)
		SLOT_XOR_OUT(0) SLOT_XOR_OUT(1) SLOT_XOR_OUT(2) SLOT_XOR_OUT(8) SLOT_XOR_OUT(9)
		SLOT_XOR_OUT(10) SLOT_XOR_OUT(12) SLOT_XOR_OUT(13) SLOT_XOR_OUT(14)
		FROM_STATE(12, 0)
		"w0 += 1;"
		"*(u32 *)(r1 + " AT_12 ") = w0;"
		: "+r"(r1), "+r"(r2), [state] "=m"(state_slot), [block] "=m"(block_slot), [turns] "=m"(turns),
		  [slot0] "=m"(slot[0]), [slot1] "=m"(slot[1]), [slot2] "=m"(slot[2]), [slot3] "=m"(slot[3]),
		  [slot8] "=m"(slot[4]), [slot9] "=m"(slot[5]), [slot10] "=m"(slot[6]), [slot11] "=m"(slot[7]),
		  [slot12] "=m"(slot[8]), [slot13] "=m"(slot[9]), [slot14] "=m"(slot[10]), [slot15] "=m"(slot[11])
		:
		: "r0", "r3", "r4", "r5", "r6", "r7", "r8", "r9", "memory");
	return 0;
}

#endif /* OMNI_CHACHA20_H */
