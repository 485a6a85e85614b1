/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * ARP (RFC 826) and neighbour discovery (RFC 4861) of a peer: it speaks for its
 * own addresses alone, and names no MAC but the frame's own source. A stack
 * believes both without looking at the Ethernet header.
 */
#ifndef OMNI_INNER_NEIGH_H
#define OMNI_INNER_NEIGH_H

#include "inner_source.h"
#include "neigh.h"

#define ND_ROUTER_SOLICITATION 133
#define ND_ROUTER_ADVERTISEMENT 134
#define ND_REDIRECT 137
#define ND_OPTION_SOURCE_MAC 1
/* An advertisement of a router has some; Linux reads as many as there are. */
#define ND_MAX_OPTIONS 8

/* `at`: behind the EtherType. Returns OMNI_DROP_NONE or a reason. */
OMNI_GLOBAL int inner_arp(struct xdp_md *ctx, __u32 at, __u64 peer)
{
	struct ethhdr *eth = inner_ethernet(ctx);
	struct span body = packet_from(ctx, at);
	struct arp_ipv4 *arp = body.at;
	struct omni_address address;

	if (!eth || (void *)(arp + 1) > body.end || arp->hardware != bpf_htons(ARP_ETHERNET) ||
	    arp->protocol != bpf_htons(ETH_P_IP) || arp->hardware_length != ETH_ALEN ||
	    arp->protocol_length != sizeof(arp->sender_ip) || !mac_equal(arp->sender_mac, eth->h_source))
		return OMNI_DROP_INNER_NEIGHBOUR;
	if (arp->operation != bpf_htons(ARP_REQUEST) && arp->operation != bpf_htons(ARP_REPLY))
		return OMNI_DROP_INNER_NEIGHBOUR;

	address = address_from_ipv4(load_be32(arp->sender_ip));
	if (!load_be32(arp->sender_ip)) {
		/* A probe (RFC 5227) claims its target, before it has an address. */
		if (arp->operation != bpf_htons(ARP_REQUEST))
			return OMNI_DROP_INNER_NEIGHBOUR;
		address = address_from_ipv4(load_be32(arp->target_ip));
	}
	return inner_owns(ctx, &address, peer) ? OMNI_DROP_NONE : OMNI_DROP_INNER_NEIGHBOUR;
}

/* Whether options fill the rest of a message, up to `end`, and name no MAC but the frame's source. */
OMNI_GLOBAL int inner_nd_options(struct xdp_md *ctx, __u32 at, __u32 end)
{
	for (int i = 0; i < ND_MAX_OPTIONS; i++) {
		struct ethhdr *eth = inner_ethernet(ctx);
		struct span option = packet_from(ctx, at);
		__u8 *bytes = option.at;

		if (at == end)
			return 1;
		if (!eth || (void *)(bytes + 8) > option.end)
			return 0;
		if (bytes[0] == ND_OPTION_SOURCE_MAC || bytes[0] == ND_OPTION_TARGET_MAC) {
			if (bytes[1] != 1 || !mac_equal(bytes + 2, eth->h_source))
				return 0;
		}
		if (bytes[1] == 0)
			return 0;
		at += bytes[1] * 8;
		if (at > end)
			return 0;
	}
	return at == end;
}

/* Bytes before the options. */
static __always_inline __u32 nd_fixed_length(__u8 type)
{
	switch (type) {
	case ND_ROUTER_SOLICITATION:
		return 8;
	case ND_ROUTER_ADVERTISEMENT:
		return 16;
	case ND_REDIRECT:
		return 40;
	default:
		return ND_SOLICITATION_LEN;
	}
}

static __always_inline int is_nd(__u8 type)
{
	return type >= ND_ROUTER_SOLICITATION && type <= ND_REDIRECT;
}

/*
 * A message from ND_ROUTER_SOLICITATION to ND_REDIRECT at `at`, right behind
 * the IPv6 header; the packet ends at `end`. Who has no address yet may ask for
 * a router, and whether somebody has the address that is to be its own.
 */
OMNI_GLOBAL int inner_nd(struct xdp_md *ctx, __u32 at, __u32 end, __u64 peer)
{
	struct span packet = packet_from(ctx, at - sizeof(struct ipv6hdr));
	struct ipv6hdr *ip = packet.at;
	__u8 *message = (void *)(ip + 1);
	struct omni_address source, target;
	__u32 fixed;
	__u8 type;

	if ((void *)(message + 8) > packet.end)
		return OMNI_DROP_INNER_NEIGHBOUR;
	type = message[0];
	fixed = nd_fixed_length(type);
	if (ip->hop_limit != ND_HOP_LIMIT || message[1] != 0 || at + fixed > end)
		return OMNI_DROP_INNER_NEIGHBOUR;
	if ((type == ND_ROUTER_ADVERTISEMENT || type == ND_REDIRECT) && !inner_peer_is(peer, OMNI_PEER_ROUTER))
		return OMNI_DROP_INNER_ROUTER;

	source = address_from_ipv6(&ip->saddr);
	target = source;
	if (type == ND_SOLICITATION || type == ND_ADVERTISEMENT) {
		if ((void *)(message + ND_SOLICITATION_LEN) > packet.end)
			return OMNI_DROP_INNER_NEIGHBOUR;
		target = address_from_ipv6((void *)(message + 8));
	}
	if (address_is_unspecified(&source)) {
		if (type == ND_ROUTER_SOLICITATION)
			return inner_nd_options(ctx, at + fixed, end) ? OMNI_DROP_NONE : OMNI_DROP_INNER_NEIGHBOUR;
		if (type != ND_SOLICITATION)
			return OMNI_DROP_INNER_NEIGHBOUR;
		source = target;
	}
	/* ::ffff:0:0/96 is how maps hold IPv4. */
	if (address_is_ipv4(&source) || address_is_ipv4(&target) || !inner_owns(ctx, &source, peer))
		return OMNI_DROP_INNER_NEIGHBOUR;
	if (type == ND_ADVERTISEMENT && !inner_owns(ctx, &target, peer))
		return OMNI_DROP_INNER_NEIGHBOUR;
	return inner_nd_options(ctx, at + fixed, end) ? OMNI_DROP_NONE : OMNI_DROP_INNER_NEIGHBOUR;
}

#endif /* OMNI_INNER_NEIGH_H */
