/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Outer headers and the way out. One writer per underlay family: IPv6 gets its
 * own beside encap_ipv4, with its own overhead.
 */
#ifndef OMNI_ENCAP_H
#define OMNI_ENCAP_H

#include "address.h"
#include "config.h"
#include "drop.h"
#include "packet.h"
#include "slowpath.h"

#define OUTER_TTL 64
#define IP_DF 0x4000

/* Where a sealed datagram goes. */
struct encap_route {
	__u32 ifindex;
	__u32 resolve;	/* the neighbour's MAC is not known yet: by way of the stack */
};

static __always_inline __u32 encap_drop_reason(long fib_result)
{
	switch (fib_result) {
	case BPF_FIB_LKUP_RET_FRAG_NEEDED:
		return OMNI_DROP_MTU;
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

static __always_inline void encap_write_ipv4(struct iphdr *ip, __be32 source, __be32 destination, __u32 length)
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

/*
 * Finds the way to the endpoint, then grows the packet by OMNI_OVERHEAD_IPV4
 * and writes Ethernet, IPv4 and UDP headers. `inner_length` 0 leaves the frame
 * off. Returns OMNI_DROP_NONE or a reason.
 */
static __noinline int encap_ipv4(struct xdp_md *ctx, const struct omni_endpoint *endpoint, __u32 inner_length,
				 struct encap_route *route)
{
	__u32 length = inner_length + OMNI_OVERHEAD_IPV4 - ETH_HLEN;
	struct bpf_fib_lookup fib = {};
	struct ethhdr *eth;
	struct iphdr *ip;
	struct udphdr *udp;
	void *data, *end;
	int frame_length = packet_length(ctx);
	__be16 source_port;
	long result;

	source_port = endpoint->local_port ? endpoint->local_port : config.port;
	fib.family = AF_INET;
	fib.l4_protocol = IPPROTO_UDP;
	fib.sport = source_port;
	fib.dport = endpoint->remote_port;
	fib.tot_len = length;
	fib.ifindex = ctx->ingress_ifindex;
	fib.ipv4_src = address_ipv4(&endpoint->local);
	fib.ipv4_dst = address_ipv4(&endpoint->remote);
	result = bpf_fib_lookup(ctx, &fib, sizeof(fib), 0);
	if (result != BPF_FIB_LKUP_RET_SUCCESS && result != BPF_FIB_LKUP_RET_NO_NEIGH)
		return encap_drop_reason(result);
	route->ifindex = fib.ifindex;
	route->resolve = result == BPF_FIB_LKUP_RET_NO_NEIGH;

	if (bpf_xdp_adjust_head(ctx, -OMNI_OVERHEAD_IPV4))
		return OMNI_DROP_HEADROOM;
	if (!inner_length && bpf_xdp_adjust_tail(ctx, -frame_length))
		return OMNI_DROP_INTERNAL;

	data = (void *)(long)ctx->data;
	end = (void *)(long)ctx->data_end;
	if (data + OMNI_OVERHEAD_IPV4 > end)
		return OMNI_DROP_INTERNAL;
	eth = data;
	ip = data + ETH_HLEN;
	udp = data + ETH_HLEN + sizeof(*ip);

	/* Without a neighbour, zeros until the stack fills them in: no MAC of the overlay either way. */
	__builtin_memset(eth, 0, 2 * ETH_ALEN);
	if (!route->resolve) {
		mac_copy(eth->h_dest, fib.dmac);
		mac_copy(eth->h_source, fib.smac);
	}
	eth->h_proto = bpf_htons(ETH_P_IP);
	encap_write_ipv4(ip, address_ipv4(&endpoint->local), address_ipv4(&endpoint->remote), length);
	udp->source = source_port;
	udp->dest = endpoint->remote_port;
	udp->len = bpf_htons(length - sizeof(*ip));
	udp->check = 0; /* RFC 768: none; the tag protects what matters */
	return OMNI_DROP_NONE;
}

/* The verdict that sends a finished datagram on its way. */
static __always_inline int encap_send(struct xdp_md *ctx, const struct encap_route *route)
{
	struct slowpath_meta *meta;

	if (!route->resolve)
		return bpf_redirect(route->ifindex, 0);

	if (bpf_xdp_adjust_meta(ctx, -(int)sizeof(*meta)))
		return drop(OMNI_DROP_HEADROOM);
	meta = (void *)(long)ctx->data_meta;
	if ((void *)(meta + 1) > (void *)(long)ctx->data)
		return drop(OMNI_DROP_INTERNAL);
	meta->magic = SLOWPATH_MAGIC;
	meta->ifindex = route->ifindex;
	stat_add(OMNI_STAT_NEIGH_RESOLVE, 1);
	return XDP_PASS;
}

#endif /* OMNI_ENCAP_H */
