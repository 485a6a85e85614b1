/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What the agent asks of the egress program by a frame of OMNI_ETHERTYPE_PATH. */
#ifndef OMNI_PATH_ORDER_H
#define OMNI_PATH_ORDER_H

#include "packet.h"
#include "../maps.h"

enum path_order {
	PATH_ORDER_NONE = 0,	/* no such frame */
	PATH_ORDER_KEEPALIVE,
	PATH_ORDER_MESSAGE,
	PATH_ORDER_INVALID,
};

/* Where the way of a message is kept while it is being sent: the ciphers leave no room on the stack. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct omni_endpoint);
} via_map SEC(".maps");

static __always_inline struct omni_endpoint *path_via(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&via_map, &zero);
}

/*
 * Takes the order that the frame names: it is carried out once, for the peer
 * and the kind of message that the agent meant. What the frame itself says of
 * its path counts for nothing.
 */
static __always_inline int path_take_order(const struct omni_path_frame *frame, __u64 peer)
{
	const struct order_entry *order;
	struct omni_endpoint *via = path_via();
	__u64 key = frame->order, now_ns = bpf_ktime_get_boot_ns();

	order = bpf_map_lookup_elem(&order_map, &key);
	if (!order || !via || order->peer != peer || order->kind != frame->kind || now_ns >= order->expires_ns)
		return 0;
	*via = order->via;
	/* Of two frames that name it, on two CPUs, one deletes it. */
	return bpf_map_delete_elem(&order_map, &key) == 0;
}

/*
 * Reads the frame of `length` bytes to `peer`. A keepalive needs no order: it
 * goes to the peer's endpoint, as any frame to this MAC does, and is shorter.
 */
static __noinline int path_read_order(struct xdp_md *ctx, __u32 length, __u64 peer)
{
	struct span body = packet_from(ctx, ETH_HLEN);
	struct omni_path_frame *frame = body.at;

	if (length < ETH_HLEN + sizeof(*frame) || (void *)(frame + 1) > body.end ||
	    frame->kind == OMNI_PATH_KEEPALIVE)
		return PATH_ORDER_KEEPALIVE;
	if (frame->version != OMNI_PATH_VERSION ||
	    (frame->kind != OMNI_PATH_CHALLENGE && frame->kind != OMNI_PATH_RESPONSE) ||
	    !path_take_order(frame, peer))
		return PATH_ORDER_INVALID;
	frame->order = 0;
	__builtin_memset(frame->reserved1, 0, sizeof(frame->reserved1));
	return PATH_ORDER_MESSAGE;
}

#endif /* OMNI_PATH_ORDER_H */
