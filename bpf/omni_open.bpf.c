// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * XDP on the CPU that a datagram was handed over to (lib/spread.h): what
 * omni_ingress would have done with it, had it not been busy.
 *
 *   1. At the relay: on, to the CPU that opens the peer's datagrams.
 *   2. There: session, tag, replay window, text, sender, omni0.
 *
 * What was handed over by one version of omni_ingress is opened by any version
 * of this program that has the same OMNI_LAYOUT_VERSION.
 */
#include "lib/receive.h"
#include "lib/spread.h"

/*
 * Notes that the datagram came through, and how many of the peer's did not
 * since the last one. XDP_REDIRECT: it is not here yet.
 */
static __always_inline int spread_arrive(struct xdp_md *ctx)
{
	struct spread_label *label = (void *)(long)ctx->data;
	struct handover_entry *entry;
	__u32 ticket, home;
	__s32 ahead;
	__u64 peer;

	if ((void *)(label + 1) > (void *)(long)ctx->data_end)
		return SPREAD_HERE;
	peer = label->peer;
	entry = bpf_map_lookup_elem(&handover_map, &peer);
	if (!entry)
		return SPREAD_HERE;
	ticket = label->ticket & ~SPREAD_RELAY;
	if (label->ticket & SPREAD_RELAY) {
		entry->relayed = ticket;
		home = entry->route & SPREAD_CPU_MASK;
		label->ticket = ticket;
		if (home && bpf_redirect_map(&cpu_map, home - 1, 0) == XDP_REDIRECT)
			return XDP_REDIRECT;
	}
	ahead = ticket - entry->opened;
	if (ahead <= 0)
		return SPREAD_HERE;
	entry->opened = ticket;
	drop_add(OMNI_DROP_BACKLOG, ahead / SPREAD_TICKET - 1);
	return SPREAD_HERE;
}

SEC("xdp/cpumap")
int omni_open(struct xdp_md *ctx)
{
	struct datagram datagram = {};
	struct session_entry *session;
	struct receipt receipt = {};

	if (spread_arrive(ctx) == XDP_REDIRECT)
		return XDP_REDIRECT;
	if (underlay_parse(ctx, &datagram) != UNDERLAY_OURS)
		return drop(OMNI_DROP_INTERNAL);
	session = data_find(ctx, &datagram, &receipt);
	if (!session)
		return drop(receipt.reason);
	return data_open(ctx, &datagram, session, &receipt);
}

char _license[] SEC("license") = "Dual BSD/GPL";
