// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Clsact ingress of omni0, for the moment in which it takes another MAC: the
 * device and the programs that readdress frames to it change one after the
 * other, and the stack drops what is not for the device's MAC. Whatever is to a
 * MAC of this node is this node's; the rest goes on as it came.
 */
#include "lib/address.h"
#include "lib/config.h"
#include "maps.h"

#include <linux/if_packet.h>
#include <linux/pkt_cls.h>

static __always_inline int is_own(const __u8 *mac)
{
	__u8 local[ETH_ALEN] = { config.local_mac[0], config.local_mac[1], config.local_mac[2],
				 config.local_mac[3], config.local_mac[4], config.local_mac[5] };
	struct fdb_entry *forward;
	struct fdb_key key = {};

	if (mac_equal(mac, local))
		return 1;
	mac_copy(key.mac, mac);
	forward = bpf_map_lookup_elem(&fdb_map, &key);
	return forward && !forward->peer;
}

SEC("tc")
int omni_delivery(struct __sk_buff *skb)
{
	__u8 mac[ETH_ALEN];

	if (skb->pkt_type == PACKET_OTHERHOST && !bpf_skb_load_bytes(skb, 0, mac, sizeof(mac)) && is_own(mac))
		bpf_skb_change_type(skb, PACKET_HOST);
	return TC_ACT_UNSPEC;
}

char _license[] SEC("license") = "Dual BSD/GPL";
