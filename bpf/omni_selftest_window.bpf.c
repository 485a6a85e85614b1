// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * The replay window by itself, for test/bpf under BPF_PROG_TEST_RUN: without
 * the cipher in between, processors meet in it all the time. Never attached.
 */
#include "lib/receive.h"

#define SELFTEST_COUNTERS 64

/* The packet. Run `repeat` times, it goes on where it was. */
struct window_run {
	__u64 id;
	__u64 counter;	/* the next one */
	__u64 accepted;	/* so far */
};

/* Accepts the next SELFTEST_COUNTERS counters, each as if authenticated. */
SEC("xdp")
int selftest_window(struct xdp_md *ctx)
{
	struct window_run *run = (void *)(long)ctx->data;
	struct receipt receipt = {};
	struct session_entry *session;
	__u64 accepted = 0;

	if ((void *)(run + 1) > (void *)(long)ctx->data_end)
		return -1;
	receipt.id = run->id;
	receipt.counter = run->counter;
	session = bpf_map_lookup_elem(&session_map, &receipt.id);
	if (!session)
		return -1;
	receipt.expires_ns = session->expires_ns;
	for (int i = 0; i < SELFTEST_COUNTERS; i++) {
		if (accept(session, &receipt, 1) == OMNI_DROP_NONE)
			accepted++;
		receipt.counter++;
	}
	run->counter = receipt.counter;
	run->accepted += accepted;
	return 0;
}

char _license[] SEC("license") = "Dual BSD/GPL";
