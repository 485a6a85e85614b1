/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * ChaCha20-Poly1305, RFC 8439 section 2.8, in place on the packet:
 *
 *   data                    OMNI_OUTER_IPV4          OMNI_OVERHEAD_IPV4      data_end
 *   | Ethernet | IPv4 | UDP | id, counter (AAD) | tag | ciphertext ...            |
 *
 * The text is worked on where it lies, 64 bytes at a time; what remains goes
 * through a zero-padded block on the stack.
 */
#ifndef OMNI_AEAD_H
#define OMNI_AEAD_H

#include "chacha20.h"
#include "packet.h"
#include "poly1305.h"

#define OMNI_OUTER_IPV4 (OMNI_OVERHEAD_IPV4 - (int)sizeof(struct omni_header))
#define AEAD_MAX_BLOCKS (OMNI_MAX_FRAME / BLOCK_LEN)
#define AEAD_AAD_LEN __builtin_offsetof(struct omni_header, tag)

enum aead_result {
	AEAD_OK = 0,
	AEAD_FORGED = 1,	/* the tag does not verify; the packet is as it was */
	AEAD_BOUNDS = -1,	/* shorter than the headers, or longer than OMNI_MAX_FRAME */
};

/*
 * Moves `count` elements between a packet and a block on the stack, if the
 * length's bit says so. In elements, not bytes: the packet's alignment is
 * unknown to clang, which would take a memcpy apart into single bytes. From
 * large to small, so that the stack side is aligned, as verifiers demand.
 */
#define TAIL_MOVE(type, count, length, span, to, from, cursor)			\
	do {									\
		if (!((length) & (count) * sizeof(type)))			\
			break;							\
		if ((span).at + (count) * sizeof(type) > (span).end)		\
			return AEAD_BOUNDS;					\
		for (int move = 0; move < (count); move++)			\
			((type *)(to))[move] = ((const type *)(from))[move];	\
		(span).at += (count) * sizeof(type);				\
		(cursor) += (count) * sizeof(type);				\
	} while (0)

/* Copies the text's last `length` % 64 bytes into a block of zeros. */
static __always_inline int aead_tail_load(struct xdp_md *ctx, __u32 length, struct block *block)
{
	struct span tail = packet_from(ctx, OMNI_OVERHEAD_IPV4 + length / BLOCK_LEN * BLOCK_LEN);
	void *to = block;

	*block = (struct block){};
	TAIL_MOVE(__u64, 4, length, tail, to, tail.at, to);
	TAIL_MOVE(__u64, 2, length, tail, to, tail.at, to);
	TAIL_MOVE(__u64, 1, length, tail, to, tail.at, to);
	TAIL_MOVE(__u32, 1, length, tail, to, tail.at, to);
	TAIL_MOVE(__u16, 1, length, tail, to, tail.at, to);
	TAIL_MOVE(__u8, 1, length, tail, to, tail.at, to);
	return AEAD_OK;
}

/* The reverse: overwrites the text's last `length` % 64 bytes. */
static __always_inline int aead_tail_store(struct xdp_md *ctx, __u32 length, const struct block *block)
{
	struct span tail = packet_from(ctx, OMNI_OVERHEAD_IPV4 + length / BLOCK_LEN * BLOCK_LEN);
	const void *from = block;

	TAIL_MOVE(__u64, 4, length, tail, tail.at, from, from);
	TAIL_MOVE(__u64, 2, length, tail, tail.at, from, from);
	TAIL_MOVE(__u64, 1, length, tail, tail.at, from, from);
	TAIL_MOVE(__u32, 1, length, tail, tail.at, from, from);
	TAIL_MOVE(__u16, 1, length, tail, tail.at, from, from);
	TAIL_MOVE(__u8, 1, length, tail, tail.at, from, from);
	return AEAD_OK;
}

/*
 * Absorbs the text's last `length` % 64 bytes, which zeros follow in `tail`,
 * then the lengths of AAD and text; leaves the tag in the block's first 16 bytes.
 */
static __always_inline void aead_mac_finish(struct poly1305 *mac, struct block *tail, __u32 aad_length, __u32 length)
{
#pragma unroll
	for (__u32 i = 0; i < BLOCK_LEN / QUARTER_LEN; i++)
		if (length % BLOCK_LEN > i * QUARTER_LEN)
			poly1305_quarter(mac, (struct quarter *)&tail->word[4 * i]);
	tail->word[0] = aad_length;
	tail->word[1] = 0;
	tail->word[2] = length;
	tail->word[3] = 0;
	poly1305_quarter(mac, (struct quarter *)tail);
	poly1305_finish(mac, (struct quarter *)tail);
}

/* Length of the text, or AEAD_BOUNDS. */
static __always_inline int aead_text_length(const struct xdp_md *ctx)
{
	long length = packet_length(ctx) - OMNI_OVERHEAD_IPV4;

	return length < 0 || length > OMNI_MAX_FRAME ? AEAD_BOUNDS : (int)length;
}

/*
 * Seals the packet: encrypts the text and writes the tag. The header's id and
 * counter are already there; `cipher` is at block 0 of key and nonce.
 * `aad_length` is AEAD_AAD_LEN in every datagram; in RFC 8439's vectors it is
 * less, and zeros follow. Returns enum aead_result.
 */
OMNI_GLOBAL int aead_seal(struct xdp_md *ctx, struct chacha20 *cipher, __u32 aad_length)
{
	struct span text = packet_from(ctx, OMNI_OVERHEAD_IPV4), header = packet_from(ctx, OMNI_OUTER_IPV4);
	int length = aead_text_length(ctx);
	struct block tail = {};
	struct poly1305 mac;
	struct quarter *tag;

	if (!cipher || length < 0 || header.at + sizeof(struct omni_header) > header.end)
		return AEAD_BOUNDS;

	chacha20_xor(cipher, &tail);
	poly1305_init(&mac, &tail);
	poly1305_quarter(&mac, header.at);
	for (int i = 0; i < AEAD_MAX_BLOCKS; i++, text.at += BLOCK_LEN) {
		if (text.at + BLOCK_LEN > text.end)
			break;
		chacha20_xor(cipher, text.at);
		poly1305_block(&mac, text.at);
	}

	if (length % BLOCK_LEN) {
		if (aead_tail_load(ctx, length, &tail))
			return AEAD_BOUNDS;
		chacha20_xor(cipher, &tail);
		if (aead_tail_store(ctx, length, &tail) || aead_tail_load(ctx, length, &tail))
			return AEAD_BOUNDS;
	}
	aead_mac_finish(&mac, &tail, aad_length, length);

	header = packet_from(ctx, OMNI_OUTER_IPV4 + AEAD_AAD_LEN);
	tag = header.at;
	if ((void *)(tag + 1) > header.end)
		return AEAD_BOUNDS;
	*tag = *(struct quarter *)&tail;
	return AEAD_OK;
}

/*
 * Verifies the packet's tag; `cipher` is at block 0 of key and nonce, and at
 * block 1 afterwards. `aad_length`: as above. Returns enum aead_result. Changes
 * nothing in the packet.
 */
OMNI_GLOBAL int aead_verify(struct xdp_md *ctx, struct chacha20 *cipher, __u32 aad_length)
{
	struct span text = packet_from(ctx, OMNI_OVERHEAD_IPV4), header = packet_from(ctx, OMNI_OUTER_IPV4);
	int length = aead_text_length(ctx);
	struct quarter *tag;
	struct block tail = {};
	struct poly1305 mac;

	if (!cipher || length < 0 || header.at + sizeof(struct omni_header) > header.end)
		return AEAD_BOUNDS;
	chacha20_xor(cipher, &tail);
	poly1305_init(&mac, &tail);
	poly1305_quarter(&mac, header.at);
	for (int i = 0; i < AEAD_MAX_BLOCKS; i++, text.at += BLOCK_LEN) {
		if (text.at + BLOCK_LEN > text.end)
			break;
		poly1305_block(&mac, text.at);
	}
	if (aead_tail_load(ctx, length, &tail))
		return AEAD_BOUNDS;
	aead_mac_finish(&mac, &tail, aad_length, length);

	header = packet_from(ctx, OMNI_OUTER_IPV4 + AEAD_AAD_LEN);
	tag = header.at;
	if ((void *)(tag + 1) > header.end)
		return AEAD_BOUNDS;
	return quarter_equal(tag, (struct quarter *)&tail) ? AEAD_OK : AEAD_FORGED;
}

/* Decrypts the packet's text after aead_verify. Returns enum aead_result. */
OMNI_GLOBAL int aead_decrypt(struct xdp_md *ctx, struct chacha20 *cipher)
{
	struct span text = packet_from(ctx, OMNI_OVERHEAD_IPV4);
	int length = aead_text_length(ctx);
	struct block tail = {};

	if (!cipher || length < 0)
		return AEAD_BOUNDS;
	for (int i = 0; i < AEAD_MAX_BLOCKS; i++, text.at += BLOCK_LEN) {
		if (text.at + BLOCK_LEN > text.end)
			break;
		chacha20_xor(cipher, text.at);
	}
	if (length % BLOCK_LEN) {
		if (aead_tail_load(ctx, length, &tail))
			return AEAD_BOUNDS;
		chacha20_xor(cipher, &tail);
		if (aead_tail_store(ctx, length, &tail))
			return AEAD_BOUNDS;
	}
	return AEAD_OK;
}

#endif /* OMNI_AEAD_H */
