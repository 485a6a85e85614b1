/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Which CPU opens a datagram. While the CPU that they arrive on has little to
 * do, that one: nothing is as quick. When it is busy, each peer is given a CPU
 * of spread_map and keeps it until the load is over; datagrams go there by way
 * of cpu_map, whose queues keep their order.
 *
 * Nor is the order lost where a peer moves:
 *
 *  - Away: datagrams that were opened here may still wait in the kernel for the
 *    end of this poll, and the other CPU would overtake them. So the first ones
 *    go through this CPU's own queue, which nobody looks at before the poll has
 *    ended: the relay. Once it has passed on all it was given, the way is clear.
 *  - Back: only when the other CPU has opened everything, on that CPU itself or
 *    a while after.
 */
#ifndef OMNI_SPREAD_H
#define OMNI_SPREAD_H

#include "drop.h"
#include "packet.h"

#define SPREAD_HERE (-1)
#define SPREAD_CPU_MASK ((1U << OMNI_ROUTE_RELAY_SHIFT) - 1)
/* How long after the last hand-over all the work on it has ended: it is counted a few microseconds before that. */
#define SPREAD_SETTLE_NS 1000000ULL
#define SPREAD_TICKET 2U
#define SPREAD_RELAY 1U		/* in a label's ticket */

/* Lies over the outer MAC addresses, which are of no use any more, while a datagram is handed over. */
struct spread_label {
	__u64 peer;
	__u32 ticket;
} __attribute__((packed, aligned(4)));

_Static_assert(sizeof(struct spread_label) == 2 * ETH_ALEN, "a label is as long as the addresses");

static __always_inline int spread_is_busy(const struct load_entry *load, __u64 now_ns)
{
	return now_ns - load->busy_ns < OMNI_LOAD_LINGER_NS;
}

/* Counts a datagram that arrived on this CPU. */
static __always_inline void spread_count(const struct xdp_md *ctx, struct load_entry *load, __u32 length, __u64 now_ns)
{
	if (now_ns - load->window_ns >= OMNI_LOAD_WINDOW_NS) {
		load->window_ns = now_ns;
		load->work = 0;
	}
	load->work += length + OMNI_LOAD_DATAGRAM;
	if (load->work <= OMNI_LOAD_BUSY)
		return;
	if (!spread_is_busy(load, now_ns))
		load->given = 0;
	load->busy_ns = now_ns;
	load->queue = (__u64)ctx->ingress_ifindex << 32 | ctx->rx_queue_index;
}

/* Whether all that was handed over is done with, `done` being the last ticket that `worker` saw. */
static __always_inline int spread_settled(const struct handover_entry *entry, __u32 done, __u32 worker, __u32 cpu,
					  __u64 now_ns)
{
	return entry->handed == done && (worker == cpu || now_ns - entry->handed_ns >= SPREAD_SETTLE_NS);
}

static __always_inline int spread_can_leave(const struct spread_entry *spread, __u32 ifindex)
{
	for (__u32 i = 0; i < OMNI_MAX_SPREAD_UNDERLAYS; i++) {
		if (i >= spread->underlays)
			break;
		if (spread->ifindexes[i] == ifindex)
			return 1;
	}
	return 0;
}

/*
 * The next CPU in turn; the first peer leaves this one. Passes over those that
 * are busy with another queue: they have peers of their own to look after.
 */
static __always_inline __u32 spread_pick(const struct spread_entry *spread, struct load_entry *load, __u32 cpu,
					 __u64 now_ns)
{
	__u32 count = spread->count, candidate;
	struct load_entry *other;

	for (__u32 i = 0; i < OMNI_MAX_RECEIVE_CPUS; i++) {
		if (i >= count)
			break;
		candidate = spread->cpus[load->turn++ % count % OMNI_MAX_RECEIVE_CPUS];
		if (candidate == cpu) {
			if (load->given)
				break;
			continue;
		}
		other = bpf_map_lookup_elem(&load_map, &candidate);
		if (!other || (spread_is_busy(other, now_ns) && other->queue != load->queue))
			continue;
		load->given++;
		return candidate;
	}
	load->given++;
	return cpu;
}

static __always_inline struct handover_entry *spread_entry_of(__u64 peer)
{
	struct handover_entry *entry = bpf_map_lookup_elem(&handover_map, &peer), fresh = {};

	if (entry)
		return entry;
	bpf_map_update_elem(&handover_map, &peer, &fresh, BPF_NOEXIST);
	return bpf_map_lookup_elem(&handover_map, &peer);
}

/* Shows user space where a session's datagrams are opened: the CPU, plus 1. */
static __always_inline void spread_show(struct session_entry *session, __u32 cpu)
{
	__u32 flags = session->flags, shown = (flags & ~(~0U << OMNI_SESSION_CPU_SHIFT)) | cpu << OMNI_SESSION_CPU_SHIFT;

	if (flags != shown)
		__sync_val_compare_and_swap(&session->flags, flags, shown);
}

/* Sends the datagram into the queue of `to`. Returns XDP_REDIRECT, or SPREAD_HERE where it has none. */
static __always_inline int spread_hand_over(struct xdp_md *ctx, struct handover_entry *entry, __u64 peer, __u32 to,
					    __u32 stage, __u64 now_ns)
{
	struct spread_label *label = (void *)(long)ctx->data;

	if ((void *)(label + 1) > (void *)(long)ctx->data_end || bpf_redirect_map(&cpu_map, to, 0) != XDP_REDIRECT)
		return SPREAD_HERE;
	label->peer = peer;
	label->ticket = (__sync_fetch_and_add(&entry->handed, SPREAD_TICKET) + SPREAD_TICKET) | stage;
	entry->handed_ns = now_ns;
	stat_add(OMNI_STAT_HANDED_OVER, 1);
	return XDP_REDIRECT;
}

/* Gives the peer a CPU. Its datagrams leave this one by way of the relay. */
static __always_inline int spread_begin(struct xdp_md *ctx, struct session_entry *session, struct load_entry *load,
					struct handover_entry *entry, const struct spread_entry *spread, __u64 now_ns)
{
	__u32 cpu = bpf_get_smp_processor_id(), home = spread_pick(spread, load, cpu, now_ns), route = home + 1;

	if (home != cpu)
		route |= (cpu + 1) << OMNI_ROUTE_RELAY_SHIFT;
	if (__sync_val_compare_and_swap(&entry->route, 0, route))
		return SPREAD_HERE;
	spread_show(session, home + 1);
	if (home == cpu || spread_hand_over(ctx, entry, session->peer, cpu, SPREAD_RELAY, now_ns) == XDP_REDIRECT)
		return home == cpu ? SPREAD_HERE : XDP_REDIRECT;
	__sync_val_compare_and_swap(&entry->route, route, 0);
	return SPREAD_HERE;
}

/* The route without the relay, if that has passed on everything. */
static __always_inline __u32 spread_relay_end(struct handover_entry *entry, __u32 route, __u32 cpu, __u64 now_ns)
{
	__u32 relay = route >> OMNI_ROUTE_RELAY_SHIFT;

	if (!relay || !spread_settled(entry, entry->relayed, relay - 1, cpu, now_ns))
		return route;
	__sync_val_compare_and_swap(&entry->route, route, route & SPREAD_CPU_MASK);
	return route & SPREAD_CPU_MASK;
}

/* For datagrams of a peer that has a CPU, or is to be given one because this CPU is busy. */
static __noinline int spread_choose(struct xdp_md *ctx, struct session_entry *session, struct load_entry *load,
				    __u64 now_ns)
{
	__u32 cpu = bpf_get_smp_processor_id(), zero = 0, route, home, relay;
	struct spread_entry *spread = bpf_map_lookup_elem(&spread_map, &zero);
	struct handover_entry *entry;
	__u64 peer = session->peer;
	int busy;

	if (!spread || !spread_can_leave(spread, ctx->ingress_ifindex))
		return SPREAD_HERE;
	busy = spread->count && spread_is_busy(load, now_ns);
	entry = busy ? spread_entry_of(peer) : bpf_map_lookup_elem(&handover_map, &peer);
	if (!entry)
		return SPREAD_HERE;
	if (!entry->route && busy)
		return spread_begin(ctx, session, load, entry, spread, now_ns);

	route = spread_relay_end(entry, entry->route, cpu, now_ns);
	relay = route >> OMNI_ROUTE_RELAY_SHIFT;
	home = (route & SPREAD_CPU_MASK) - 1;
	if (relay || (route && ((busy && home != cpu) || !spread_settled(entry, entry->opened, home, cpu, now_ns)))) {
		spread_show(session, home + 1);
		return spread_hand_over(ctx, entry, peer, relay ? relay - 1 : home, relay ? SPREAD_RELAY : 0, now_ns);
	}
	if (!busy) {
		__sync_val_compare_and_swap(&entry->route, route, 0);
		home = -1;
	}
	spread_show(session, home + 1);
	return SPREAD_HERE;
}

/* XDP_REDIRECT: another CPU opens it. SPREAD_HERE: this one is to. */
static __always_inline int spread_verdict(struct xdp_md *ctx, struct session_entry *session, __u32 length, __u64 now_ns)
{
	__u32 cpu = bpf_get_smp_processor_id();
	struct load_entry *load = bpf_map_lookup_elem(&load_map, &cpu);

	if (!load)
		return SPREAD_HERE;
	spread_count(ctx, load, length, now_ns);
	if (!spread_is_busy(load, now_ns) && !(session->flags >> OMNI_SESSION_CPU_SHIFT))
		return SPREAD_HERE;
	return spread_choose(ctx, session, load, now_ns);
}

#endif /* OMNI_SPREAD_H */
