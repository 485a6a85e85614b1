// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * The primitives by themselves, for test/bpf under BPF_PROG_TEST_RUN: published
 * vectors have nonces, additional data and lengths that no datagram has. Never
 * attached. Every program works on the packet in place and returns 0.
 */
#include "lib/aead.h"
#include "lib/blake2s.h"

#define SELFTEST_MAX_QUARTERS 64

struct selftest_input {
	struct chacha20 cipher;		/* at block 0 */
	__u32 aad_length;
	__u32 partial;			/* Poly1305: the last 16 bytes bring their own 1 bit */
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct selftest_input);
} selftest_map SEC(".maps");

/* Packet: state (64 bytes), block (64). */
SEC("xdp")
int selftest_chacha20(struct xdp_md *ctx)
{
	struct span packet = packet_from(ctx, 0);

	if (packet.at + sizeof(struct chacha20) + BLOCK_LEN > packet.end)
		return -1;
	return chacha20_xor(packet.at, packet.at + sizeof(struct chacha20));
}

/*
 * Packet: one-time key (32 bytes), message (n * 16), tag (16, written). A
 * message of another length is padded by the caller as RFC 8439 section 2.5
 * has it, with `partial` set: datagrams never need that.
 */
SEC("xdp")
int selftest_poly1305(struct xdp_md *ctx)
{
	struct span packet = packet_from(ctx, 0);
	__u32 zero = 0, length = packet_length(ctx), quarters = length / QUARTER_LEN - 3;
	struct selftest_input *input = bpf_map_lookup_elem(&selftest_map, &zero);
	struct block key = {};
	struct poly1305 mac;

	if (!input || packet.at + 3 * QUARTER_LEN > packet.end || length % QUARTER_LEN)
		return -1;
	*(struct quarter *)&key.word[0] = ((struct quarter *)packet.at)[0];
	*(struct quarter *)&key.word[4] = ((struct quarter *)packet.at)[1];
	poly1305_init(&mac, &key);
	packet.at += 2 * QUARTER_LEN;
	for (__u32 i = 0; i < SELFTEST_MAX_QUARTERS && i < quarters; i++, packet.at += QUARTER_LEN) {
		if (packet.at + QUARTER_LEN > packet.end)
			return -1;
		if (input->partial && i == quarters - 1)
			mac.h[4]--;
		poly1305_quarter(&mac, packet.at);
	}
	packet = packet_from(ctx, length - QUARTER_LEN);
	if (packet.at + QUARTER_LEN > packet.end)
		return -1;
	return poly1305_finish(&mac, packet.at);
}

/* Packet: struct blake2s (40 bytes), bytes that count (8), block (64). */
SEC("xdp")
int selftest_blake2s(struct xdp_md *ctx)
{
	struct span packet = packet_from(ctx, 0);
	struct blake2s *state = packet.at;
	__u64 *bytes = packet.at + sizeof(*state);
	struct block *block = packet.at + sizeof(*state) + sizeof(*bytes);

	if ((void *)(block + 1) > packet.end)
		return -1;
	return blake2s_compress(state, block, *bytes);
}

/* Packet: 42 bytes, AAD padded to 16, tag, text, as in lib/aead.h. */
SEC("xdp")
int selftest_seal(struct xdp_md *ctx)
{
	__u32 zero = 0;
	struct selftest_input *input = bpf_map_lookup_elem(&selftest_map, &zero);
	struct chacha20 cipher;

	if (!input)
		return -1;
	cipher = input->cipher;
	return aead_seal(ctx, &cipher, input->aad_length);
}

SEC("xdp")
int selftest_open(struct xdp_md *ctx)
{
	__u32 zero = 0;
	struct selftest_input *input = bpf_map_lookup_elem(&selftest_map, &zero);
	struct chacha20 cipher;
	int result;

	if (!input)
		return -1;
	cipher = input->cipher;
	result = aead_verify(ctx, &cipher, input->aad_length);
	return result == AEAD_OK ? aead_decrypt(ctx, &cipher) : result;
}

char _license[] SEC("license") = "Dual BSD/GPL";
