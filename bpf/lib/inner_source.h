/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Whether a peer may speak for an IP address: manifests say which MACs a peer
 * has, which MAC an address has, which subnets the cluster has, and whether
 * addresses outside of them are let in.
 */
#ifndef OMNI_INNER_SOURCE_H
#define OMNI_INNER_SOURCE_H

#include "address.h"
#include "drop.h"
#include "packet.h"

/* Where the frame begins in the packet. */
#define INNER_AT OMNI_OVERHEAD_IPV4

/* NULL: there is none. */
static __always_inline struct ethhdr *inner_ethernet(struct xdp_md *ctx)
{
	struct span frame = packet_from(ctx, INNER_AT);
	struct ethhdr *eth = frame.at;

	return (void *)(eth + 1) > frame.end ? NULL : eth;
}

/* `role`: of enum omni_peer_flags. */
static __always_inline int inner_peer_is(__u64 peer, __u32 role)
{
	const struct peer_entry *entry = bpf_map_lookup_elem(&peer_map, &peer);

	return entry && entry->flags & role;
}

/* By which manifest an address belongs to somebody. */
enum inner_holder {
	INNER_HOLDER_NOBODY = 0,
	INNER_HOLDER_PEER,
	INNER_HOLDER_OTHER,
};

/*
 * A declared address belongs to one peer, which may send from another MAC than
 * the declared one while its key is being changed. The frame's source MAC was
 * found to be the peer's. The map's key is a copy: kernels before 5.18 take no
 * key from a global function's argument.
 */
static __always_inline enum inner_holder inner_holder_of(const struct omni_address *address, const struct ethhdr *eth,
							 __u64 peer)
{
	struct omni_address key = *address;
	struct neigh_entry *entry = bpf_map_lookup_elem(&neigh_map, &key);
	struct fdb_key mac = {};
	struct fdb_entry *holder;

	if (!entry)
		return INNER_HOLDER_NOBODY;
	if (mac_equal(entry->mac, eth->h_source))
		return INNER_HOLDER_PEER;
	mac_copy(mac.mac, entry->mac);
	holder = bpf_map_lookup_elem(&fdb_map, &mac);
	return holder && holder->peer == peer ? INNER_HOLDER_PEER : INNER_HOLDER_OTHER;
}

/*
 * The link-local address that the frame's source MAC makes (RFC 4291, appendix
 * A), of a peer that is a router. Other link-local addresses are nobody's: no
 * manifest declares them, so that nothing would tell one robot's from another's.
 */
static __always_inline int inner_is_own_link_local(const struct omni_address *address, const struct ethhdr *eth,
						   __u64 peer)
{
	const __u32 *words = (const __u32 *)address;
	const __u8 *id = &address->bytes[8], *mac = eth->h_source;

	return words[0] == bpf_htonl(0xfe800000) && words[1] == 0 &&
	       id[0] == (mac[0] ^ 2) && id[1] == mac[1] && id[2] == mac[2] && id[3] == 0xff &&
	       id[4] == 0xfe && id[5] == mac[3] && id[6] == mac[4] && id[7] == mac[5] &&
	       inner_peer_is(peer, OMNI_PEER_ROUTER);
}

/* The peer's own by a manifest, or by its MAC. Neighbour discovery and ARP speak for no others. */
OMNI_GLOBAL int inner_owns(struct xdp_md *ctx, struct omni_address *address, __u64 peer)
{
	struct ethhdr *eth = inner_ethernet(ctx);

	if (!eth || !address)
		return 0;
	return inner_holder_of(address, eth, peer) == INNER_HOLDER_PEER ||
	       inner_is_own_link_local(address, eth, peer);
}

/*
 * Addresses that never are the source of a packet on a wire: 0.0.0.0/8,
 * loopback, multicast and what is reserved behind it; in IPv6 ::/32, in which
 * unspecified, loopback and all forms of IPv4 addresses lie that a stack takes
 * apart (the one of our maps, ::ffff:0:0/96, among them), and multicast.
 */
static __always_inline int inner_is_no_source(const struct omni_address *address)
{
	const __u32 *words = (const __u32 *)address;
	__u8 first = address->bytes[12];

	if (address_is_ipv4(address))
		return first == 0 || first == 127 || first >= 224;
	return words[0] == 0 || address->bytes[0] == 0xff;
}

/* Whether an undeclared address may be a source: outside the subnets, where the Cluster says so. */
OMNI_GLOBAL int inner_undeclared(struct xdp_md *ctx, struct omni_address *address, __u64 peer)
{
	struct ethhdr *eth = inner_ethernet(ctx);
	struct subnet_key key = { .prefix_length = 128 };
	struct policy_entry *policy;
	__u32 zero = 0;

	if (!eth || !address || inner_is_no_source(address))
		return OMNI_DROP_INNER_SOURCE;
	key.address = *address;
	if (bpf_map_lookup_elem(&subnet_map, &key))
		return OMNI_DROP_INNER_SOURCE;
	if (!address_is_ipv4(address) && (((const __u16 *)address)[0] & bpf_htons(0xffc0)) == bpf_htons(0xfe80))
		return inner_is_own_link_local(address, eth, peer) ? OMNI_DROP_NONE : OMNI_DROP_INNER_SOURCE;
	policy = bpf_map_lookup_elem(&policy_map, &zero);
	return policy && policy->foreign_sources == OMNI_FOREIGN_SOURCES_ALLOW ? OMNI_DROP_NONE :
										 OMNI_DROP_INNER_FOREIGN;
}

/* Whether the peer may send from the address. Returns OMNI_DROP_NONE or a reason. One look-up for a declared one. */
OMNI_GLOBAL int inner_source(struct xdp_md *ctx, struct omni_address *address, __u64 peer)
{
	struct ethhdr *eth = inner_ethernet(ctx);

	if (!eth || !address)
		return OMNI_DROP_INNER_SOURCE;
	switch (inner_holder_of(address, eth, peer)) {
	case INNER_HOLDER_PEER:
		return OMNI_DROP_NONE;
	case INNER_HOLDER_OTHER:
		return OMNI_DROP_INNER_SOURCE;
	default:
		return inner_undeclared(ctx, address, peer);
	}
}

/* Of an IPv6 header; ::ffff:0:0/96 is how maps hold IPv4. */
static __always_inline int inner_source_ipv6(struct xdp_md *ctx, struct omni_address *address, __u64 peer)
{
	return address_is_ipv4(address) ? OMNI_DROP_INNER_SOURCE : inner_source(ctx, address, peer);
}

#endif /* OMNI_INNER_SOURCE_H */
