/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * IPv4 and IPv6 packets of a peer, accepted by shape: headers that are known in
 * full, a source that is the peer's, and a protocol that a stack does not take
 * apart into another packet or frame. Everything else has a drop reason.
 *
 * Fragments. The source is checked on each, and a stack puts together only what
 * has one source and destination; so all fragments of a packet are one peer's.
 * What is checked behind the IP header lies in the first fragment, or the first
 * fragment is dropped; and Linux drops packets whose fragments overlap (since
 * 4.19; IPv6: RFC 5722), so no later one replaces what was checked.
 */
#ifndef OMNI_INNER_IP_H
#define OMNI_INNER_IP_H

#include "inner_neigh.h"
#include "inner_source.h"

#define INNER_MORE_FRAGMENTS 0x2000
#define INNER_FRAGMENT_OFFSET 0x1fff
#define INNER_FRAGMENT_OFFSET_IPV6 0xfff8
/* Extension headers of an IPv6 packet. */
#define INNER_MAX_EXTENSIONS 3
/* Options of one of them; Linux reads no more than eight either. */
#define INNER_MAX_OPTIONS 8
#define INNER_OPTION_PAD1 0
#define INNER_OPTION_PADN 1
#define INNER_OPTION_ROUTER_ALERT 5	/* RFC 2711 */
/* The shortest header of an upper layer that is accepted; of ICMP only the type is needed. */
#define INNER_UPPER_LENGTH 8

#define INNER_PROTOCOL_SHIM6 140
#define INNER_PROTOCOL_HIP 139
#define INNER_PROTOCOL_MOBILITY 135
#define INNER_PROTOCOL_OSPF 89
#define INNER_PROTOCOL_VRRP 112

#define INNER_DHCP_SERVER 67
#define INNER_DHCP_CLIENT 68
#define INNER_DHCP6_SERVER 547
#define INNER_DHCP6_CLIENT 546

#define INNER_ICMP_UNREACHABLE 3
#define INNER_ICMP_QUENCH 4
#define INNER_ICMP_REDIRECT 5
#define INNER_ICMP_ROUTER 9		/* RFC 1256 */
#define INNER_ICMP_TIME_EXCEEDED 11
#define INNER_ICMP_PARAMETER 12
/* ICMPv6 types below are errors (RFC 4443, section 2.1). */
#define INNER_ICMP6_INFORMATIONAL 128

/*
 * Protocols that Linux hands to a socket or a handler as they are. ESP is one:
 * what comes out of it was authenticated by a key that was put here for it.
 * Refused because a stack may look inside: IPv4 and IPv6 in IP (4, 41), GRE
 * (47), AH (51), EtherIP (97), IPComp (108), L2TP (115), MPLS (137), and PIM
 * (103), whose Register messages carry packets, and IGMP (2), which carries
 * those of PIM's first version and speaks to groups otherwise. What a host
 * unwraps from UDP (VXLAN, WireGuard) it was configured to.
 */
static __always_inline int inner_protocol_known(__u8 protocol)
{
	switch (protocol) {
	case IPPROTO_TCP:
	case IPPROTO_UDP:
	case IPPROTO_DCCP:
	case IPPROTO_ESP:
	case INNER_PROTOCOL_OSPF:
	case INNER_PROTOCOL_VRRP:
	case IPPROTO_SCTP:
	case IPPROTO_UDPLITE:
		return 1;
	default:
		return 0;
	}
}

/*
 * A DHCP client looks at the port that a message comes to (some not even at
 * that), a server answers from its own: either makes it a server's.
 */
static __always_inline int inner_udp(struct xdp_md *ctx, __u32 at, __u64 peer, __u16 server, __u16 client)
{
	struct span message = packet_from(ctx, at);
	struct udphdr *udp = message.at;

	if ((void *)(udp + 1) > message.end)
		return OMNI_DROP_INNER_HEADER;
	if (udp->dest == config.port)
		return OMNI_DROP_INNER_AGENT;
	if ((udp->source == bpf_htons(server) || udp->dest == bpf_htons(client)) &&
	    !inner_peer_is(peer, OMNI_PEER_DHCP_SERVER))
		return OMNI_DROP_INNER_DHCP;
	return OMNI_DROP_NONE;
}

/*
 * An error speaks of the packet that it quotes: a stack changes the path's MTU
 * to that packet's destination, or ends what is connected to it. So the sender
 * must be one who may send from there.
 */
OMNI_GLOBAL int inner_icmp(struct xdp_md *ctx, __u32 at, __u32 length, __u64 peer)
{
	struct span message = packet_from(ctx, at);
	__u8 *type = message.at;
	struct iphdr *quoted = message.at + 8;
	struct omni_address address;

	if ((void *)(type + 1) > message.end)
		return OMNI_DROP_INNER_HEADER;
	switch (*type) {
	case INNER_ICMP_REDIRECT:
	case INNER_ICMP_ROUTER:
		return inner_peer_is(peer, OMNI_PEER_ROUTER) ? OMNI_DROP_NONE : OMNI_DROP_INNER_ROUTER;
	case INNER_ICMP_UNREACHABLE:
	case INNER_ICMP_QUENCH:
	case INNER_ICMP_TIME_EXCEEDED:
	case INNER_ICMP_PARAMETER:
		if (length < 8 + sizeof(*quoted) || (void *)(quoted + 1) > message.end)
			return OMNI_DROP_INNER_HEADER;
		address = address_from_ipv4(quoted->daddr);
		return inner_source(ctx, &address, peer);
	default:
		return OMNI_DROP_NONE;
	}
}

/* Likewise; `extended`: not right behind the IPv6 header. */
OMNI_GLOBAL int inner_icmp6(struct xdp_md *ctx, __u32 at, __u32 end, __u32 extended, __u64 peer)
{
	struct span message = packet_from(ctx, at);
	__u8 *type = message.at;
	struct ipv6hdr *quoted = message.at + 8;
	struct omni_address address;

	if ((void *)(type + 1) > message.end)
		return OMNI_DROP_INNER_HEADER;
	/* RFC 6980 forbids it in fragments; nobody sends it behind other headers, and Linux would believe it there. */
	if (is_nd(*type))
		return extended ? OMNI_DROP_INNER_NEIGHBOUR : inner_nd(ctx, at, end, peer);
	if (*type >= INNER_ICMP6_INFORMATIONAL)
		return OMNI_DROP_NONE;
	if (at + 8 + sizeof(*quoted) > end || (void *)(quoted + 1) > message.end)
		return OMNI_DROP_INNER_HEADER;
	/* Behind a segment routing header Linux takes its last segment for the destination (seg6_get_daddr). */
	if (!inner_protocol_known(quoted->nexthdr) && quoted->nexthdr != IPPROTO_ICMPV6)
		return OMNI_DROP_INNER_HEADER;
	address = address_from_ipv6(&quoted->daddr);
	return inner_source_ipv6(ctx, &address, peer);
}

/* The IPv4 packet at `at`. Returns OMNI_DROP_NONE or a reason. */
OMNI_GLOBAL int inner_ipv4(struct xdp_md *ctx, __u32 at, __u64 peer)
{
	struct span packet = packet_from(ctx, at);
	__u32 available = packet_length(ctx) - at, length;
	struct iphdr *ip = packet.at;
	struct omni_address address;
	__u16 fragment;
	__u8 protocol;
	int reason;

	if ((void *)(ip + 1) > packet.end)
		return OMNI_DROP_INNER_HEADER;
	protocol = ip->protocol;
	/* No options: IGMP's, which goes to groups, and source routes least of all. */
	if (*(__u8 *)ip != 0x45)
		return OMNI_DROP_INNER_HEADER;
	length = bpf_ntohs(ip->tot_len);
	if (length < sizeof(*ip) || length > available)
		return OMNI_DROP_INNER_HEADER;
	if (!inner_protocol_known(protocol) && protocol != IPPROTO_ICMP)
		return OMNI_DROP_INNER_PROTOCOL;
	if ((ip->daddr & bpf_htonl(0xf0000000)) == bpf_htonl(0xe0000000) || ip->daddr == 0xffffffff)
		return OMNI_DROP_MULTICAST;
	/* Where route_localnet is on, as kube-proxy sets it, what listens on 127.0.0.1 would be reached. */
	if ((ip->daddr & bpf_htonl(0xff000000)) == bpf_htonl(0x7f000000))
		return OMNI_DROP_INNER_HEADER;
	fragment = bpf_ntohs(ip->frag_off);
	address = address_from_ipv4(ip->saddr);
	reason = inner_source(ctx, &address, peer);
	if (reason || fragment & INNER_FRAGMENT_OFFSET)
		return reason;

	at += sizeof(struct iphdr);
	length -= sizeof(struct iphdr);
	if (length < (protocol == IPPROTO_ICMP ? 1 : INNER_UPPER_LENGTH))
		return OMNI_DROP_INNER_HEADER;
	if (protocol == IPPROTO_UDP)
		return inner_udp(ctx, at, peer, INNER_DHCP_SERVER, INNER_DHCP_CLIENT);
	return protocol == IPPROTO_ICMP ? inner_icmp(ctx, at, length, peer) : OMNI_DROP_NONE;
}

/* Whether options are such that a stack passes over them, from `at` up to `end`. */
OMNI_GLOBAL int inner_options(struct xdp_md *ctx, __u32 at, __u32 end, __u32 hop_by_hop)
{
	for (int i = 0; i < INNER_MAX_OPTIONS; i++) {
		struct span option = packet_from(ctx, at);
		__u8 *bytes = option.at;

		if (at == end)
			return 1;
		if ((void *)(bytes + 1) > option.end)
			return 0;
		if (bytes[0] == INNER_OPTION_PAD1) {
			at++;
			continue;
		}
		if ((void *)(bytes + 2) > option.end)
			return 0;
		if (bytes[0] != INNER_OPTION_PADN && (!hop_by_hop || bytes[0] != INNER_OPTION_ROUTER_ALERT))
			return 0;
		at += 2 + bytes[1];
		if (at > end)
			return 0;
	}
	return at == end;
}

/* Where an IPv6 packet's upper layer begins, after inner_extensions(). */
struct inner_chain {
	__u32 at;
	__u32 end;		/* of the packet */
	__u32 protocol;
	__u32 extended;		/* there is an extension header */
	__u32 later;		/* a fragment other than the first: what is at `at` is not known */
};

/*
 * Passes over hop-by-hop options (first, or not at all), destination options
 * and a fragment header. The options that are accepted say nothing: a home
 * address (RFC 6275) would take the source's place, a jumbo payload the
 * length's.
 */
OMNI_GLOBAL int inner_extensions(struct xdp_md *ctx, struct inner_chain *chain)
{
	__u32 at, end, next, fragmented = 0;

	if (!chain)
		return OMNI_DROP_INNER_HEADER;
	at = chain->at;
	end = chain->end;
	next = chain->protocol;
	for (int i = 0; i <= INNER_MAX_EXTENSIONS; i++) {
		struct span extension = packet_from(ctx, at);
		__u8 *bytes = extension.at;
		__u32 length = 8;

		if (next != IPPROTO_HOPOPTS && next != IPPROTO_DSTOPTS && next != IPPROTO_FRAGMENT) {
			chain->at = at;
			chain->protocol = next;
			chain->extended = i;
			return OMNI_DROP_NONE;
		}
		if (i == INNER_MAX_EXTENSIONS || (void *)(bytes + 8) > extension.end || at + 8 > end)
			return OMNI_DROP_INNER_HEADER;
		if (next == IPPROTO_FRAGMENT) {
			if (fragmented++)
				return OMNI_DROP_INNER_HEADER;
			if (*(__be16 *)(bytes + 2) & bpf_htons(INNER_FRAGMENT_OFFSET_IPV6)) {
				chain->protocol = bytes[0];
				chain->later = 1;
				return OMNI_DROP_NONE;
			}
		} else {
			if (next == IPPROTO_HOPOPTS && i)
				return OMNI_DROP_INNER_HEADER;
			length += bytes[1] * 8;
			if (at + length > end || !inner_options(ctx, at + 2, at + length, next == IPPROTO_HOPOPTS))
				return OMNI_DROP_INNER_HEADER;
		}
		extension = packet_from(ctx, at);
		bytes = extension.at;
		if ((void *)(bytes + 1) > extension.end)
			return OMNI_DROP_INNER_HEADER;
		next = bytes[0];
		at += length;
	}
	return OMNI_DROP_INNER_HEADER;
}

/* Extension headers that are not accepted: hop-by-hop options that are not first, routing, AH, mobility, HIP, Shim6. */
static __always_inline int inner_is_extension(__u32 next)
{
	return next == IPPROTO_HOPOPTS || next == IPPROTO_ROUTING || next == IPPROTO_AH || next == IPPROTO_FRAGMENT ||
	       next == INNER_PROTOCOL_MOBILITY || next == INNER_PROTOCOL_HIP || next == INNER_PROTOCOL_SHIM6;
}

static __always_inline int inner_upper_ipv6(struct xdp_md *ctx, const struct inner_chain *chain, __u64 peer)
{
	if (chain->at + (chain->protocol == IPPROTO_ICMPV6 ? 1 : INNER_UPPER_LENGTH) > chain->end)
		return OMNI_DROP_INNER_HEADER;
	if (chain->protocol == IPPROTO_UDP)
		return inner_udp(ctx, chain->at, peer, INNER_DHCP6_SERVER, INNER_DHCP6_CLIENT);
	if (chain->protocol == IPPROTO_ICMPV6)
		return inner_icmp6(ctx, chain->at, chain->end, chain->extended, peer);
	return OMNI_DROP_NONE;
}

/* Whether a neighbour or router solicitation is right behind the IPv6 header at `at`. */
static __always_inline int inner_is_plain_solicitation(struct xdp_md *ctx, __u32 at, const struct inner_chain *chain)
{
	struct span message = packet_from(ctx, at + sizeof(struct ipv6hdr));
	__u8 *type = message.at;

	return !chain->extended && chain->protocol == IPPROTO_ICMPV6 && (void *)(type + 1) <= message.end &&
	       (*type == ND_SOLICITATION || *type == ND_ROUTER_SOLICITATION);
}

/* The IPv6 packet at `at`. Returns OMNI_DROP_NONE or a reason. */
OMNI_GLOBAL int inner_ipv6(struct xdp_md *ctx, __u32 at, __u64 peer)
{
	struct span packet = packet_from(ctx, at);
	__u32 available = packet_length(ctx) - at, payload;
	struct ipv6hdr *ip = packet.at;
	struct inner_chain chain = {};
	struct omni_address address;
	int reason, group;

	if ((void *)(ip + 1) > packet.end || *(__u8 *)ip >> 4 != 6)
		return OMNI_DROP_INNER_HEADER;
	payload = bpf_ntohs(ip->payload_len);
	/* None: a jumbogram, or nothing that anybody sends. */
	if (!payload || sizeof(*ip) + payload > available)
		return OMNI_DROP_INNER_HEADER;
	/* ::/32: loopback, and IPv4 addresses in disguise. */
	if (!ip->daddr.in6_u.u6_addr32[0])
		return OMNI_DROP_INNER_HEADER;
	address = address_from_ipv6(&ip->saddr);
	group = ip->daddr.in6_u.u6_addr8[0] == 0xff;
	chain.at = at + sizeof(*ip);
	chain.end = chain.at + payload;
	chain.protocol = ip->nexthdr;
	reason = inner_extensions(ctx, &chain);
	if (reason)
		return reason;
	if (!inner_protocol_known(chain.protocol) && chain.protocol != IPPROTO_ICMPV6 &&
	    (!chain.later || chain.protocol != IPPROTO_DSTOPTS))
		return inner_is_extension(chain.protocol) ? OMNI_DROP_INNER_HEADER : OMNI_DROP_INNER_PROTOCOL;
	/* A solicitation goes to its target's group, or to all routers, and its frame may be sent to one host. */
	if (group && !inner_is_plain_solicitation(ctx, at, &chain))
		return OMNI_DROP_MULTICAST;
	if (!address_is_unspecified(&address) || !inner_is_plain_solicitation(ctx, at, &chain)) {
		reason = inner_source_ipv6(ctx, &address, peer);
		if (reason)
			return reason;
	}
	return chain.later ? OMNI_DROP_NONE : inner_upper_ipv6(ctx, &chain, peer);
}

#endif /* OMNI_INNER_IP_H */
