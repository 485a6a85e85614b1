// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Never loaded: it only makes the compiler write BTF for everything of
 * omni_types.h, used by a program or not. scripts/generate-layout.mjs reads it.
 *
 * A new struct or enum needs a line here; the generator fails without.
 */
#include "omni_types.h"

#define STRUCT(name) struct name *omni_layout_##name
#define ENUM(name) enum name omni_layout_##name

STRUCT(omni_header);
STRUCT(omni_control_header);
STRUCT(omni_address);
STRUCT(omni_endpoint);
STRUCT(session_entry);
STRUCT(peer_entry);
STRUCT(fdb_key);
STRUCT(fdb_entry);
STRUCT(neigh_entry);
STRUCT(policy_entry);
STRUCT(subnet_key);
STRUCT(subnet_entry);
STRUCT(refused_key);
STRUCT(source_entry);
STRUCT(omni_path_frame);
STRUCT(order_entry);
STRUCT(gate_entry);
STRUCT(pending_entry);
STRUCT(seen_key);
STRUCT(ticket_key);
STRUCT(path_entry);
STRUCT(spread_entry);
STRUCT(load_entry);
STRUCT(handover_entry);
STRUCT(omni_event);
STRUCT(omni_path_event);
STRUCT(meta_entry);
STRUCT(omni_config);

ENUM(omni_protocol);
ENUM(omni_control);
ENUM(omni_path_kind);
ENUM(omni_session_flags);
ENUM(omni_peer_flags);
ENUM(omni_fdb_flags);
ENUM(omni_foreign_sources);
ENUM(omni_drop);
ENUM(omni_stat);
ENUM(omni_event_type);

/* Macros leave no trace in BTF; these carry the numbers. */
#define CONSTANT(name) CONSTANT_##name = name

enum omni_constants {
	CONSTANT(OMNI_LAYOUT_VERSION),
	CONSTANT(OMNI_KEY_WORDS),
	CONSTANT(OMNI_TAG_LEN),
	CONSTANT(OMNI_REPLAY_WORDS),
	CONSTANT(OMNI_INITIATION_LEN),
	CONSTANT(OMNI_RESPONSE_LEN),
	CONSTANT(OMNI_MAC1_LEN),
	CONSTANT(OMNI_MAC1_KEYS),
	CONSTANT(OMNI_SESSION_CPU_SHIFT),
	CONSTANT(OMNI_COOKIE_LEN),
	CONSTANT(OMNI_KEM_KEY_LEN),
	CONSTANT(OMNI_KEM_TEXT_LEN),
	CONSTANT(OMNI_HYBRID_INITIATION_LEN),
	CONSTANT(OMNI_HYBRID_RESPONSE_LEN),
	CONSTANT(OMNI_INITIATION_COVERED),
	CONSTANT(OMNI_RESPONSE_COVERED),
	CONSTANT(OMNI_COOKIE_SECRETS),
	CONSTANT(OMNI_UNPROVEN_PER_SECOND),
	CONSTANT(OMNI_PROVEN_PER_SECOND),
	CONSTANT(OMNI_KNOWN_PER_SECOND),
	CONSTANT(OMNI_RESPONSES_PER_SECOND),
	CONSTANT(OMNI_FIRST_CONTACTS_PER_SECOND),
	CONSTANT(OMNI_PREFIX56_FACTOR),
	CONSTANT(OMNI_PREFIX48_FACTOR),
	CONSTANT(OMNI_COUNTERS),
	CONSTANT(OMNI_PATH_VERSION),
	CONSTANT(OMNI_ETHERTYPE_PATH),
	CONSTANT(OMNI_ETHERTYPE_MESSAGE),
	CONSTANT(OMNI_MAX_ETHERTYPES),
	CONSTANT(OMNI_MAX_RECEIVE_CPUS),
	CONSTANT(OMNI_MAX_SPREAD_UNDERLAYS),
};
ENUM(omni_constants);
