/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * mac1 and mac2 of a handshake message, docs/protocol.md. mac1 covers a prefix
 * of the message, whatever its version; mac2 covers that prefix, then mac1.
 */
#ifndef OMNI_MAC_H
#define OMNI_MAC_H

#include "address.h"
#include "blake2s.h"
#include "packet.h"

#define MAC_KEY_LEN 32
/* From a message's end. */
#define MAC1_FROM_END (2 * OMNI_MAC1_LEN)

_Static_assert(OMNI_INITIATION_COVERED == 2 * BLOCK_LEN, "two blocks of an initiation are covered");
_Static_assert(OMNI_RESPONSE_COVERED == BLOCK_LEN + QUARTER_LEN, "and a block and a quarter of an answer");
_Static_assert(OMNI_MAC1_LEN == QUARTER_LEN, "a MAC is a quarter of a block");

/* A key, and the message to try it on. */
struct mac_input {
	__u32 key[MAC_KEY_LEN / 4];
	__u32 message;	/* where it begins in the packet */
	__u32 mac1;	/* where mac1 lies in the packet; mac2 follows it */
	__u32 covered;	/* OMNI_INITIATION_COVERED or OMNI_RESPONSE_COVERED */
};

/* `key`: MAC_KEY_LEN bytes, a multiple of four into a map's row. */
static __always_inline void mac_key(struct mac_input *input, const __u8 *key)
{
	const __u32 *words = (const __u32 *)key;

#pragma unroll
	for (int i = 0; i < MAC_KEY_LEN / 4; i++)
		input->key[i] = words[i];
}

/*
 * Turns a secret into the key of mac2: the cookie that this node hands out to
 * a source under that secret, and zeros. `port` in network order. Returns 0.
 */
OMNI_GLOBAL int mac_cookie(struct mac_input *input, struct omni_address *source, __u32 port)
{
	const __u32 *address = (const __u32 *)source;
	struct blake2s hash;
	struct block block;

	if (!input || !source)
		return -1;
	blake2s_init_keyed(&hash, input->key, &block);
	block = (struct block){};
#pragma unroll
	for (int i = 0; i < 4; i++)
		block.word[i] = address[i];
	block.word[4] = port;
	hash.final = ~0U;
	blake2s_compress(&hash, &block, sizeof(*source) + sizeof(__be16));
#pragma unroll
	for (int i = 0; i < 4; i++) {
		input->key[i] = hash.h[i];
		input->key[4 + i] = 0;
	}
	return 0;
}

/* Whether the MAC is right under the key: mac1, or mac2 if `second`. 0: no, or the packet is too short. */
OMNI_GLOBAL int mac_valid(struct xdp_md *ctx, struct mac_input *input, __u32 second)
{
	struct blake2s hash;
	struct block block;
	struct span text, macs;
	__u32 length;

	if (!input)
		return 0;
	blake2s_init_keyed(&hash, input->key, &block);
	text = packet_from(ctx, input->message);
	macs = packet_from(ctx, input->mac1);
	if (text.at + OMNI_RESPONSE_COVERED > text.end || macs.at + 2 * OMNI_MAC1_LEN > macs.end)
		return 0;
	blake2s_compress(&hash, text.at, BLOCK_LEN);

	length = QUARTER_LEN;
	block = (struct block){};
	if (input->covered == OMNI_RESPONSE_COVERED) {
		*(struct quarter *)&block = *(struct quarter *)(text.at + BLOCK_LEN);
	} else {
		if (text.at + OMNI_INITIATION_COVERED > text.end)
			return 0;
		if (second) {
			blake2s_compress(&hash, text.at + BLOCK_LEN, BLOCK_LEN);
			*(struct quarter *)&block = *(struct quarter *)macs.at;
		} else {
			block = *(struct block *)(text.at + BLOCK_LEN);
			length = BLOCK_LEN;
		}
	}
	hash.final = ~0U;
	blake2s_compress(&hash, &block, length);
	if (second)
		macs.at += OMNI_MAC1_LEN;
	return quarter_equal((struct quarter *)hash.h, macs.at);
}

static __always_inline int mac1_valid(struct xdp_md *ctx, struct mac_input *input)
{
	return mac_valid(ctx, input, 0);
}

/* Of an initiation. */
static __always_inline int mac2_valid(struct xdp_md *ctx, struct mac_input *input)
{
	return mac_valid(ctx, input, 1);
}

/* Copies the message's mac1. -1: the packet is too short. */
static __always_inline int mac1_read(struct xdp_md *ctx, __u32 mac1, __u8 *to)
{
	struct span packet = packet_from(ctx, mac1);

	if (packet.at + OMNI_MAC1_LEN > packet.end)
		return -1;
	__builtin_memcpy(to, packet.at, OMNI_MAC1_LEN);
	return 0;
}

static __always_inline int mac2_is_zero(struct xdp_md *ctx, const struct mac_input *input)
{
	struct span mac2 = packet_from(ctx, input->mac1 + OMNI_MAC1_LEN);
	const struct quarter *quarter = mac2.at;

	if ((void *)(quarter + 1) > mac2.end)
		return 1;
	return (quarter->word[0] | quarter->word[1] | quarter->word[2] | quarter->word[3]) == 0;
}

#endif /* OMNI_MAC_H */
