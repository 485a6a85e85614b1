/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Answers ARP requests (RFC 826) and neighbour solicitations (RFC 4861) from
 * neigh_map. A question is turned into its answer in place and goes back the
 * way it came.
 */
#ifndef OMNI_NEIGH_H
#define OMNI_NEIGH_H

#include "address.h"
#include "config.h"
#include "drop.h"
#include "packet.h"

#include <linux/icmpv6.h>

/* Not a question, or not one to answer here: go on. */
#define NEIGH_NOT_ASKED (-1)

#define ND_SOLICITATION 135
#define ND_ADVERTISEMENT 136
#define ND_OPTION_TARGET_MAC 2
#define ND_HOP_LIMIT 255
#define NA_SOLICITED (1U << 30)
#define NA_OVERRIDE (1U << 29)

#define ARP_ETHERNET 1
#define ARP_REQUEST 1
#define ARP_REPLY 2

struct arp_ipv4 {
	__be16 hardware;
	__be16 protocol;
	__u8 hardware_length;
	__u8 protocol_length;
	__be16 operation;
	__u8 sender_mac[ETH_ALEN];
	__u8 sender_ip[4];
	__u8 target_mac[ETH_ALEN];
	__u8 target_ip[4];
};

struct nd_message {		/* solicitation, and advertisement with the one option that we send */
	__u8 type;
	__u8 code;
	__u16 checksum;
	__be32 flags;
	struct in6_addr target;
	__u8 option_type;
	__u8 option_length;	/* in units of 8 bytes */
	__u8 option_mac[ETH_ALEN];
};

#define ND_SOLICITATION_LEN 24
#define ND_FRAME_LEN (int)(ETH_HLEN + sizeof(struct ipv6hdr) + sizeof(struct nd_message))
#define ND_MESSAGE_LEN (int)sizeof(struct nd_message)

static __always_inline __be32 load_be32(const __u8 *bytes)
{
	const __u16 *halves = (const __u16 *)bytes;

	return halves[0] | (__u32)halves[1] << 16;
}

static __always_inline void store_be32(__u8 *bytes, __be32 value)
{
	__u16 *halves = (__u16 *)bytes;

	halves[0] = value;
	halves[1] = value >> 16;
}

/*
 * Out of omni0x is into omni0. Not XDP_TX: veth queues such a frame but wakes
 * the other end only if that end runs an XDP program, which omni0 does not.
 */
static __always_inline int neigh_send_back(void)
{
	return bpf_redirect(config.ifindex_outer, 0);
}

/*
 * A host that announces its address (sender = target) or probes one (RFC 5227:
 * no sender) asks nobody's MAC in the first case, and only wants an answer
 * from somebody else in the second.
 */
static __noinline int neigh_answer_arp(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	struct ethhdr *eth = data;
	struct arp_ipv4 *arp = data + ETH_HLEN;
	struct omni_address address;
	struct neigh_entry *entry;
	__be32 sender, target;

	if ((void *)(arp + 1) > end)
		return NEIGH_NOT_ASKED;
	if (arp->hardware != bpf_htons(ARP_ETHERNET) || arp->protocol != bpf_htons(ETH_P_IP) ||
	    arp->hardware_length != ETH_ALEN || arp->protocol_length != sizeof(sender) ||
	    arp->operation != bpf_htons(ARP_REQUEST))
		return NEIGH_NOT_ASKED;

	sender = load_be32(arp->sender_ip);
	target = load_be32(arp->target_ip);
	if (sender == target)
		return NEIGH_NOT_ASKED;
	address = address_from_ipv4(target);
	entry = bpf_map_lookup_elem(&neigh_map, &address);
	if (!entry)
		return sender ? drop(OMNI_DROP_NEIGH_MISS) : NEIGH_NOT_ASKED;
	if (mac_equal(entry->mac, arp->sender_mac))
		return NEIGH_NOT_ASKED;

	mac_copy(eth->h_dest, eth->h_source);
	mac_copy(eth->h_source, entry->mac);
	arp->operation = bpf_htons(ARP_REPLY);
	mac_copy(arp->target_mac, arp->sender_mac);
	store_be32(arp->target_ip, sender);
	mac_copy(arp->sender_mac, entry->mac);
	store_be32(arp->sender_ip, target);
	stat_add(OMNI_STAT_NEIGH_ANSWERED, 1);
	return neigh_send_back();
}

/* RFC 4443 section 2.3: over the pseudo-header and the message, whose checksum field must be 0. */
static __always_inline __u16 nd_checksum(const struct ipv6hdr *ip, const struct nd_message *message)
{
	const __u16 *addresses = (const __u16 *)&ip->saddr, *words = (const __u16 *)message;
	__u32 sum = bpf_htons(ND_MESSAGE_LEN) + bpf_htons(IPPROTO_ICMPV6);

#pragma unroll
	for (int i = 0; i < 16; i++)
		sum += addresses[i] + words[i];
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return ~sum;
}

/* Writes the advertisement over the solicitation. `probe`: the asker has no address yet (RFC 4862 section 5.4). */
static __always_inline void nd_write_answer(struct ethhdr *eth, struct ipv6hdr *ip, struct nd_message *message,
					    const __u8 *mac, int probe)
{
	if (probe) {
		/* RFC 4861 section 7.2.4: to all nodes, unsolicited. */
		__u16 *destination = (__u16 *)eth->h_dest;

		destination[0] = 0x3333;
		destination[1] = 0;
		destination[2] = bpf_htons(1);
		ip->daddr = (struct in6_addr){ .in6_u.u6_addr32 = { bpf_htonl(0xff020000), 0, 0, bpf_htonl(1) } };
	} else {
		mac_copy(eth->h_dest, eth->h_source);
		ip->daddr = ip->saddr;
	}
	mac_copy(eth->h_source, mac);
	ip->saddr = message->target;
	ip->payload_len = bpf_htons(ND_MESSAGE_LEN);
	message->type = ND_ADVERTISEMENT;
	message->checksum = 0;
	message->flags = bpf_htonl(probe ? NA_OVERRIDE : NA_SOLICITED | NA_OVERRIDE);
	message->option_type = ND_OPTION_TARGET_MAC;
	message->option_length = 1;
	mac_copy(message->option_mac, mac);
	message->checksum = nd_checksum(ip, message);
}

static __noinline int neigh_answer_nd(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	int length = packet_length(ctx), probe;
	struct ethhdr *eth = data;
	struct ipv6hdr *ip = data + ETH_HLEN;
	struct nd_message *message = (void *)(ip + 1);
	struct omni_address address;
	struct neigh_entry *entry;

	if ((void *)message + ND_SOLICITATION_LEN > end)
		return NEIGH_NOT_ASKED;
	if (ip->version != 6 || ip->nexthdr != IPPROTO_ICMPV6 || ip->hop_limit != ND_HOP_LIMIT ||
	    message->type != ND_SOLICITATION || message->code != 0)
		return NEIGH_NOT_ASKED;

	probe = !(ip->saddr.in6_u.u6_addr32[0] | ip->saddr.in6_u.u6_addr32[1] |
		  ip->saddr.in6_u.u6_addr32[2] | ip->saddr.in6_u.u6_addr32[3]);
	address = address_from_ipv6(&message->target);
	entry = bpf_map_lookup_elem(&neigh_map, &address);
	if (!entry)
		return probe ? NEIGH_NOT_ASKED : drop(OMNI_DROP_NEIGH_MISS);
	if (mac_equal(entry->mac, eth->h_source))
		return NEIGH_NOT_ASKED;

	/* A solicitation comes with other options, or none. */
	if (bpf_xdp_adjust_tail(ctx, ND_FRAME_LEN - length))
		return drop(OMNI_DROP_HEADROOM);
	data = (void *)(long)ctx->data;
	end = (void *)(long)ctx->data_end;
	if (data + ND_FRAME_LEN > end)
		return drop(OMNI_DROP_INTERNAL);
	eth = data;
	ip = data + ETH_HLEN;
	nd_write_answer(eth, ip, (void *)(ip + 1), entry->mac, probe);
	stat_add(OMNI_STAT_NEIGH_ANSWERED, 1);
	return neigh_send_back();
}

/* Verdict on a question, or NEIGH_NOT_ASKED. */
static __always_inline int neigh_answer(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	struct ethhdr *eth = data;

	if ((void *)(eth + 1) > end)
		return NEIGH_NOT_ASKED;
	switch (eth->h_proto) {
	case bpf_htons(ETH_P_ARP):
		return neigh_answer_arp(ctx);
	case bpf_htons(ETH_P_IPV6):
		return neigh_answer_nd(ctx);
	default:
		return NEIGH_NOT_ASKED;
	}
}

#endif /* OMNI_NEIGH_H */
