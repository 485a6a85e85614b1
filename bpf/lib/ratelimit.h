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
	RATELIMIT_RESPONSES = 3,
	RATELIMIT_PROVEN = 4,		/* proven initiations of sources that completed no handshake lately */
	RATELIMIT_KNOWN = 5,		/* and of those that did */
	RATELIMIT_FIRST_CONTACTS = 6,	/* initiations from interfaces that are no underlay (yet) */
};

/* Buckets of one source. */
enum ratelimit_scope {
	RATELIMIT_SOURCE = 1,	/* IPv4 address, IPv6 network of 64 bits */
	RATELIMIT_PREFIX56 = 2,
	RATELIMIT_PREFIX48 = 3,
};

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
OMNI_GLOBAL int ratelimit_take(struct omni_address *source, __u32 rate, __u64 now_ns)
{
	struct source_entry fresh = {}, *entry;
	struct omni_address key;
	__u64 cost;

	if (!source || !rate)
		return 0;
	cost = NSEC_PER_SEC / rate;

	/* Linux 6.1 takes a key from the stack, and not from where a global function's argument points. */
	key = *source;
	entry = bpf_map_lookup_elem(&source_map, &key);
	if (!entry) {
		/* EEXIST: another CPU was first; the bucket is there in any case. */
		bpf_map_update_elem(&source_map, &key, &fresh, BPF_NOEXIST);
		entry = bpf_map_lookup_elem(&source_map, &key);
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

/*
 * Charges an IPv6 source's network of 64 bits, then those of 56 and 48 that
 * hold it: a customer of a provider has one of these as a rule, and would have
 * 256 or 65,536 sources otherwise. Narrow to wide, so that a source that is
 * over its own rate takes nothing from its neighbours.
 */
static __noinline int ratelimit_take_ipv6(const struct omni_address *source, __u32 rate, __u64 now_ns)
{
	struct omni_address key = address_prefix64(source);

	key.bytes[8] = RATELIMIT_SOURCE;
	key.bytes[15] = 1;
	if (!ratelimit_take(&key, rate, now_ns))
		return 0;
	key.bytes[7] = 0;
	key.bytes[8] = RATELIMIT_PREFIX56;
	if (!ratelimit_take(&key, rate * OMNI_PREFIX56_FACTOR, now_ns))
		return 0;
	key.bytes[6] = 0;
	key.bytes[8] = RATELIMIT_PREFIX48;
	return ratelimit_take(&key, rate * OMNI_PREFIX48_FACTOR, now_ns);
}

/* Of a source that proved its address: an unproven one could be anybody's. */
static __always_inline int ratelimit_take_source(const struct omni_address *source, __u32 rate, __u64 now_ns)
{
	struct omni_address key = *source;

	if (!address_is_ipv4(source))
		return ratelimit_take_ipv6(source, rate, now_ns);
	key.bytes[8] = RATELIMIT_SOURCE;
	return ratelimit_take(&key, rate, now_ns);
}

#endif /* OMNI_RATELIMIT_H */
