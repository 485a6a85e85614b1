/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Ways that a peer's datagrams come by: what is from elsewhere than its endpoint
 * is told to the agent, and so is what a path message says. Nothing here
 * decides where frames go. docs/protocol.md
 */
#ifndef OMNI_PATH_H
#define OMNI_PATH_H

#include "drop.h"
#include "ratelimit.h"
#include "underlay.h"

/* Per peer: each of its endpoints, several times a second, while they are tried. */
#define PATH_MESSAGES_PER_SECOND 32
#define PATH_TELL_MOVED_NS (NSEC_PER_SEC / 20)
#define PATH_TELL_SAME_NS NSEC_PER_SEC

/* The way that a datagram came by. */
static __always_inline struct omni_endpoint path_of(const struct datagram *datagram)
{
	return (struct omni_endpoint){
		.remote = datagram->source,
		.local = datagram->destination,
		.remote_port = datagram->source_port,
		.local_port = datagram->destination_port,
	};
}

/* To be submitted; NULL: there is no room, since the agent is not reading. */
static __always_inline struct omni_path_event *path_event(__u32 type, const struct datagram *datagram,
							   __u64 session_id, __u64 peer)
{
	struct omni_path_event *event = bpf_ringbuf_reserve(&event_map, sizeof(*event), 0);

	if (!event)
		return NULL;
	*event = (struct omni_path_event){ .type = type, .session_id = session_id, .peer = peer };
	event->path = path_of(datagram);
	return event;
}

/* Notes where the peer's authentic datagram came from, and tells the agent, if it is time to. */
static __noinline int path_note(const struct datagram *datagram, __u64 session_id, __u64 peer, __u64 now_ns)
{
	struct path_entry *before = bpf_map_lookup_elem(&path_map, &peer), entry;
	struct omni_path_event *event;
	__u64 pause_ns = PATH_TELL_MOVED_NS;

	if (before) {
		if (address_equal(&before->path.remote, &datagram->source) &&
		    before->path.remote_port == datagram->source_port)
			pause_ns = PATH_TELL_SAME_NS;
		if (now_ns - before->told_ns < pause_ns)
			return 0;
	}
	event = path_event(OMNI_EVENT_PATH_SEEN, datagram, session_id, peer);
	if (!event)
		return 0;
	bpf_ringbuf_submit(event, 0);
	entry.path = path_of(datagram);
	entry.told_ns = now_ns;
	bpf_map_update_elem(&path_map, &peer, &entry, BPF_ANY);
	return 1;
}

/* After a keepalive or a frame was accepted: one look-up, as long as it comes from the endpoint. */
static __always_inline void path_check(const struct datagram *datagram, __u64 session_id, __u64 peer, __u64 now_ns)
{
	const struct peer_entry *entry = bpf_map_lookup_elem(&peer_map, &peer);

	if (!entry || (entry->endpoint.remote_port == datagram->source_port &&
		       address_equal(&entry->endpoint.remote, &datagram->source)))
		return;
	path_note(datagram, session_id, peer, now_ns);
}

/* A key of source_map that no source has: /64 prefixes end in zeros, and none begins like this. */
static __always_inline struct omni_address path_bucket(__u64 peer)
{
	struct omni_address key;

	__builtin_memset(&key, 0xff, sizeof(key) / 2);
	__builtin_memcpy((__u8 *)&key + sizeof(key) / 2, &peer, sizeof(peer));
	return key;
}

static __always_inline int path_frame_valid(const struct omni_path_frame *frame)
{
	const __u64 *unused = (const __u64 *)frame->reserved1;
	__u64 zeros = frame->order;

#pragma unroll
	for (__u32 i = 0; i < sizeof(frame->reserved1) / sizeof(*unused); i++)
		zeros |= unused[i];
#pragma unroll
	for (__u32 i = 0; i < sizeof(frame->reserved); i++)
		zeros |= frame->reserved[i];
	return !zeros && frame->version == OMNI_PATH_VERSION &&
	       (frame->kind == OMNI_PATH_CHALLENGE || frame->kind == OMNI_PATH_RESPONSE);
}

/*
 * An authentic frame of OMNI_ETHERTYPE_PATH, which begins at OMNI_OVERHEAD_IPV4:
 * for the agent, by event. Returns OMNI_DROP_NONE or a reason.
 */
static __noinline int path_receive(struct xdp_md *ctx, const struct datagram *datagram, __u64 session_id, __u64 peer,
				   __u64 now_ns)
{
	struct span body = packet_from(ctx, OMNI_OVERHEAD_IPV4);
	struct omni_address bucket = path_bucket(peer);
	struct ethhdr *eth = body.at;
	struct omni_path_frame *frame = (void *)(eth + 1);
	struct omni_path_event *event;

	if ((void *)(frame + 1) > body.end || eth->h_proto != bpf_htons(OMNI_ETHERTYPE_PATH) || !path_frame_valid(frame))
		return OMNI_DROP_PATH;
	if (!ratelimit_take(&bucket, PATH_MESSAGES_PER_SECOND, now_ns))
		return OMNI_DROP_PATH;
	event = path_event(OMNI_EVENT_PATH_MESSAGE, datagram, session_id, peer);
	if (!event)
		return OMNI_DROP_PATH;
	event->length = datagram->length - sizeof(struct omni_header);
	event->nonce = frame->nonce;
	event->kind = frame->kind;
	bpf_ringbuf_submit(event, 0);
	return OMNI_DROP_NONE;
}

#endif /* OMNI_PATH_H */
