/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Everything that user space and the BPF programs share: map keys and values,
 * the wire header, drop reasons, events. One owner: this file. The TypeScript
 * layout (src/dataplane/kernel/layout.ts) is generated from its BTF.
 *
 * Fixed widths, explicit padding, no bit-fields. Byte order is in the type
 * (__be16/__be32) or said beside the field; all else is host order in maps and
 * little-endian on the wire.
 *
 * Who writes what: a map row has one writer, but for order_map (user space
 * writes, the egress program deletes) and refused_map (the programs write, user
 * space deletes with the peer). User space writes peer_map,
 * fdb_map, neigh_map, policy_map, subnet_map and inserts or deletes
 * session_map rows; the programs write what happens to a session (counter,
 * window, statistics), the send_map flip of a confirmed session, source_map,
 * the seen maps, ticket_map, path_map, and the counters.
 */
#ifndef OMNI_TYPES_H
#define OMNI_TYPES_H

#include <linux/bpf.h>
#include <linux/types.h>

/* Bump when a map's key or value changes shape; an agent refuses other layouts. */
#define OMNI_LAYOUT_VERSION 1

#define OMNI_KEY_WORDS 8	/* 256-bit ChaCha20 key, RFC 8439 section 2.3 */
#define OMNI_TAG_LEN 16
#define OMNI_REPLAY_WORDS 64	/* ring of 64 x u64 bits; 4,032 usable (RFC 6479) */

/* What a datagram adds to a frame: outer Ethernet, IPv4 or IPv6, UDP, omni_header. */
#define OMNI_OVERHEAD_IPV4 (14 + 20 + 8 + 32)
#define OMNI_OVERHEAD_IPV6 (14 + 40 + 8 + 32)

/*
 * Longest frame that the programs seal or open: what native XDP gets into one
 * 4 KiB page, less XDP_PACKET_HEADROOM (256) and skb_shared_info (320). It is
 * 55 ChaCha20 blocks, the bound of the programs' loops.
 */
#define OMNI_MAX_FRAME 3520

/* --- the wire ---------------------------------------------------------- */

/* Precedes the ciphertext of every data datagram. docs/protocol.md */
struct omni_header {
	__u64 session_id;	/* little-endian; chosen by the receiver; 0 = control */
	__u64 counter;		/* little-endian; the nonce's last 8 bytes */
	__u8 tag[OMNI_TAG_LEN];
};

/* First 16 bytes of every control datagram. */
struct omni_control_header {
	__u64 zero;
	__u8 type;		/* enum omni_control */
	__u8 version;		/* enum omni_protocol */
	__u8 reserved[6];	/* zero */
};

enum omni_protocol {
	OMNI_PROTOCOL_CLASSIC = 1,	/* X25519 */
	OMNI_PROTOCOL_HYBRID = 2,	/* X25519 and ML-KEM-768 */
};

enum omni_control {
	OMNI_CONTROL_INITIATION = 1,
	OMNI_CONTROL_RESPONSE = 2,
	OMNI_CONTROL_COOKIE = 3,
	OMNI_CONTROL_PATH_CHALLENGE = 4,	/* reserved */
	OMNI_CONTROL_PATH_RESPONSE = 5,		/* reserved */
	OMNI_CONTROL_DISCOVERY = 6,		/* reserved */
};

/* UDP payload bytes, control header included. mac1 is at len - 32, mac2 at len - 16. */
#define OMNI_INITIATION_LEN 160
#define OMNI_RESPONSE_LEN 112
#define OMNI_COOKIE_LEN 112
#define OMNI_KEM_KEY_LEN (1184 + OMNI_TAG_LEN)		/* ML-KEM-768 encapsulation key, sealed */
#define OMNI_KEM_TEXT_LEN (1088 + OMNI_TAG_LEN)		/* its ciphertext, sealed */
#define OMNI_HYBRID_INITIATION_LEN (OMNI_INITIATION_LEN + OMNI_KEM_KEY_LEN)
#define OMNI_HYBRID_RESPONSE_LEN (OMNI_RESPONSE_LEN + OMNI_KEM_TEXT_LEN)
#define OMNI_MAC1_LEN 16
/*
 * What mac1 covers, from the message's first byte on, in every version: 128
 * bytes of an initiation, 80 of a response or a cookie reply. mac2 covers the
 * same bytes, then mac1. mac1 is under the receiver's key; a cookie reply's
 * under its sender's, who does not know yet whom it answers.
 */
#define OMNI_INITIATION_COVERED 128
#define OMNI_RESPONSE_COVERED 80

/*
 * Ethertype (IEEE 802 local experimental 1) of a frame between agents and
 * programs: struct omni_path_frame follows the Ethernet header. The agent
 * sends it on omni0; `kind` says what the egress program makes of it. No such
 * frame of another node ever comes out of omni0.
 */
#define OMNI_ETHERTYPE_PATH 0x88b5

/* EtherType of agents' messages (IEEE Std 802, local experimental 2): ordinary frames to the programs. */
#define OMNI_ETHERTYPE_MESSAGE 0x88b6

/* --- identifiers ------------------------------------------------------- */

/*
 * peer: u64, little-endian first 8 bytes of BLAKE2s-256("omni peer id" ||
 * Ed25519 public key): every node computes it from git alone. 0 = nobody.
 */

struct omni_address {		/* IPv4 is held as ::ffff:a.b.c.d */
	__u8 bytes[16];		/* network order */
};

struct omni_endpoint {
	struct omni_address remote;
	struct omni_address local;	/* source address of what we send; all zero = unknown: nothing is sent */
	__be16 remote_port;
	__be16 local_port;
	__u32 pad;
};

/* --- path frames: after the Ethernet header, as the agent sends them on omni0 - */

#define OMNI_PATH_VERSION 1

enum omni_path_kind {
	OMNI_PATH_KEEPALIVE = 0,	/* becomes an empty ciphertext on the current session; the frame itself is not sent */
	OMNI_PATH_CHALLENGE = 1,	/* sealed and sent by way of the order's `via`; `order` is zero on the wire */
	OMNI_PATH_RESPONSE = 2,		/* as above */
};

struct omni_path_frame {
	__u8 version;		/* OMNI_PATH_VERSION; in a keepalive nothing is looked at but kind */
	__u8 kind;		/* enum omni_path_kind */
	__u8 reserved[6];	/* zero */
	__u64 nonce;		/* little-endian; unpredictable, of the challenge */
	__u64 order;		/* key of order_map; zero on the wire */
	__u8 reserved1[32];	/* zero */
	/* padding, to the size that is to be tried */
};

/* --- order_map: LRU_HASH  u64 order -> order_entry (written by user space, deleted by the egress program as it is carried out) - */

/*
 * What the agent asks of the egress program by one frame: who sends frames on
 * omni0 need not be the agent, but nobody else knows a random order's key.
 */
struct order_entry {
	struct omni_endpoint via;	/* the path that the message takes */
	__u64 peer;			/* whom it is for */
	__u64 expires_ns;		/* absolute */
	__u32 kind;			/* enum omni_path_kind, of the frame */
	__u32 pad;
};

/* --- session_map: HASH  u64 local session id -> session_entry ----------- */

enum omni_session_flags {
	OMNI_SESSION_INITIATOR = 1 << 0,	/* we initiated it: we rekey it */
	OMNI_SESSION_UNCONFIRMED = 1 << 1,	/* responder's "next": receive only, until the first authentic datagram */
	OMNI_SESSION_REKEY_SENT = 1 << 2,	/* the REKEY_DUE event went out once */
	OMNI_SESSION_HYBRID = 1 << 3,		/* its handshake was OMNI_PROTOCOL_HYBRID */
};

/* Of session_entry.flags, bits 16 to 31: the CPU that opens its datagrams, plus 1; 0: the one that they arrive on. */
#define OMNI_SESSION_CPU_SHIFT 16

struct session_entry {
	struct bpf_spin_lock lock;	/* guards rx_* and replay_*; never held across a helper */
	__u32 flags;			/* enum omni_session_flags; atomic */
	__u64 peer;
	__u64 remote_id;		/* goes out as session_id */
	__u64 created_ns;		/* CLOCK_BOOTTIME, like every _ns here */
	__u64 rekey_after_ns;		/* absolute; initiator: first send after it raises REKEY_DUE */
	__u64 expires_ns;		/* absolute; nothing is sent or accepted from then on; 0 = being wiped */
	__u32 rx_key[OMNI_KEY_WORDS];	/* little-endian words of the key */
	__u32 tx_key[OMNI_KEY_WORDS];

	__u64 rx_packets;		/* authentic datagrams, keepalives included */
	__u64 rx_bytes;			/* inner bytes */
	__u64 rx_last_ns;		/* last authentic datagram */
	__u64 rx_data_last_ns;		/* last one that carried a frame of the stack's: path frames are none */
	__u64 replay_latest;		/* highest counter accepted so far */
	__u64 replay_window[OMNI_REPLAY_WORDS];

	__u64 tx_counter;		/* the next counter; atomic fetch-and-add; = datagrams sent */
	__u64 tx_bytes;			/* inner bytes; atomic */
	__u64 tx_last_ns;
	__u64 tx_data_last_ns;		/* likewise */
};

/* --- peer_map: HASH  u64 peer -> peer_entry (written by user space only) - */

enum omni_peer_flags {
	OMNI_PEER_ENDPOINT = 1 << 0,		/* endpoint is set */
	OMNI_PEER_ENDPOINT_OBSERVED = 1 << 1,	/* by an authenticated handshake, not only a manifest's hint */
	OMNI_PEER_ROUTER = 1 << 2,		/* its router advertisements and redirects are let in, and its own link-local address */
	OMNI_PEER_DHCP_SERVER = 1 << 3,		/* its DHCP offers are let in */
};

struct peer_entry {
	__u8 public_key[32];	/* Ed25519: whose row this is. The id was made from it, unless the peer changed its key since */
	struct omni_endpoint endpoint;
	__u32 flags;		/* enum omni_peer_flags */
	__u32 pad;
};

/* --- send_map: HASH  u64 peer -> u64 local id of the session to send on -- */

/* --- fdb_map: HASH  fdb_key -> fdb_entry -------------------------------- */

struct fdb_key {
	__u8 mac[6];
	__u16 pad;
};

enum omni_fdb_flags {
	OMNI_FDB_DECLARED = 1 << 0,	/* from a manifest; a learned row never displaces it */
};

struct fdb_entry {
	__u64 peer;		/* 0: this node itself, by a MAC that omni0 had or will have */
	__u32 flags;
	__u32 pad;
};

/* --- neigh_map: HASH  omni_address -> neigh_entry ------------------------ */

struct neigh_entry {
	__u8 mac[6];
	__u16 flags;
};

/* --- policy_map: ARRAY[1] of policy_entry (written by user space only) ---- */

#define OMNI_MAX_ETHERTYPES 8

/* Sources outside the subnets. An entry that nobody wrote says UNSET, which denies. */
enum omni_foreign_sources {
	OMNI_FOREIGN_SOURCES_UNSET = 0,
	OMNI_FOREIGN_SOURCES_DENY,
	OMNI_FOREIGN_SOURCES_ALLOW,
};

/* What the Cluster says of frames that peers send here. */
struct policy_entry {
	__u32 foreign_sources;	/* enum omni_foreign_sources */
	__u32 ethertype_count;
	__be16 ethertypes[OMNI_MAX_ETHERTYPES];	/* let in unseen, beside those that are looked at */
	__u32 reserved[8];	/* zero */
};

/* --- subnet_map: LPM_TRIE  subnet_key -> subnet_entry (written by user space only) */

/* A subnet of the cluster: inside it only declared addresses are sources. */
struct subnet_key {
	__u32 prefix_length;	/* of 128 bits; IPv4: 96 more than the subnet's */
	struct omni_address address;
};

struct subnet_entry {
	__u32 flags;		/* none yet */
};

/* --- refused_map: HASH  refused_key -> u64 ------------------------------- */

/* Frames of authentic datagrams of a peer that were dropped, by reason. */
struct refused_key {
	__u64 peer;
	__u32 reason;		/* enum omni_drop */
	__u32 pad;
};

/* --- source_map: LRU_HASH  omni_address -> source_entry; the key: lib/ratelimit.h */

/*
 * A token bucket in one word, so that CPUs agree by compare-and-swap (the
 * virtual scheduling form of the generic cell rate algorithm, ITU-T I.371):
 * the bucket is full from this moment on, empty one second before it.
 */
struct source_entry {
	__u64 full_ns;
};

/*
 * Places in drop_map and in stats_map: more than there are reasons, so that a
 * later build finds room in what is pinned.
 */
#define OMNI_COUNTERS 64

/* --- drop_map: PERCPU_ARRAY  enum omni_drop -> u64 ----------------------- */

enum omni_drop {
	OMNI_DROP_NONE = 0,
	/* egress */
	OMNI_DROP_FRAME_MALFORMED,	/* shorter than an Ethernet header, or longer than a program can seal */
	OMNI_DROP_FDB_MISS,		/* no row for the destination MAC */
	OMNI_DROP_MULTICAST,		/* group address, and nothing answers or replicates it; on ingress too: no node sends any */
	OMNI_DROP_NEIGH_MISS,		/* ARP or ND for an address that no manifest declares */
	OMNI_DROP_NO_ENDPOINT,		/* the peer has no endpoint yet */
	OMNI_DROP_COUNTER_EXHAUSTED,
	OMNI_DROP_MTU,			/* larger than the path allows */
	OMNI_DROP_NO_ROUTE,		/* the underlay has no route to the endpoint */
	OMNI_DROP_HEADROOM,		/* the driver gave no room for the outer headers */
	/* ingress */
	OMNI_DROP_TRUNCATED,		/* to our port, but its lengths lie, or it is too short or long, a fragment, or has IP options */
	OMNI_DROP_CONTROL_INVALID,	/* id 0 with an unknown type, version or length */
	OMNI_DROP_MAC1,			/* handshake by somebody who is no member */
	OMNI_DROP_RATELIMIT,		/* initiation with a valid mac2: its source's token bucket is empty */
	OMNI_DROP_SESSION_UNKNOWN,
	OMNI_DROP_SESSION_EXPIRED,
	OMNI_DROP_AUTH,			/* tag does not verify */
	OMNI_DROP_REPLAY,
	OMNI_DROP_INNER_MALFORMED,	/* authentic, but no Ethernet frame inside */
	OMNI_DROP_INNER_SOURCE,		/* authentic, but the source MAC, or an address inside the subnets, is not this peer's */
	OMNI_DROP_INTERNAL,		/* a helper failed where it never should */
	/* later ones, in order of appearance: counters keep their places */
	OMNI_DROP_OVERLOAD,		/* handshake message of a kind of which more came from all sources than the agent is asked to look at */
	OMNI_DROP_UNEXPECTED,		/* response or cookie reply to no initiation that is under way */
	OMNI_DROP_PATH,			/* authentic path frame that is malformed, or one too many of its peer; on egress one without an order of the agent's, or without a session */
	OMNI_DROP_BACKLOG,		/* the queue of the CPU that was to open it was full; noticed by the next one that came through */
	/* ingress, authentic: the frame inside is not of a shape that is known in full (lib/inner.h) */
	OMNI_DROP_INNER_TAGS,		/* more VLAN tags than two, or a tag that is cut short */
	OMNI_DROP_INNER_ETHERTYPE,	/* an EtherType that neither the programs know nor the Cluster lists */
	OMNI_DROP_INNER_HEADER,		/* IP header with lengths that lie, or options or extension headers that are not accepted */
	OMNI_DROP_INNER_PROTOCOL,	/* an IP protocol that is not known, or inside which a stack looks further */
	OMNI_DROP_INNER_NEIGHBOUR,	/* ARP or neighbour discovery whose own addresses disagree, or that is hidden */
	OMNI_DROP_INNER_FOREIGN,	/* source address outside the subnets, and the Cluster says foreignSources: deny */
	OMNI_DROP_INNER_ROUTER,		/* router advertisement or redirect of a peer that is not declared a router */
	OMNI_DROP_INNER_DHCP,		/* UDP of a DHCP server, of a peer that is not declared one */
	OMNI_DROP_INNER_AGENT,		/* UDP to the handshake port: the agent is not reached from inside the overlay */
	/* egress */
	OMNI_DROP_LOOP,			/* the route to the peer's endpoint leads into the overlay */
	/* ingress, before authentication */
	OMNI_DROP_TAGGED,		/* UDP to our port behind priority tags (VLAN 0): the stack would take them off behind the programs */
	OMNI_DROP_NO_AGENT,		/* handshake message, and no socket listens: passed up, it would draw an ICMP error */
	OMNI_DROP_RECORDED,		/* initiation that came from the same source before, byte for byte */
	OMNI_DROP_BYPASS,		/* at the agent's socket: came by another way than the ingress program */
	OMNI_DROP_MAX,
};

/* --- stats_map: PERCPU_ARRAY  enum omni_stat -> u64; survives the agent --- */

enum omni_stat {
	OMNI_STAT_TX_PACKETS = 0,	/* datagrams sealed and handed to the underlay */
	OMNI_STAT_TX_BYTES,		/* inner bytes */
	OMNI_STAT_RX_PACKETS,		/* datagrams authenticated, in the window, accepted */
	OMNI_STAT_RX_BYTES,
	OMNI_STAT_QUEUED,		/* frames handed to the agent for want of a session */
	OMNI_STAT_CONTROL_PASSED,	/* handshake messages passed to the agent's socket */
	OMNI_STAT_NEIGH_ANSWERED,	/* ARP and ND answered here */
	OMNI_STAT_NEIGH_RESOLVE,	/* datagrams that took the stack's path to resolve the underlay's neighbour */
	OMNI_STAT_HANDED_OVER,		/* data datagrams that another CPU than the one they arrived on was asked to open */
	OMNI_STAT_MAX,
};

/* --- gate_map: HASH[1] (written by user space only) ---------------------- */

#define OMNI_MAC1_KEYS 4	/* two identities under two cluster keys, while both are being changed */
#define OMNI_COOKIE_SECRETS 2	/* the current one, and the one before */

/* What a handshake message to this node must show. */
struct gate_entry {
	__u32 mac1_count;
	__u32 cookie_count;
	__u8 mac1_keys[128];		/* OMNI_MAC1_KEYS of 32 bytes; any of the first mac1_count will do */
	__u8 cookie_secrets[64];	/* OMNI_COOKIE_SECRETS of 32 bytes; likewise */
};

/*
 * What the agent is asked to look at in a second, from all sources together;
 * source_map counts each kind under an address below ::/64 (lib/ratelimit.h).
 */
#define OMNI_UNPROVEN_PER_SECOND 1000	/* initiations without a valid mac2; as many cookie replies */
#define OMNI_PROVEN_PER_SECOND 200	/* initiations with one, of sources that completed no handshake lately */
#define OMNI_KNOWN_PER_SECOND 1000	/* and of those that did (known_map) */
#define OMNI_RESPONSES_PER_SECOND 1000	/* more than twice what the agent initiates */

/* Initiations from interfaces that are no underlay yet, where the agent chooses the underlay itself. */
#define OMNI_FIRST_CONTACTS_PER_SECOND 20

/* Multiples of new_sessions_per_second that IPv6 networks of these prefix lengths get. */
#define OMNI_PREFIX56_FACTOR 4
#define OMNI_PREFIX48_FACTOR 16

/* --- known_map: LRU_HASH  omni_address -> u64 time (written by user space only) */

/*
 * Sources, as an IPv4 address or an IPv6 network of 64 bits, that completed a
 * handshake: they count as known for so long.
 */
#define OMNI_KNOWN_NS (24 * 3600 * 1000000000ULL)

/* --- seen_map, seen_proven_map: LRU_HASH  seen_key -> u64 time (written by the programs only) */

/* An initiation that was passed to the agent, and where it came from. */
struct seen_key {
	__u8 mac1[OMNI_MAC1_LEN];
	struct omni_address source;
};

/* --- ticket_map: LRU_HASH  ticket_key -> u64 time (written by the programs only) */

/*
 * A handshake message that the ingress program passed to the stack, by its
 * mac1: the filter on the agent's socket lets it in once, if it gets there
 * within OMNI_TICKET_NS.
 */
#define OMNI_TICKET_NS (2 * 1000000000ULL)

struct ticket_key {
	__u8 mac1[OMNI_MAC1_LEN];
};

/* --- pending_map: HASH  u64 our sender id -> pending_entry (written by user space only) */

/* An initiation of ours that an answer is welcome to. */
struct pending_entry {
	__u64 expires_ns;	/* absolute */
};

/* --- path_map: HASH  u64 peer -> path_entry (written by the programs only) - */

/* Where authentic datagrams of a peer last came from, other than its endpoint: a hint, and no more. */
struct path_entry {
	struct omni_endpoint path;
	__u64 told_ns;		/* when the agent was told */
};

/* --- cpu_map: CPUMAP, spread_map: ARRAY[1] of spread_entry (written by user space only) - */

#define OMNI_MAX_RECEIVE_CPUS 64
#define OMNI_MAX_SPREAD_UNDERLAYS 32

/*
 * The CPUs that may open datagrams which arrive on another one, for each of
 * which cpu_map has an entry; so it has for every CPU that datagrams may
 * arrive on. None: each datagram is opened where it arrives. So is what
 * arrives on an interface that is not listed: the kernel cannot be asked to
 * take it elsewhere.
 */
struct spread_entry {
	__u32 count;		/* of cpus */
	__u32 underlays;	/* of ifindexes */
	__u16 cpus[OMNI_MAX_RECEIVE_CPUS];
	__u32 ifindexes[OMNI_MAX_SPREAD_UNDERLAYS];
};

/* --- load_map: ARRAY  CPU -> load_entry (each CPU writes its own) --------- */

/*
 * What a datagram costs, in bytes of text: its own, and OMNI_LOAD_DATAGRAM for
 * everything that does not depend on its length. A CPU on which more than
 * OMNI_LOAD_BUSY arrives within OMNI_LOAD_WINDOW_NS is busy, and remains so
 * for OMNI_LOAD_LINGER_NS: from about 300 Mbit/s or 120,000 short datagrams a
 * second on.
 */
#define OMNI_LOAD_DATAGRAM 256
#define OMNI_LOAD_BUSY (160 * 1024)
#define OMNI_LOAD_WINDOW_NS (4 * 1000000ULL)
#define OMNI_LOAD_LINGER_NS (10 * 1000000ULL)

struct load_entry {
	__u64 window_ns;	/* when the window began */
	__u64 busy_ns;		/* when more than OMNI_LOAD_BUSY had arrived, last */
	__u64 queue;		/* where it arrived: ifindex << 32 | receive queue */
	__u32 work;		/* in the window */
	__u32 turn;		/* of spread_entry.cpus, counted on for ever */
	__u32 given;		/* peers given a CPU since this one became busy */
	__u32 pad;
	__u64 pad1[3];		/* to a cache line */
};

/* --- handover_map: HASH  u64 peer -> handover_entry (written by the programs only) */

/* Of handover_entry.route: the CPU that opens, plus 1, and from this bit on the one that relays, plus 1. */
#define OMNI_ROUTE_RELAY_SHIFT 16

/*
 * Who opens a peer's datagrams. Tickets number those that were handed over, by
 * twos; ends that are equal mean that none is under way.
 */
struct handover_entry {
	__u32 route;		/* 0: the CPU that they arrive on; atomic */
	__u32 handed;		/* last ticket given; atomic */
	__u64 handed_ns;
	__u64 pad[6];		/* those below are another CPU's: another cache line */
	__u32 relayed;		/* last ticket that the relay passed on */
	__u32 opened;		/* last ticket that the opener saw */
};

/* --- event_map: RINGBUF of omni_event ------------------------------------ */

enum omni_event_type {
	OMNI_EVENT_REKEY_DUE = 1,	/* initiator sent on a session older than rekey_after_ns */
	OMNI_EVENT_CONFIRMED = 2,	/* first authentic datagram on an unconfirmed session; send_map was flipped */
	OMNI_EVENT_PATH_SEEN = 3,	/* omni_path_event: an authentic datagram, no path frame, came from elsewhere than the peer's endpoint */
	OMNI_EVENT_PATH_MESSAGE = 4,	/* omni_path_event: a challenge or a response */
};

struct omni_event {
	__u32 type;		/* enum omni_event_type */
	__u32 pad;
	__u64 session_id;	/* local id */
	__u64 peer;
};

/* Longer than omni_event, and begins as that does. */
struct omni_path_event {
	__u32 type;
	__u32 length;		/* of the frame, Ethernet header included; 0 in PATH_SEEN */
	__u64 session_id;
	__u64 peer;
	struct omni_endpoint path;	/* remote: whence it came; local: where it arrived */
	__u64 nonce;		/* PATH_MESSAGE */
	__u32 kind;		/* enum omni_path_kind; PATH_MESSAGE */
	__u32 pad;
};

/* --- meta_map: ARRAY[1] of meta_entry: what is loaded, for adoption and drift */

#define OMNI_CLUSTER_NAME_LEN 256	/* an interface alias's limit, IFALIASZ */

/* Written last, by user space only: a row that is there means that creation finished. */
struct meta_entry {
	__u32 layout_version;	/* OMNI_LAYOUT_VERSION */
	__u32 mtu_auto;		/* the manifest left the MTU to us: 1 for an IPv4 underlay, 2 for one that may be IPv6 */
	__u8 build_id[32];	/* BLAKE2s-256 of object files and .rodata: equal = nothing to reload */
	__u8 local_mac[6];	/* the rest repeats omni_config, which is not readable once loaded */
	__be16 port;
	__u32 new_sessions_per_second;
	__u32 mtu;
	__u32 arp_suppression;
	__u32 pad;
	__u8 cluster[OMNI_CLUSTER_NAME_LEN];	/* zero-padded */
};

/* --- .rodata: `const volatile struct omni_config config` in each program ---- */

struct omni_config {
	__u8 local_mac[6];	/* omni0's */
	__be16 port;		/* our UDP port */
	__u32 ifindex_outer;	/* omni0x: ingress redirects here, the frame comes out of omni0 */
	__u32 ifindex_inner;	/* omni0: no endpoint is reached through it */
	__u32 first_contacts_per_second;	/* initiations that may come from interfaces that are no underlay; 0: none */
	__u32 new_sessions_per_second;	/* token bucket rate and burst, per source */
	__u32 arp_suppression;	/* 0 or 1 */
};

#endif /* OMNI_TYPES_H */
