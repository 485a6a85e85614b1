/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Anti-replay window, RFC 6479: a ring of words in which whole words are
 * cleared as the window moves, so that nothing is ever shifted. One word is
 * always being filled, hence (64 - 1) * 64 usable bits.
 */
#ifndef OMNI_REPLAY_H
#define OMNI_REPLAY_H

#include "common.h"

#define REPLAY_WINDOW ((OMNI_REPLAY_WORDS - 1) * 64)

/* Whether `counter` is new, as far as can be seen now. Needs no lock to be a hint. */
static __always_inline int replay_fresh(const struct session_entry *session, __u64 counter)
{
	__u64 latest = session->replay_latest;

	if (counter > latest)
		return 1;
	if (latest - counter >= REPLAY_WINDOW)
		return 0;
	return !(session->replay_window[counter / 64 % OMNI_REPLAY_WORDS] >> counter % 64 & 1);
}

/* Marks an authenticated counter as seen. Call under session->lock, after replay_fresh was true under it. */
static __always_inline void replay_accept(struct session_entry *session, __u64 counter)
{
	__u64 latest = session->replay_latest;

	if (counter > latest) {
		__u64 passed = counter / 64 - latest / 64;

		for (__u64 i = 1; i <= OMNI_REPLAY_WORDS; i++) {
			if (i > passed)
				break;
			session->replay_window[(latest / 64 + i) % OMNI_REPLAY_WORDS] = 0;
		}
		session->replay_latest = counter;
	}
	session->replay_window[counter / 64 % OMNI_REPLAY_WORDS] |= 1ULL << counter % 64;
}

#endif /* OMNI_REPLAY_H */
