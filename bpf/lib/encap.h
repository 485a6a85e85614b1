/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Outer headers and the way out. lib/aead.h seals behind OMNI_OVERHEAD_IPV4
 * bytes; the headers are written in front of that afterwards, and IPv6's grow
 * the packet by what they are longer.
 */
#ifndef OMNI_ENCAP_H
#define OMNI_ENCAP_H

#include "address.h"
#include "checksum.h"
#include "config.h"
#include "drop.h"
#include "slowpath.h"

#define OUTER_TTL 64
#define IP_DF 0x4000
#define IP6_VERSION 0x60000000
#define IP6_FLOW_LABEL 0x000fffff

/* Where a sealed datagram goes. */
struct encap_route {
	__u32 ifindex;
	__u32 resolve;		/* the neighbour's MAC is not known yet: by way of the stack */
	__u8 macs[2 * ETH_ALEN];	/* destination, source; zeros until the stack fills them in */
	__be16 source_port;
	__be16 ethertype;
	__be32 flow_label;	/* IPv6 */
};

static __always_inline __u32 encap_drop_reason(long fib_result)
{
	switch (fib_result) {
	case BPF_FIB_LKUP_RET_BLACKHOLE:
	case BPF_FIB_LKUP_RET_UNREACHABLE:
	case BPF_FIB_LKUP_RET_PROHIBIT:
	case BPF_FIB_LKUP_RET_NOT_FWDED:
	case BPF_FIB_LKUP_RET_UNSUPP_LWT:
		return OMNI_DROP_NO_ROUTE;
	default: /* FWD_DISABLED: user space did not enable forwarding on this device; or an errno */
		return OMNI_DROP_INTERNAL;
	}
}

/* Both ends are known, and of one family. */
static __always_inline int encap_possible(const struct omni_endpoint *endpoint)
{
	return address_is_ipv4(&endpoint->remote) == address_is_ipv4(&endpoint->local) &&
	       !address_is_unspecified(&endpoint->local);
}

/* One label for everything between two endpoints, since it is one flow (RFC 6437): never 0, which is none. */
static __always_inline __be32 encap_flow_label(const struct omni_endpoint *endpoint, __be16 source_port)
{
	const __u32 *a = (const __u32 *)&endpoint->local, *b = (const __u32 *)&endpoint->remote;
	__u32 hash = source_port | (__u32)endpoint->remote_port << 16;

#pragma unroll
	for (int i = 0; i < 4; i++) {
		hash = (hash ^ a[i]) * 0x9e3779b1; /* 2^32 / golden ratio, odd */
		hash = (hash ^ b[i] ^ hash >> 15) * 0x85ebca77;
	}
	hash = hash >> 12 & IP6_FLOW_LABEL;
	return bpf_htonl(hash ? hash : 1);
}

/*
 * Whether an IP packet of that length fits the device. The route's MTU is not
 * asked for: it includes what ICMP errors taught the kernel, which anybody can
 * forge. What fits the path beyond is known by authenticated probes.
 */
static __always_inline int encap_fits(struct xdp_md *ctx, __u32 ifindex, __u32 length)
{
	return bpf_check_mtu(ctx, ifindex, &length, 0, 0) == BPF_MTU_CHK_RET_SUCCESS;
}

/* An endpoint that is reached through the overlay would make datagrams of datagrams without end. */
static __always_inline int encap_is_overlay(__u32 ifindex)
{
	return ifindex == config.ifindex_inner || ifindex == config.ifindex_outer;
}

/* Finds the route to the endpoint for a frame of `inner_length` bytes. Returns OMNI_DROP_NONE or a reason. */
static __noinline int encap_find_way(struct xdp_md *ctx, const struct omni_endpoint *endpoint, __u32 inner_length,
				     struct encap_route *route)
{
	struct bpf_fib_lookup fib = {};
	__u32 length = inner_length - ETH_HLEN;
	long result;

	route->source_port = endpoint->local_port ? endpoint->local_port : config.port;
	fib.l4_protocol = IPPROTO_UDP;
	fib.sport = route->source_port;
	fib.dport = endpoint->remote_port;
	fib.ifindex = ctx->ingress_ifindex;
	if (address_is_ipv4(&endpoint->remote)) {
		route->ethertype = bpf_htons(ETH_P_IP);
		fib.family = AF_INET;
		length += OMNI_OVERHEAD_IPV4;
		fib.ipv4_src = address_ipv4(&endpoint->local);
		fib.ipv4_dst = address_ipv4(&endpoint->remote);
	} else {
		route->ethertype = bpf_htons(ETH_P_IPV6);
		route->flow_label = encap_flow_label(endpoint, route->source_port);
		fib.family = AF_INET6;
		length += OMNI_OVERHEAD_IPV6;
		fib.flowinfo = route->flow_label;
		__builtin_memcpy(fib.ipv6_src, &endpoint->local, sizeof(fib.ipv6_src));
		__builtin_memcpy(fib.ipv6_dst, &endpoint->remote, sizeof(fib.ipv6_dst));
	}
	result = bpf_fib_lookup(ctx, &fib, sizeof(fib), 0);
	if (result != BPF_FIB_LKUP_RET_SUCCESS && result != BPF_FIB_LKUP_RET_NO_NEIGH)
		return encap_drop_reason(result);
	if (encap_is_overlay(fib.ifindex))
		return OMNI_DROP_LOOP;
	if (!encap_fits(ctx, fib.ifindex, length))
		return OMNI_DROP_MTU;
	route->ifindex = fib.ifindex;
	route->resolve = result == BPF_FIB_LKUP_RET_NO_NEIGH;
	if (!route->resolve) {
		mac_copy(route->macs, fib.dmac);
		mac_copy(route->macs + ETH_ALEN, fib.smac);
	}
	return OMNI_DROP_NONE;
}

/* Makes room for outer headers in front of the frame; `inner_length` 0 leaves the frame off. */
static __always_inline int encap_grow(struct xdp_md *ctx, __u32 inner_length)
{
	int frame_length = packet_length(ctx);

	if (bpf_xdp_adjust_head(ctx, -OMNI_OVERHEAD_IPV4))
		return OMNI_DROP_HEADROOM;
	return !inner_length && bpf_xdp_adjust_tail(ctx, -frame_length) ? OMNI_DROP_INTERNAL : OMNI_DROP_NONE;
}

static __always_inline void encap_write_ethernet(struct ethhdr *eth, const struct encap_route *route)
{
	mac_copy(eth->h_dest, route->macs);
	mac_copy(eth->h_source, route->macs + ETH_ALEN);
	eth->h_proto = route->ethertype;
}

static __always_inline void encap_write_udp(struct udphdr *udp, const struct omni_endpoint *endpoint,
					    const struct encap_route *route, __u32 length)
{
	udp->source = route->source_port;
	udp->dest = endpoint->remote_port;
	udp->len = bpf_htons(length);
	udp->check = 0; /* RFC 768: none; the tag protects what matters */
}

static __always_inline void encap_write_ip(struct iphdr *ip, __be32 source, __be32 destination, __u32 length)
{
	__u32 sum;

	ip->version = 4;
	ip->ihl = sizeof(*ip) / 4;
	ip->tos = 0;
	ip->tot_len = bpf_htons(length);
	ip->id = 0; /* RFC 6864: meaningless in an atomic datagram */
	ip->frag_off = bpf_htons(IP_DF);
	ip->ttl = OUTER_TTL;
	ip->protocol = IPPROTO_UDP;
	ip->saddr = source;
	ip->daddr = destination;

	/* RFC 1071: one's complement sum, in whichever byte order it was added up. */
	sum = bpf_htons(0x4500) + bpf_htons(length) + bpf_htons(IP_DF) + bpf_htons(OUTER_TTL << 8 | IPPROTO_UDP) +
	      (source & 0xffff) + (source >> 16) + (destination & 0xffff) + (destination >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	ip->check = ~sum;
}

/* The headers in front of a sealed frame. Returns OMNI_DROP_NONE or a reason. */
static __always_inline int encap_write_ipv4(struct xdp_md *ctx, const struct omni_endpoint *endpoint,
					    const struct encap_route *route, __u32 inner_length)
{
	__u32 length = inner_length + OMNI_OVERHEAD_IPV4 - ETH_HLEN;
	void *data = (void *)(long)ctx->data;
	struct iphdr *ip = data + ETH_HLEN;
	struct udphdr *udp = (void *)(ip + 1);

	if ((void *)(udp + 1) > (void *)(long)ctx->data_end)
		return OMNI_DROP_INTERNAL;
	encap_write_ethernet(data, route);
	encap_write_ip(ip, address_ipv4(&endpoint->local), address_ipv4(&endpoint->remote), length);
	encap_write_udp(udp, endpoint, route, length - sizeof(*ip));
	return OMNI_DROP_NONE;
}

/*
 * The same. The checksum is due (RFC 8200, section 8.1; tunnels may leave it
 * out, but middleboxes do not ask what is one): over the pseudo-header, whose
 * addresses stand in front of the UDP header, and over all that follows.
 */
static __noinline int encap_write_ipv6(struct xdp_md *ctx, const struct omni_endpoint *endpoint,
				       const struct encap_route *route, __u32 inner_length)
{
	__u32 length = inner_length + OMNI_OVERHEAD_IPV6 - ETH_HLEN - sizeof(struct ipv6hdr);
	struct ipv6hdr *ip;
	struct udphdr *udp;
	void *data;
	__u32 sum;

	if (bpf_xdp_adjust_head(ctx, OMNI_OVERHEAD_IPV4 - OMNI_OVERHEAD_IPV6))
		return OMNI_DROP_HEADROOM;
	data = (void *)(long)ctx->data;
	ip = data + ETH_HLEN;
	udp = (void *)(ip + 1);
	if ((void *)(udp + 1) > (void *)(long)ctx->data_end)
		return OMNI_DROP_INTERNAL;
	encap_write_ethernet(data, route);
	*(__be32 *)ip = bpf_htonl(IP6_VERSION) | route->flow_label;
	ip->payload_len = bpf_htons(length);
	ip->nexthdr = IPPROTO_UDP;
	ip->hop_limit = OUTER_TTL;
	__builtin_memcpy(&ip->saddr, &endpoint->local, sizeof(ip->saddr));
	__builtin_memcpy(&ip->daddr, &endpoint->remote, sizeof(ip->daddr));
	encap_write_udp(udp, endpoint, route, length);

	sum = checksum_packet(ctx, ETH_HLEN + __builtin_offsetof(struct ipv6hdr, saddr),
			      2 * sizeof(struct in6_addr) + length);
	sum = (__u16)~checksum_fold((__u64)sum + bpf_htons(length) + bpf_htons(IPPROTO_UDP));
	data = (void *)(long)ctx->data;
	udp = data + ETH_HLEN + sizeof(*ip);
	if ((void *)(udp + 1) > (void *)(long)ctx->data_end)
		return OMNI_DROP_INTERNAL;
	udp->check = sum ? sum : 0xffff; /* RFC 768: 0 would be none */
	return OMNI_DROP_NONE;
}

static __always_inline int encap_write(struct xdp_md *ctx, const struct omni_endpoint *endpoint,
				       const struct encap_route *route, __u32 inner_length)
{
	return route->ethertype == bpf_htons(ETH_P_IP) ? encap_write_ipv4(ctx, endpoint, route, inner_length) :
							 encap_write_ipv6(ctx, endpoint, route, inner_length);
}

/* The verdict that sends a finished datagram on its way: by way of the stack, where XDP alone would not get it there. */
static __always_inline int encap_send(struct xdp_md *ctx, const struct encap_route *route)
{
	struct slowpath_meta *meta;
	int verdict;

	if (!route->resolve) {
		verdict = bpf_redirect_map(&xmit_map, route->ifindex, XDP_PASS);
		if (verdict != XDP_PASS)
			return verdict;
	}
	if (bpf_xdp_adjust_meta(ctx, -(int)sizeof(*meta)))
		return drop(OMNI_DROP_HEADROOM);
	meta = (void *)(long)ctx->data_meta;
	if ((void *)(meta + 1) > (void *)(long)ctx->data)
		return drop(OMNI_DROP_INTERNAL);
	meta->magic = SLOWPATH_MAGIC;
	meta->ifindex = route->ifindex;
	if (route->resolve)
		stat_add(OMNI_STAT_NEIGH_RESOLVE, 1);
	return XDP_PASS;
}

#endif /* OMNI_ENCAP_H */
