// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Clsact ingress of omni0x. What egress passed up arrives here:
 *
 *   sealed datagram whose next hop has no neighbour entry yet: sent by way of
 *     the stack, which resolves the neighbour and holds the datagram meanwhile;
 *   sealed datagram for an interface that takes none from XDP: likewise;
 *   frame without a session: the agent's packet socket has its copy already;
 *   anything else.
 *
 * Nothing goes further up: omni0x is no way into this host.
 */
#include "lib/slowpath.h"

#include <linux/pkt_cls.h>

SEC("tc")
int omni_slowpath(struct __sk_buff *skb)
{
	struct slowpath_meta *meta = (void *)(long)skb->data_meta;

	if ((void *)(meta + 1) > (void *)(long)skb->data || meta->magic != SLOWPATH_MAGIC)
		return TC_ACT_SHOT;
	return bpf_redirect_neigh(meta->ifindex, NULL, 0, 0);
}

char _license[] SEC("license") = "Dual BSD/GPL";
