/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Sessions: look-up, life time, the sender's nonces, events.
 *
 * A row that user space deletes can be filled with another session while a
 * program still works on it (maps.h), and before that its keys are wiped: first
 * expires_ns becomes 0, then the keys do. What a program takes from a row is
 * therefore good only if the row is still the same session's afterwards, and
 * not being wiped. A sender asks session_holds(): the id led to the same row
 * before and after, ids never come back, and expires_ns is not 0. A receiver
 * compares expires_ns under the row's lock (lib/receive.h), which it takes
 * anyway.
 */
#ifndef OMNI_SESSION_H
#define OMNI_SESSION_H

#include "../maps.h"

/*
 * Sending stops this far before the counter would wrap, which would repeat a
 * nonce; more CPUs than this cannot pass the check at once. As WireGuard's
 * REJECT_AFTER_MESSAGES.
 */
#define SESSION_MAX_COUNTER (~0ULL - (1ULL << 13))

/*
 * When an initiator that only receives renews a session: a passive keepalive
 * (10 s) and a handshake's time-out (5 s) before it ends. docs/protocol.md
 */
#define SESSION_LAST_CALL_NS (15 * 1000000000ULL)

static __always_inline int session_expired(const struct session_entry *session, __u64 now_ns)
{
	return now_ns >= session->expires_ns;
}

/*
 * An atomic operation that returns a value must stand between what was read of
 * the row and this: it keeps the reads in order on every machine.
 */
static __always_inline int session_holds(const __u64 *id, const struct session_entry *session)
{
	return bpf_map_lookup_elem(&session_map, id) == session && *(volatile __u64 *)&session->expires_ns != 0;
}

/*
 * Wipes the keys of a session that has expired, in case nobody is there to
 * delete it. Under the lock, without which no row is wiped, and hence none
 * deleted: what is found expired here cannot become another session's meanwhile.
 */
static __noinline int session_wipe(struct session_entry *session, __u64 now_ns)
{
	if (!session->expires_ns)
		return 0;
	bpf_spin_lock(&session->lock);
	if (session->expires_ns && session_expired(session, now_ns)) {
		/* A full barrier, for session_holds(). */
		__sync_lock_test_and_set(&session->expires_ns, 0);
		__builtin_memset(session->rx_key, 0, sizeof(session->rx_key));
		__builtin_memset(session->tx_key, 0, sizeof(session->tx_key));
	}
	bpf_spin_unlock(&session->lock);
	return 0;
}

/* Returns 0 if there was no room: the agent is not reading. */
static __always_inline int session_event(__u32 type, __u64 id, __u64 peer)
{
	struct omni_event *event = bpf_ringbuf_reserve(&event_map, sizeof(*event), 0);

	if (!event)
		return 0;
	event->type = type;
	event->pad = 0;
	event->session_id = id;
	event->peer = peer;
	bpf_ringbuf_submit(event, 0);
	return 1;
}

/* The session to send to a peer on, its local id in *id; NULL: none. */
static __always_inline struct session_entry *session_for_sending(__u64 peer, __u64 now_ns, __u64 *id)
{
	__u64 *current = bpf_map_lookup_elem(&send_map, &peer);
	struct session_entry *session;

	if (!current)
		return NULL;
	*id = *current;
	session = bpf_map_lookup_elem(&session_map, id);
	if (!session)
		return NULL;
	if (session_expired(session, now_ns)) {
		session_wipe(session, now_ns);
		return NULL;
	}
	return session->flags & OMNI_SESSION_UNCONFIRMED ? NULL : session;
}

/* Tells the agent, once, that a session which we initiated is old enough to be replaced. */
static __always_inline void session_check_rekey(struct session_entry *session, __u64 id, __u64 now_ns)
{
	if (!(session->flags & OMNI_SESSION_INITIATOR) || now_ns < session->rekey_after_ns ||
	    session->flags & OMNI_SESSION_REKEY_SENT)
		return;
	if (__sync_fetch_and_or(&session->flags, OMNI_SESSION_REKEY_SENT) & OMNI_SESSION_REKEY_SENT)
		return;
	if (!session_event(OMNI_EVENT_REKEY_DUE, id, session->peer))
		__sync_fetch_and_and(&session->flags, ~OMNI_SESSION_REKEY_SENT);
}

/* The same where we only receive: shortly before the end. */
static __always_inline void session_check_last_call(struct session_entry *session, __u64 id, __u64 now_ns)
{
	if (now_ns + SESSION_LAST_CALL_NS >= session->expires_ns)
		session_check_rekey(session, id, now_ns);
}

/*
 * The first authentic datagram on a responder's session proves that the
 * initiator has it: from now on we send on it.
 */
static __always_inline void session_check_confirm(struct session_entry *session, __u64 id)
{
	__u64 peer = session->peer;

	if (!(session->flags & OMNI_SESSION_UNCONFIRMED))
		return;
	if (!(__sync_fetch_and_and(&session->flags, ~OMNI_SESSION_UNCONFIRMED) & OMNI_SESSION_UNCONFIRMED))
		return;
	if (bpf_map_update_elem(&send_map, &peer, &id, BPF_ANY)) {
		/* No room for it: the next datagram tries again. */
		__sync_fetch_and_or(&session->flags, OMNI_SESSION_UNCONFIRMED);
		return;
	}
	session_event(OMNI_EVENT_CONFIRMED, id, peer);
}

#endif /* OMNI_SESSION_H */
