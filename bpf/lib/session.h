/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Sessions: look-up, life time, the sender's nonces, events.
 *
 * A row that user space deletes can be filled with another session while a
 * program still works on it (maps.h). What a program takes from a row is
 * therefore good only if session_holds() is true afterwards: the id led to the
 * same row before and after, and ids never come back.
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

static __always_inline int session_expired(const struct session_entry *session, __u64 now_ns)
{
	return now_ns >= session->expires_ns;
}

static __always_inline int session_holds(const __u64 *id, const struct session_entry *session)
{
	return bpf_map_lookup_elem(&session_map, id) == session;
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
	if (!session || session_expired(session, now_ns) || session->flags & OMNI_SESSION_UNCONFIRMED)
		return NULL;
	return session;
}

/* Tells the agent, once, that a session which we initiated is to be replaced. */
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
