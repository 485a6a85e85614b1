import type { PostQuantum } from '../manifest/model.ts';

/** A session of a classic handshake, once all are to be hybrid. As long as an attempt to get a new one. */
const CLASSIC_MS = 90_000;
/** A session with a key that is its peer's no more. */
const FORMER_KEY_MS = 15_000;

/** How a session was made, as far as this process knows. */
export interface Made {
  readonly hybrid: boolean;
  /** The peer's identity in its handshake, 32 bytes. Undefined: an earlier process made it. */
  readonly remoteKey: Uint8Array | undefined;
}

/** What the applied revision asks of the sessions with a peer. */
export interface Requirements {
  readonly mode: PostQuantum;
  /** The peer's identities, 32 bytes each. */
  readonly keys: readonly Uint8Array[];
  /** One that it had before is not among them. */
  readonly keyDropped: boolean;
}

/** How long a session may still serve, milliseconds; Infinity: nothing is wrong with it. Pure. */
export function mayServeMs({ hybrid, remoteKey }: Made, { mode, keys, keyDropped }: Requirements): number {
  const known = remoteKey === undefined ? !keyDropped : keys.some((key) => Buffer.compare(key, remoteKey) === 0);
  if (!known) return FORMER_KEY_MS;
  return mode === 'required' && !hybrid ? CLASSIC_MS : Number.POSITIVE_INFINITY;
}
