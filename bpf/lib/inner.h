/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Which frames of a peer the stack may see. The session proves the peer; a
 * frame is accepted by its shape, and what it says of itself must be the
 * peer's, as manifests say. The shapes are those that Linux does not unwrap
 * further than they were looked at:
 *
 *   Ethernet | up to two tags | IPv4, IPv6         inner_ip.h, inner_source.h
 *   Ethernet | up to two tags | ARP                inner_neigh.h (and neighbour discovery)
 *   Ethernet | up to two tags | message of an agent, EtherType that the Cluster lists
 *   Ethernet | path frame                          path.h
 */
#ifndef OMNI_INNER_H
#define OMNI_INNER_H

#include "inner_ip.h"

#define INNER_TAG_LEN 4
/*
 * Linux takes off any number of tags with VLAN 0, so that all tags are walked,
 * or the frame is dropped.
 */
#define INNER_MAX_TAGS 2

#define INNER_FRAME OMNI_DROP_NONE
/* inner_check() returns a drop reason, OMNI_DROP_NONE for a frame, or this, which is no drop reason, for a path message. */
#define INNER_PATH OMNI_DROP_MAX

static __always_inline int inner_is_tag(__be16 type)
{
	return type == bpf_htons(ETH_P_8021Q) || type == bpf_htons(ETH_P_8021AD);
}

/* Whether the Cluster lets the EtherType in. */
static __always_inline int inner_is_listed(__be16 type)
{
	__u32 zero = 0;
	const struct policy_entry *policy = bpf_map_lookup_elem(&policy_map, &zero);

	if (!policy)
		return 0;
#pragma unroll
	for (__u32 i = 0; i < OMNI_MAX_ETHERTYPES; i++)
		if (i < policy->ethertype_count && policy->ethertypes[i] == type)
			return 1;
	return 0;
}

/*
 * Of the frame at INNER_AT, at least an Ethernet header: INNER_FRAME, INNER_PATH,
 * or why it is dropped. One look-up for its MAC, one for a declared address.
 */
OMNI_GLOBAL int inner_check(struct xdp_md *ctx, __u64 peer)
{
	struct ethhdr *eth = inner_ethernet(ctx);
	struct span rest = packet_from(ctx, INNER_AT + ETH_HLEN);
	struct fdb_entry *forward;
	struct fdb_key key = {};
	__u32 tags = 0;
	__be16 type;

	if (!eth)
		return OMNI_DROP_INNER_MALFORMED;
	mac_copy(key.mac, eth->h_source);
	forward = bpf_map_lookup_elem(&fdb_map, &key);
	if (!forward || forward->peer != peer)
		return OMNI_DROP_INNER_SOURCE;
	if (eth->h_dest[0] & 1)
		return OMNI_DROP_MULTICAST;

	type = eth->h_proto;
#pragma unroll
	for (int i = 0; i < INNER_MAX_TAGS; i++) {
		if (!inner_is_tag(type))
			break;
		if (rest.at + INNER_TAG_LEN > rest.end)
			return OMNI_DROP_INNER_TAGS;
		type = ((__be16 *)rest.at)[1];
		rest.at += INNER_TAG_LEN;
		tags++;
	}
	switch (type) {
	case bpf_htons(ETH_P_IP):
		return inner_ipv4(ctx, INNER_AT + ETH_HLEN + tags * INNER_TAG_LEN, peer);
	case bpf_htons(ETH_P_IPV6):
		return inner_ipv6(ctx, INNER_AT + ETH_HLEN + tags * INNER_TAG_LEN, peer);
	case bpf_htons(ETH_P_ARP):
		return inner_arp(ctx, INNER_AT + ETH_HLEN + tags * INNER_TAG_LEN, peer);
	case bpf_htons(ETH_P_8021Q):
	case bpf_htons(ETH_P_8021AD):
		return OMNI_DROP_INNER_TAGS;
	case bpf_htons(OMNI_ETHERTYPE_PATH):
		return tags ? OMNI_DROP_INNER_ETHERTYPE : INNER_PATH;
	case bpf_htons(OMNI_ETHERTYPE_MESSAGE):
		return INNER_FRAME;
	default:
		return inner_is_listed(type) ? INNER_FRAME : OMNI_DROP_INNER_ETHERTYPE;
	}
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

	if (mac_equal(eth->h_dest, mac))
		return;
	mac_copy(key.mac, eth->h_dest);
	forward = bpf_map_lookup_elem(&fdb_map, &key);
	if (forward && !forward->peer)
		mac_copy(eth->h_dest, mac);
}

#endif /* OMNI_INNER_H */
