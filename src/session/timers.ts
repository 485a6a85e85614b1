/**
 * Times of the protocol, milliseconds of `SessionPlane.now()`. The numbers are WireGuard's where it has them;
 * docs/protocol.md, "Timers", is the normative list. What a cluster can set (`rekeyAfter`, `lifetime`,
 * `handshakeTimeout`, a peer's `keepalive`) comes in the machine's settings.
 */

/**
 * At most this, and at most a third of the pause, is added to every retry at random, so that two ends that started
 * together do not stay together.
 */
export const RETRY_JITTER_MS = 333;
/**
 * Pauses before the first retries where there is no session; the cluster's handshakeTimeout, where it is shorter and
 * after them. A commit reaches two nodes at different moments: the first of them calls a peer that does not know it
 * for up to a poll interval, and must not sit out a whole timeout then. They grow, as an answer counts only until the
 * third initiation after it leaves: on a long path, or where a machine is slow, some initiation gets the time it needs.
 */
export const EARLY_RETRIES_MS: readonly number[] = [250, 500, 500, 1_000, 2_000];
/** An initiation that was not answered within this goes to the peer's next endpoint as well (RFC 8305, section 5). */
export const NEXT_CANDIDATE_MS = 250;
/** An attempt ends after this without an answer, unless traffic asks again. */
export const ATTEMPT_MS = 90_000;
/** Something was received and nothing sent for this long: an empty datagram tells the peer that we live. */
export const PASSIVE_KEEPALIVE_MS = 10_000;
/** A frame was sent and nothing came back for this long: a new handshake. */
export const DEAD_PEER_MS = 15_000;
/** A session this much older than its rekey time, and silent for as long, is not trusted to be there still. */
export const STALE_MS = 60_000;
/** A session that was replaced is kept until nothing was received on it for this long. */
export const RETIRE_GRACE_MS = 10_000;
/**
 * A responder's session that the initiator never used goes after the cluster's handshakeTimeout, and not before this: the
 * initiator's first confirming keepalive may get lost, and the next two follow within 1.5 s (CONFIRM_DELAYS_MS).
 */
export const UNCONFIRMED_MIN_MS = 2_000;
/** Initiations of one peer are answered no more often than this. */
export const MIN_INITIATION_INTERVAL_MS = 100;
/** The path of a session on which something was received this recently is not moved by an initiation alone. */
export const PATH_ALIVE_MS = 25_000;

/** Confirming keepalives of a new initiator: pauses until the responder's first datagram shows that it has one. */
export const CONFIRM_DELAYS_MS: readonly number[] = [500, 1_000, 2_000, 4_000];

/** Statistics are read this often while they move, */
export const POLL_ACTIVE_MS = 5_000;
/** and this often while they do not: still sooner than a peer waits for a sign of life (DEAD_PEER_MS). */
export const POLL_IDLE_MS = 10_000;
/** Never more often than this, whoever asks. */
export const POLL_MIN_MS = 100;
/** Routine reads fall on multiples of this. */
export const POLL_GRID_MS = 250;
