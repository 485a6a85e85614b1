/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What the agent asks of the egress program by a frame of OMNI_ETHERTYPE_PATH. */
#ifndef OMNI_PATH_ORDER_H
#define OMNI_PATH_ORDER_H

#include "packet.h"

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

/* Reads the frame of `length` bytes; of a message the way that it is to take, too, which is blotted out. */
static __noinline int path_read_order(struct xdp_md *ctx, __u32 length)
{
	struct span body = packet_from(ctx, ETH_HLEN);
	struct omni_path_frame *frame = body.at;
	struct omni_endpoint *via = path_via();

	if (length < ETH_HLEN + sizeof(*frame) || (void *)(frame + 1) > body.end ||
	    frame->kind == OMNI_PATH_KEEPALIVE)
		return PATH_ORDER_KEEPALIVE;
	if (!via || frame->version != OMNI_PATH_VERSION ||
	    (frame->kind != OMNI_PATH_CHALLENGE && frame->kind != OMNI_PATH_RESPONSE))
		return PATH_ORDER_INVALID;
	*via = frame->via;
	frame->via = (struct omni_endpoint){};
	return PATH_ORDER_MESSAGE;
}

#endif /* OMNI_PATH_ORDER_H */
