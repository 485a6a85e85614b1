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

/*
 * A declared address belongs to one peer, which may send from another MAC than
 * the declared one while its key is being changed; of other addresses we know
 * nothing. `mac` is the peer's.
 */
static __always_inline int inner_address_allowed(const struct omni_address *address, const __u8 *mac, __u64 peer)
{
	struct neigh_entry *entry = bpf_map_lookup_elem(&neigh_map, address);
	struct fdb_entry *holder;
	struct fdb_key key = {};

	if (!entry || mac_equal(entry->mac, mac))
		return 1;
	mac_copy(key.mac, entry->mac);
	holder = bpf_map_lookup_elem(&fdb_map, &key);
	return holder && holder->peer == peer;
}

static __always_inline int inner_ipv6_allowed(const struct ethhdr *eth, const struct ipv6hdr *ip, const void *end,
					      __u64 peer)
{
	const struct nd_message *message = (const void *)(ip + 1);
	struct omni_address address;

	if ((const void *)(ip + 1) > end)
		return 1;
	address = address_from_ipv6(&ip->saddr);
	if (!inner_address_allowed(&address, eth->h_source, peer))
		return 0;

	/* An advertisement claims an address other than its source's. */
	if (ip->nexthdr != IPPROTO_ICMPV6 || (const void *)message + ND_SOLICITATION_LEN > end ||
	    message->type != ND_ADVERTISEMENT)
		return 1;
	address = address_from_ipv6(&message->target);
	return inner_address_allowed(&address, eth->h_source, peer);
}

enum inner_verdict {
	INNER_REFUSED = 0,	/* whom it says it is from, is not the peer */
	INNER_FRAME,
	INNER_PATH,		/* a path message, or what pretends to be one behind tags */
};

/* The frame begins at OMNI_OVERHEAD_IPV4; at least an Ethernet header of it is there. */
static __noinline int inner_check(struct xdp_md *ctx, __u64 peer)
{
	struct span frame = packet_from(ctx, OMNI_OVERHEAD_IPV4);
	struct ethhdr *eth = frame.at;
	struct omni_address address;
	struct fdb_entry *forward;
	struct fdb_key key = {};
	__be16 type;
	void *at;

	if ((void *)(eth + 1) > frame.end)
		return INNER_REFUSED;
	mac_copy(key.mac, eth->h_source);
	forward = bpf_map_lookup_elem(&fdb_map, &key);
	if (!forward || forward->peer != peer)
		return INNER_REFUSED;

	type = eth->h_proto;
	at = eth + 1;
#pragma unroll
	for (int tag = 0; tag < 2; tag++) {
		if (type != bpf_htons(ETH_P_VLAN) && type != bpf_htons(ETH_P_QINQ))
			break;
		if (at + VLAN_HLEN > frame.end)
			return INNER_FRAME;
		type = ((__be16 *)at)[1];
		at += VLAN_HLEN;
	}

	if (type == bpf_htons(ETH_P_IP)) {
		struct iphdr *ip = at;

		if ((void *)(ip + 1) > frame.end)
			return INNER_FRAME;
		address = address_from_ipv4(ip->saddr);
		return inner_address_allowed(&address, eth->h_source, peer) ? INNER_FRAME : INNER_REFUSED;
	}
	if (type == bpf_htons(ETH_P_ARP)) {
		struct arp_ipv4 *arp = at;

		if ((void *)(arp + 1) > frame.end)
			return INNER_FRAME;
		address = address_from_ipv4(load_be32(arp->sender_ip));
		return inner_address_allowed(&address, eth->h_source, peer) ? INNER_FRAME : INNER_REFUSED;
	}
	if (type == bpf_htons(ETH_P_IPV6))
		return inner_ipv6_allowed(eth, at, frame.end, peer) ? INNER_FRAME : INNER_REFUSED;
	return type == bpf_htons(OMNI_ETHERTYPE_PATH) ? INNER_PATH : INNER_FRAME;
}

/*
 * omni0 takes what is sent to its MAC; while the node's key is being changed,
 * peers know it by another one too.
 */
static __always_inline void inner_readdress(struct ethhdr *eth)
{
	__u8 mac[ETH_ALEN] = { config.local_mac[0], config.local_mac[1], config.local_mac[2],
			       config.local_mac[3], config.local_mac[4], config.local_mac[5] };
	struct fdb_entry *forward;
	struct fdb_key key = {};

	if (mac_equal(eth->h_dest, mac) || eth->h_dest[0] & 1)
		return;
	mac_copy(key.mac, eth->h_dest);
	forward = bpf_map_lookup_elem(&fdb_map, &key);
	if (forward && !forward->peer)
		mac_copy(eth->h_dest, mac);
}

#endif /* OMNI_INNER_H */
