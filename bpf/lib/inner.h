/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Whether a frame's sender may be whom it says it is. The session proves the
 * peer; manifests say which MACs a peer has, and which MAC an address has.
 */
#ifndef OMNI_INNER_H
#define OMNI_INNER_H

#include "neigh.h"

#define VLAN_HLEN 4
#define ETH_P_VLAN 0x8100
#define ETH_P_QINQ 0x88a8

/* Declared addresses belong to one MAC; of others we know nothing. */
static __always_inline int inner_address_allowed(const struct omni_address *address, const __u8 *mac)
{
	struct neigh_entry *entry = bpf_map_lookup_elem(&neigh_map, address);

	return !entry || mac_equal(entry->mac, mac);
}

static __always_inline int inner_ipv6_allowed(const struct ethhdr *eth, const struct ipv6hdr *ip, const void *end)
{
	const struct nd_message *message = (const void *)(ip + 1);
	struct omni_address address;

	if ((const void *)(ip + 1) > end)
		return 1;
	address = address_from_ipv6(&ip->saddr);
	if (!inner_address_allowed(&address, eth->h_source))
		return 0;

	/* An advertisement claims an address other than its source's. */
	if (ip->nexthdr != IPPROTO_ICMPV6 || (const void *)message + ND_SOLICITATION_LEN > end ||
	    message->type != ND_ADVERTISEMENT)
		return 1;
	address = address_from_ipv6(&message->target);
	return inner_address_allowed(&address, eth->h_source);
}

/* The frame begins at OMNI_OVERHEAD_IPV4; at least an Ethernet header of it is there. */
static __noinline int inner_source_allowed(struct xdp_md *ctx, __u64 peer)
{
	struct span frame = packet_from(ctx, OMNI_OVERHEAD_IPV4);
	struct ethhdr *eth = frame.at;
	struct omni_address address;
	struct fdb_entry *forward;
	struct fdb_key key = {};
	__be16 type;
	void *at;

	if ((void *)(eth + 1) > frame.end)
		return 0;
	mac_copy(key.mac, eth->h_source);
	forward = bpf_map_lookup_elem(&fdb_map, &key);
	if (!forward || forward->peer != peer)
		return 0;

	type = eth->h_proto;
	at = eth + 1;
#pragma unroll
	for (int tag = 0; tag < 2; tag++) {
		if (type != bpf_htons(ETH_P_VLAN) && type != bpf_htons(ETH_P_QINQ))
			break;
		if (at + VLAN_HLEN > frame.end)
			return 1;
		type = ((__be16 *)at)[1];
		at += VLAN_HLEN;
	}

	if (type == bpf_htons(ETH_P_IP)) {
		struct iphdr *ip = at;

		if ((void *)(ip + 1) > frame.end)
			return 1;
		address = address_from_ipv4(ip->saddr);
		return inner_address_allowed(&address, eth->h_source);
	}
	if (type == bpf_htons(ETH_P_ARP)) {
		struct arp_ipv4 *arp = at;

		if ((void *)(arp + 1) > frame.end)
			return 1;
		address = address_from_ipv4(load_be32(arp->sender_ip));
		return inner_address_allowed(&address, eth->h_source);
	}
	if (type == bpf_htons(ETH_P_IPV6))
		return inner_ipv6_allowed(eth, at, frame.end);
	return 1;
}

#endif /* OMNI_INNER_H */
