/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Counters: every drop under exactly one reason, every stat as it happens. */
#ifndef OMNI_DROP_H
#define OMNI_DROP_H

#include "../maps.h"

static __always_inline void drop_add(__u32 reason, __u64 amount)
{
	__u64 *count = bpf_map_lookup_elem(&drop_map, &reason);

	if (count)
		*count += amount;
}

static __always_inline int drop(__u32 reason)
{
	drop_add(reason, 1);
	return XDP_DROP;
}

static __always_inline void stat_add(__u32 stat, __u64 amount)
{
	__u64 *count = bpf_map_lookup_elem(&stats_map, &stat);

	if (count)
		*count += amount;
}

#endif /* OMNI_DROP_H */
