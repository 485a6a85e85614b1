/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Drops of what an authenticated peer sent: by reason, and by peer and reason. */
#ifndef OMNI_REFUSE_H
#define OMNI_REFUSE_H

#include "drop.h"

/* A full map costs the peer's count alone: the drop counts under its reason all the same. */
static __noinline int refuse(__u64 peer, __u32 reason)
{
	struct refused_key key = { .peer = peer, .reason = reason };
	__u64 *count = bpf_map_lookup_elem(&refused_map, &key), one = 1;

	/* Another CPU may insert the row between the look-up and the update. */
	if (!count && bpf_map_update_elem(&refused_map, &key, &one, BPF_NOEXIST))
		count = bpf_map_lookup_elem(&refused_map, &key);
	if (count)
		__sync_fetch_and_add(count, 1);
	return drop(reason);
}

#endif /* OMNI_REFUSE_H */
