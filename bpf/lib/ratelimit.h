/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Token bucket per source, as the generic cell rate algorithm: struct source_entry. */
#ifndef OMNI_RATELIMIT_H
#define OMNI_RATELIMIT_H

#include "../maps.h"
#include "address.h"

#define NSEC_PER_SEC 1000000000ULL
#define RATELIMIT_TRIES 4

/* Buckets that all sources share. */
enum ratelimit_shared {
	RATELIMIT_INITIATIONS = 0,	/* unproven ones */
	RATELIMIT_COOKIES = 2,
};

/*
 * The key of a source's bucket: its IPv4 address, or its IPv6 network of 64
 * bits with ::1 for the rest. Those who proved their address have one of their
 * own (byte 8 is 1), so that others cannot empty it in their name.
 */
static __always_inline struct omni_address ratelimit_source(const struct omni_address *source, int proven)
{
	struct omni_address key = *source;

	if (!address_is_ipv4(source)) {
		key = address_prefix64(source);
		key.bytes[15] = 1;
	}
	key.bytes[8] = !!proven;
	return key;
}

/* No source's: those end in 1, or hold an IPv4 address. */
static __always_inline struct omni_address ratelimit_everybody(enum ratelimit_shared bucket)
{
	struct omni_address key = {};

	key.bytes[8] = bucket;
	return key;
}

/*
 * Takes a token; 0: there is none. `rate` is tokens per second and burst.
 * A rate of 0 lets nobody in. CPUs that race for the last token retry; one
 * that loses RATELIMIT_TRIES times in a row is under a flood and refused.
 */
static __always_inline int ratelimit_take(const struct omni_address *source, __u32 rate, __u64 now_ns)
{
	struct source_entry fresh = {}, *entry;
	__u64 cost;

	if (!rate)
		return 0;
	cost = NSEC_PER_SEC / rate;

	entry = bpf_map_lookup_elem(&source_map, source);
	if (!entry) {
		/* EEXIST: another CPU was first; the bucket is there in any case. */
		bpf_map_update_elem(&source_map, source, &fresh, BPF_NOEXIST);
		entry = bpf_map_lookup_elem(&source_map, source);
		if (!entry)
			return 0;
	}

	for (int try = 0; try < RATELIMIT_TRIES; try++) {
		__u64 full = *(volatile __u64 *)&entry->full_ns;
		__u64 next = (full > now_ns ? full : now_ns) + cost;

		if (next > now_ns + NSEC_PER_SEC)
			return 0;
		if (__sync_val_compare_and_swap(&entry->full_ns, full, next) == full)
			return 1;
	}
	return 0;
}

#endif /* OMNI_RATELIMIT_H */
