/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The maps that the programs and user space share. The loader pins them by
 * name and may override max_entries; keys, values and writers: omni_types.h.
 *
 * Hash maps of rows are preallocated: an update never fails for want of memory. A
 * deleted row can therefore be used again at once by another insertion while
 * a program still holds its pointer; lib/session.h says how programs notice.
 */
#ifndef OMNI_MAPS_H
#define OMNI_MAPS_H

#include "lib/common.h"

#define OMNI_MAX_SESSIONS 16384
#define OMNI_MAX_PEERS 16384
#define OMNI_MAX_ADDRESSES 32768	/* MACs, and IPs: several per peer */
#define OMNI_MAX_SOURCES 65536
#define OMNI_MAX_PENDING 16384
#define OMNI_MAX_SUBNETS 64
#define OMNI_MAX_REFUSED 16384
#define OMNI_MAX_ORDERS 4096
#define OMNI_MAX_KNOWN 16384
#define OMNI_MAX_SEEN 16384	/* 16 s of all unproven initiations that may pass */
#define OMNI_MAX_TICKETS 8192	/* more than pass in OMNI_TICKET_NS */
#define OMNI_MAX_UNDERLAYS 256
#define OMNI_MAX_CPUS 64	/* the loader says how many there are */
#define OMNI_EVENT_BYTES (256 * 1024)	/* 8,192 events; a multiple of every page size */

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, OMNI_MAX_SESSIONS);
	__type(key, __u64);
	__type(value, struct session_entry);
} session_map SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, OMNI_MAX_PEERS);
	__type(key, __u64);
	__type(value, struct peer_entry);
} peer_map SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, OMNI_MAX_PEERS);
	__type(key, __u64);
	__type(value, __u64);
} send_map SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, OMNI_MAX_ADDRESSES);
	__type(key, struct fdb_key);
	__type(value, struct fdb_entry);
} fdb_map SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, OMNI_MAX_ADDRESSES);
	__type(key, struct omni_address);
	__type(value, struct neigh_entry);
} neigh_map SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_RDONLY_PROG);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct policy_entry);
} policy_map SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(map_flags, BPF_F_NO_PREALLOC | BPF_F_RDONLY_PROG);
	__uint(max_entries, OMNI_MAX_SUBNETS);
	__type(key, struct subnet_key);
	__type(value, struct subnet_entry);
} subnet_map SEC(".maps");

/* Not preallocated: most peers never have a frame refused. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, OMNI_MAX_REFUSED);
	__type(key, struct refused_key);
	__type(value, __u64);
} refused_map SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, OMNI_MAX_SOURCES);
	__type(key, struct omni_address);
	__type(value, struct source_entry);
} source_map SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(map_flags, BPF_F_RDONLY_PROG);
	__uint(max_entries, OMNI_MAX_KNOWN);
	__type(key, struct omni_address);
	__type(value, __u64);
} known_map SEC(".maps");

/* One for each kind: a flood of initiations that prove nothing displaces none that do. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, OMNI_MAX_SEEN);
	__type(key, struct seen_key);
	__type(value, __u64);
} seen_map SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, OMNI_MAX_SEEN);
	__type(key, struct seen_key);
	__type(value, __u64);
} seen_proven_map SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, OMNI_MAX_TICKETS);
	__type(key, struct ticket_key);
	__type(value, __u64);
} ticket_map SEC(".maps");

_Static_assert(OMNI_DROP_MAX <= OMNI_COUNTERS && OMNI_STAT_MAX <= OMNI_COUNTERS, "a place for each");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, OMNI_COUNTERS);
	__type(key, __u32);
	__type(value, __u64);
} drop_map SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, OMNI_COUNTERS);
	__type(key, __u32);
	__type(value, __u64);
} stats_map SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, OMNI_EVENT_BYTES);
} event_map SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct meta_entry);
} meta_map SEC(".maps");

/*
 * Not preallocated: an update puts a whole new row in the old one's place, and
 * the old one stays as it is while a program reads it. In an array, or a row
 * that is used again at once, a program could read half of a key.
 */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC | BPF_F_RDONLY_PROG);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct gate_entry);
} gate_map SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_RDONLY_PROG);
	__uint(max_entries, OMNI_MAX_PENDING);
	__type(key, __u64);
	__type(value, struct pending_entry);
} pending_map SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, OMNI_MAX_PEERS);
	__type(key, __u64);
	__type(value, struct path_entry);
} path_map SEC(".maps");

/* Orders whose frames were lost on the way to the program make room for later ones. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, OMNI_MAX_ORDERS);
	__type(key, __u64);
	__type(value, struct order_entry);
} order_map SEC(".maps");

/*
 * Interfaces that take what XDP redirects, by number (written by user space
 * only). To others the kernel would drop it: they are sent to by the stack.
 */
struct {
	__uint(type, BPF_MAP_TYPE_DEVMAP_HASH);
	__uint(max_entries, OMNI_MAX_UNDERLAYS);
	__type(key, __u32);
	__type(value, __u32);
} xmit_map SEC(".maps");

/* Its entries run a program that calls the one in open_map (omni_spread.bpf.c). */
struct {
	__uint(type, BPF_MAP_TYPE_CPUMAP);
	__uint(max_entries, OMNI_MAX_CPUS);
	__type(key, __u32);
	__type(value, struct bpf_cpumap_val);
} cpu_map SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_RDONLY_PROG);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct spread_entry);
} spread_map SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, OMNI_MAX_CPUS);
	__type(key, __u32);
	__type(value, struct load_entry);
} load_map SEC(".maps");

/* Not preallocated: most peers never need a row. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, OMNI_MAX_PEERS);
	__type(key, __u64);
	__type(value, struct handover_entry);
} handover_map SEC(".maps");

#endif /* OMNI_MAPS_H */
