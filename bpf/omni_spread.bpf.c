// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * What cpu_map's entries run: whatever is in open_map. An entry that gets
 * another program gets another thread too, which may overtake the old one; a
 * slot of open_map changes between two datagrams.
 */
#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} open_map SEC(".maps");

SEC("xdp/cpumap")
int omni_spread(struct xdp_md *ctx)
{
	bpf_tail_call(ctx, &open_map, 0);
	return XDP_ABORTED;
}

char _license[] SEC("license") = "Dual BSD/GPL";
