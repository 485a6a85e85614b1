/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What arrives on an underlay interface: is it for us, and is it well-formed?
 *
 *   Ethernet | IPv4, no options              | UDP to our port | payload
 *   Ethernet | IPv6, no extension headers    | UDP to our port | payload
 *
 * Linux takes off any number of priority tags (VLAN 0) behind the programs, so
 * UDP to our port behind one is refused. Other VLANs are other networks.
 */
#ifndef OMNI_UNDERLAY_H
#define OMNI_UNDERLAY_H

#include "address.h"
#include "config.h"
#include "drop.h"
#include "packet.h"

#define IP_MORE_FRAGMENTS 0x2000
#define IP_FRAGMENT_OFFSET 0x1fff
#define IP6_FRAGMENT_OFFSET 0xfff8
/* RFC 8504, section 5.3, lets a host give up on a chain; no stack makes one as long as this. */
#define IP6_MAX_HEADERS 8
#define UNDERLAY_PAYLOAD_IPV4 (ETH_HLEN + (int)sizeof(struct iphdr) + (int)sizeof(struct udphdr))
#define UNDERLAY_PAYLOAD_IPV6 (ETH_HLEN + (int)sizeof(struct ipv6hdr) + (int)sizeof(struct udphdr))

/* No host sends more than one; the stack takes off any number. */
#define UNDERLAY_MAX_TAGS 4
#define VLAN_ID_MASK 0x0fff

enum underlay_kind {
	UNDERLAY_OTHER,		/* somebody else's traffic */
	UNDERLAY_OURS,
	UNDERLAY_TAGGED,	/* to our port, behind priority tags */
	UNDERLAY_MALFORMED,	/* to our port, but not as we send it */
};

/* A datagram to our port. */
struct datagram {
	struct omni_address source, destination;
	__be16 source_port, destination_port;
	__u32 payload;	/* where the UDP payload begins: UNDERLAY_PAYLOAD_* */
	__u32 length;	/* of the UDP payload */
};

/* How every IPv6 extension header begins; the third field is the fragment header's alone (RFC 8200, section 4). */
struct ip6_extension {
	__u8 next;
	__u8 length;		/* beyond 8 bytes, in units of 8; of 4 in an authentication header */
	__be16 fragment;	/* offset, reserved, more fragments */
};

/* A tag as it lies behind the addresses, or behind another tag. */
struct vlan_tag {
	__be16 type;
	__be16 control;		/* priority, and the VLAN's number */
};

/*
 * Where the network header begins, its type in front of it: behind priority
 * tags, if any. 0: the frame is another VLAN's, or too short; -1: more tags
 * than anybody sends.
 */
static __noinline int underlay_network(struct xdp_md *ctx)
{
	__u32 offset = ETH_HLEN;

	for (int i = 0; i <= UNDERLAY_MAX_TAGS; i++) {
		struct span packet = packet_from(ctx, offset - sizeof(__be16));
		struct vlan_tag *tag = packet.at;

		if ((void *)(tag + 1) > packet.end)
			return 0;
		if (tag->type != bpf_htons(ETH_P_8021Q) && tag->type != bpf_htons(ETH_P_8021AD))
			return offset;
		if (tag->control & bpf_htons(VLAN_ID_MASK))
			return 0;
		offset += sizeof(*tag);
	}
	return -1;
}

static __always_inline __be16 underlay_network_type(struct xdp_md *ctx, __u32 network)
{
	struct span packet = packet_from(ctx, network - sizeof(__be16));

	return packet.at + sizeof(__be16) <= packet.end ? *(__be16 *)packet.at : 0;
}

static __always_inline enum underlay_kind underlay_accept(struct datagram *datagram, const struct udphdr *udp,
							  __u32 payload, __u32 length)
{
	datagram->source_port = udp->source;
	datagram->destination_port = udp->dest;
	datagram->payload = payload;
	datagram->length = length;
	return UNDERLAY_OURS;
}

/*
 * IP options and fragments never come from us: we send neither. A later
 * fragment has no port; the stack drops it for want of its first.
 */
static __always_inline enum underlay_kind underlay_parse_ipv4(struct xdp_md *ctx, struct datagram *datagram)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	struct iphdr *ip = data + ETH_HLEN;
	struct udphdr *udp;
	__u32 header_length, total;

	if ((void *)(ip + 1) > end || ip->version != 4 || ip->protocol != IPPROTO_UDP ||
	    ip->frag_off & bpf_htons(IP_FRAGMENT_OFFSET))
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
	datagram->source = address_from_ipv4(ip->saddr);
	datagram->destination = address_from_ipv4(ip->daddr);
	return underlay_accept(datagram, udp, UNDERLAY_PAYLOAD_IPV4, total - sizeof(*ip) - sizeof(*udp));
}

/*
 * Extension headers never come from us, but may lead to our port: follows them
 * to it. A chain that is longer than anybody's is as good as malformed.
 * `network`: where the IPv6 header begins.
 */
OMNI_GLOBAL int underlay_follow_headers(struct xdp_md *ctx, __u32 network)
{
	struct span packet = packet_from(ctx, network);
	struct ipv6hdr *ip = packet.at;
	struct ip6_extension *extension;
	__u32 offset = network + sizeof(*ip);
	struct udphdr *udp;
	__u8 next;

	if ((void *)(ip + 1) > packet.end || ip->version != 6)
		return UNDERLAY_OTHER;
	next = ip->nexthdr;
	for (int i = 0; i < IP6_MAX_HEADERS; i++) {
		packet = packet_from(ctx, offset);
		if (next == IPPROTO_UDP) {
			udp = packet.at;
			return (void *)&udp->len <= packet.end && udp->dest == config.port ? UNDERLAY_MALFORMED :
											     UNDERLAY_OTHER;
		}
		extension = packet.at;
		if ((void *)(extension + 1) > packet.end)
			return UNDERLAY_OTHER;
		switch (next) {
		case IPPROTO_FRAGMENT:
			if (extension->fragment & bpf_htons(IP6_FRAGMENT_OFFSET))
				return UNDERLAY_OTHER;
			offset += 8;
			break;
		case IPPROTO_AH:
			offset += 8 + 4 * extension->length;
			break;
		case IPPROTO_HOPOPTS:
		case IPPROTO_ROUTING:
		case IPPROTO_DSTOPTS:
			offset += 8 + 8 * extension->length;
			break;
		default:
			return UNDERLAY_OTHER;
		}
		if (offset > OMNI_MAX_FRAME)
			return UNDERLAY_MALFORMED;
		next = extension->next;
	}
	return UNDERLAY_MALFORMED;
}

/* No IPv4 address may come this way: what is ::ffff:a.b.c.d elsewhere, is IPv4 to us (RFC 4291, section 2.5.5.2). */
static __always_inline enum underlay_kind underlay_parse_ipv6(struct xdp_md *ctx, struct datagram *datagram)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	struct ipv6hdr *ip = data + ETH_HLEN;
	struct udphdr *udp = (void *)(ip + 1);
	__u32 length;

	if ((void *)(ip + 1) > end || ip->version != 6)
		return UNDERLAY_OTHER;
	if (ip->nexthdr != IPPROTO_UDP)
		return underlay_follow_headers(ctx, ETH_HLEN);
	if ((void *)&udp->len > end || udp->dest != config.port)
		return UNDERLAY_OTHER;

	length = bpf_ntohs(ip->payload_len);
	datagram->source = address_from_ipv6(&ip->saddr);
	datagram->destination = address_from_ipv6(&ip->daddr);
	if ((void *)(udp + 1) > end || length < sizeof(*udp) ||
	    length > packet_length(ctx) - ETH_HLEN - (int)sizeof(*ip) || bpf_ntohs(udp->len) != length ||
	    address_is_ipv4(&datagram->source))
		return UNDERLAY_MALFORMED;
	return underlay_accept(datagram, udp, UNDERLAY_PAYLOAD_IPV6, length - sizeof(*udp));
}

/* Whether a frame with VLAN tags is UDP to our port once the priority tags are off. */
OMNI_GLOBAL int underlay_parse_tagged(struct xdp_md *ctx)
{
	int network = underlay_network(ctx);
	struct span packet;
	struct udphdr *udp;
	struct iphdr *ip;

	if (network <= 0)
		return network ? UNDERLAY_TAGGED : UNDERLAY_OTHER;
	switch (underlay_network_type(ctx, network)) {
	case bpf_htons(ETH_P_IP):
		packet = packet_from(ctx, network);
		ip = packet.at;
		if ((void *)(ip + 1) > packet.end || ip->version != 4 || ip->protocol != IPPROTO_UDP ||
		    ip->frag_off & bpf_htons(IP_FRAGMENT_OFFSET))
			return UNDERLAY_OTHER;
		packet = packet_from(ctx, network + ip->ihl * 4);
		udp = packet.at;
		return (void *)&udp->len <= packet.end && udp->dest == config.port ? UNDERLAY_TAGGED : UNDERLAY_OTHER;
	case bpf_htons(ETH_P_IPV6):
		return underlay_follow_headers(ctx, network) == UNDERLAY_OTHER ? UNDERLAY_OTHER : UNDERLAY_TAGGED;
	default:
		return UNDERLAY_OTHER;
	}
}

static __always_inline enum underlay_kind underlay_parse(struct xdp_md *ctx, struct datagram *datagram)
{
	struct ethhdr *eth = (void *)(long)ctx->data;

	if ((void *)(eth + 1) > (void *)(long)ctx->data_end)
		return UNDERLAY_OTHER;
	switch (eth->h_proto) {
	case bpf_htons(ETH_P_IP):
		return underlay_parse_ipv4(ctx, datagram);
	case bpf_htons(ETH_P_IPV6):
		return underlay_parse_ipv6(ctx, datagram);
	case bpf_htons(ETH_P_8021Q):
	case bpf_htons(ETH_P_8021AD):
		return underlay_parse_tagged(ctx);
	default:
		return UNDERLAY_OTHER;
	}
}

/* The addresses that the packet's IP header names, into `fib`; 0: there is none. */
static __always_inline int underlay_fill_fib(struct xdp_md *ctx, struct bpf_fib_lookup *fib)
{
	int network = underlay_network(ctx);
	struct span packet;
	struct ipv6hdr *ip6;
	struct iphdr *ip;

	if (network <= 0)
		return 0;
	packet = packet_from(ctx, network);
	ip = packet.at;
	if ((void *)(ip + 1) > packet.end)
		return 0;
	if (underlay_network_type(ctx, network) == bpf_htons(ETH_P_IP)) {
		fib->family = AF_INET;
		fib->ipv4_src = ip->saddr;
		fib->ipv4_dst = ip->daddr;
		return 1;
	}
	packet = packet_from(ctx, network);
	ip6 = packet.at;
	if ((void *)(ip6 + 1) > packet.end)
		return 0;
	fib->family = AF_INET6;
	__builtin_memcpy(fib->ipv6_src, &ip6->saddr, sizeof(fib->ipv6_src));
	__builtin_memcpy(fib->ipv6_dst, &ip6->daddr, sizeof(fib->ipv6_dst));
	return 1;
}

/*
 * Whether the packet is to an address that this host does not have: it is in
 * transit through a router, on its way across a bridge, or was heard because
 * the device is promiscuous. omni0x asks, since that forwards in any case: the
 * lookup tells nothing of a device that does not. Asked only when a packet is
 * about to be refused.
 */
OMNI_GLOBAL int underlay_is_elsewhere(struct xdp_md *ctx)
{
	struct bpf_fib_lookup fib = {};
	long result;

	if (!underlay_fill_fib(ctx, &fib))
		return 0;
	fib.l4_protocol = IPPROTO_UDP;
	fib.ifindex = config.ifindex_outer;
	result = bpf_fib_lookup(ctx, &fib, sizeof(fib), 0);
	return result == BPF_FIB_LKUP_RET_SUCCESS || result == BPF_FIB_LKUP_RET_NO_NEIGH ||
	       result == BPF_FIB_LKUP_RET_UNSUPP_LWT;
}

/* For what is not known to be ours by anything but its port. */
static __always_inline int underlay_refuse(struct xdp_md *ctx, __u32 reason)
{
	return underlay_is_elsewhere(ctx) ? XDP_PASS : drop(reason);
}

#endif /* OMNI_UNDERLAY_H */
