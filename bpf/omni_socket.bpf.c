// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Filter on the agent's sockets: lets a datagram in if the ingress program
 * passed it. Datagrams that come by other ways (the loopback, the overlay
 * itself, an interface that is no underlay) met none of its checks.
 *
 * Where the agent chooses the underlay itself, a first initiation may come in
 * on an interface that it does not listen on yet: few of those are let in. The
 * answer to one makes that interface an underlay.
 *
 * The filter sees the datagram from its UDP header on.
 */
#include "lib/config.h"
#include "lib/control_header.h"
#include "lib/drop.h"
#include "lib/ratelimit.h"

#define MAC1_FROM_END (2 * OMNI_MAC1_LEN)
#define LOOPBACK_IFINDEX 1

/* Whether the ingress program passed the datagram. Each that it passed gets in once. */
static __always_inline int has_ticket(struct __sk_buff *skb, __u64 now_ns)
{
	struct ticket_key ticket;
	const __u64 *passed_ns;

	if (skb->len < sizeof(struct udphdr) + MAC1_FROM_END ||
	    bpf_skb_load_bytes(skb, skb->len - MAC1_FROM_END, ticket.mac1, sizeof(ticket.mac1)))
		return 0;
	passed_ns = bpf_map_lookup_elem(&ticket_map, &ticket);
	if (!passed_ns || now_ns - *passed_ns > OMNI_TICKET_NS)
		return 0;
	/* Of two CPUs that ask at the same moment, one finds it. */
	return !bpf_map_delete_elem(&ticket_map, &ticket);
}

/* Whether the datagram may be the first initiation of a peer on an interface that becomes an underlay by it. */
static __always_inline int is_first_contact(struct __sk_buff *skb, __u64 now_ns)
{
	struct omni_address everybody = ratelimit_everybody(RATELIMIT_FIRST_CONTACTS);
	struct omni_control_header header;
	__u32 ifindex = skb->ingress_ifindex;

	if (!config.first_contacts_per_second || ifindex == LOOPBACK_IFINDEX || ifindex == config.ifindex_inner ||
	    ifindex == config.ifindex_outer)
		return 0;
	if (bpf_skb_load_bytes(skb, sizeof(struct udphdr), &header, sizeof(header)) || header.zero ||
	    header.type != OMNI_CONTROL_INITIATION || !control_reserved_zero(&header) ||
	    skb->len - sizeof(struct udphdr) != control_length(&header))
		return 0;
	return ratelimit_take(&everybody, config.first_contacts_per_second, now_ns);
}

SEC("socket")
int omni_socket(struct __sk_buff *skb)
{
	__u64 now_ns = bpf_ktime_get_boot_ns();

	if (has_ticket(skb, now_ns) || is_first_contact(skb, now_ns))
		return skb->len;
	drop_add(OMNI_DROP_BYPASS, 1);
	return 0;
}

char _license[] SEC("license") = "Dual BSD/GPL";
