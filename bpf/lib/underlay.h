/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What arrives on an underlay interface: is it for us, and is it well-formed?
 *
 *   Ethernet | IPv4, no options | UDP to our port | payload
 */
#ifndef OMNI_UNDERLAY_H
#define OMNI_UNDERLAY_H

#include "address.h"
#include "config.h"
#include "drop.h"
#include "packet.h"

#define IP_MORE_FRAGMENTS 0x2000
#define IP_FRAGMENT_OFFSET 0x1fff
#define UNDERLAY_PAYLOAD (ETH_HLEN + (int)sizeof(struct iphdr) + (int)sizeof(struct udphdr))

enum underlay_kind {
	UNDERLAY_OTHER,		/* somebody else's traffic */
	UNDERLAY_OURS,
	UNDERLAY_MALFORMED,	/* to our port, but not as we send it */
};

struct datagram {
	__be32 source;
	__u32 length;	/* UDP payload */
};

/*
 * IP options and fragments never come from us: we send neither. A later
 * fragment has no port; the stack drops it for want of its first.
 */
static __always_inline enum underlay_kind underlay_parse(struct xdp_md *ctx, struct datagram *datagram)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	struct ethhdr *eth = data;
	struct iphdr *ip = data + ETH_HLEN;
	struct udphdr *udp;
	__u32 header_length, total;

	if ((void *)(ip + 1) > end || eth->h_proto != bpf_htons(ETH_P_IP) || ip->version != 4 ||
	    ip->protocol != IPPROTO_UDP || ip->frag_off & bpf_htons(IP_FRAGMENT_OFFSET))
		return UNDERLAY_OTHER;
	header_length = ip->ihl * 4;
	if (header_length < sizeof(*ip))
		return UNDERLAY_OTHER;
	udp = (void *)ip + header_length;
	if ((void *)&udp->len > end || udp->dest != config.port)
		return UNDERLAY_OTHER;

	total = bpf_ntohs(ip->tot_len);
	if (header_length != sizeof(*ip) || ip->frag_off & bpf_htons(IP_MORE_FRAGMENTS) || (void *)(udp + 1) > end ||
	    total < sizeof(*ip) + sizeof(*udp) || total > packet_length(ctx) - ETH_HLEN ||
	    bpf_ntohs(udp->len) != total - sizeof(*ip))
		return UNDERLAY_MALFORMED;
	datagram->source = ip->saddr;
	datagram->length = total - sizeof(*ip) - sizeof(*udp);
	return UNDERLAY_OURS;
}

/*
 * Whether this host would forward the packet: it is a router, and the packet
 * is on its way to somebody else's port of the same number. Asked only when a
 * packet is about to be refused.
 */
static __noinline int underlay_is_transit(struct xdp_md *ctx)
{
	struct iphdr *ip = (void *)(long)ctx->data + ETH_HLEN;
	struct bpf_fib_lookup fib = {};
	long result;

	if ((void *)(ip + 1) > (void *)(long)ctx->data_end)
		return 0;
	fib.family = AF_INET;
	fib.l4_protocol = IPPROTO_UDP;
	fib.ifindex = ctx->ingress_ifindex;
	fib.ipv4_src = ip->saddr;
	fib.ipv4_dst = ip->daddr;
	result = bpf_fib_lookup(ctx, &fib, sizeof(fib), 0);
	return result == BPF_FIB_LKUP_RET_SUCCESS || result == BPF_FIB_LKUP_RET_NO_NEIGH ||
	       result == BPF_FIB_LKUP_RET_UNSUPP_LWT;
}

/* For what is not known to be ours by anything but its port. */
static __always_inline int underlay_refuse(struct xdp_md *ctx, __u32 reason)
{
	return underlay_is_transit(ctx) ? XDP_PASS : drop(reason);
}

#endif /* OMNI_UNDERLAY_H */
