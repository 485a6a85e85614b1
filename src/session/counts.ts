/** Why a handshake came to nothing. Of messages received: nobody is told, they are only counted. */
const FAILURE_REASONS = [
  /** Length, type, version or a zero that is none. */
  'malformed',
  /** mac1: not for us, or by no member of the cluster. */
  'mac1',
  /** It came from an address inside the cluster, where no endpoint is. */
  'overlay-source',
  /** An initiation of a version that the cluster takes no more. */
  'version',
  /** Under load: an initiation without a valid mac2. Its sender is told to come back with a cookie. */
  'unproven',
  /** Under load: more of those than are told so. */
  'overload',
  /** A cookie reply that is not by the peer that was asked, not in answer to what it was asked, or the second one. */
  'cookie',
  /** It does not authenticate: another cluster or PSK, a changed byte. */
  'decrypt',
  /** An initiation by a key that no peer has here: unknown, suspended, revoked. */
  'unknown-peer',
  /** An initiation that was answered before, or that is no newer than that of a confirmed handshake. */
  'replayed',
  /** An initiation from after the year 2200. */
  'timestamp',
  /** The peer's last initiation is too recent, or an earlier one waits to be confirmed. */
  'rate-limited',
  /** Answers nothing that we asked, or no more. */
  'unexpected-response',
  /** Ours: no answer until we gave up. */
  'timeout',
  /** Ours: the peer has no endpoint that we could send to. */
  'no-endpoint',
  /** Ours: the system would not send. */
  'send',
  /** The data plane would not take the session. */
  'install',
] as const;
export type FailureReason = (typeof FAILURE_REASONS)[number];

/** Handshakes since start. */
export class HandshakeCounts {
  completed = 0;
  readonly #failed = new Map<FailureReason, number>(FAILURE_REASONS.map((reason) => [reason, 0]));

  fail(reason: FailureReason): void {
    this.#failed.set(reason, (this.#failed.get(reason) ?? 0) + 1);
  }

  /** Every reason is present. */
  failed(): Readonly<Record<FailureReason, number>> {
    return Object.fromEntries(this.#failed) as Record<FailureReason, number>;
  }
}
