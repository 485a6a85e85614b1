import type { PublicKey } from '../manifest/model.ts';
import type { Freshness } from './model.ts';
import { MAX_TIMESTAMP_NS, type Timestamps } from './timestamps.ts';

/** Unconfirmed time stamps of one caller that are known one by one; of more, those that came first are forgotten. */
const MAX_SEEN = 16;
/** Callers with unconfirmed time stamps, of all identities together. */
const MAX_UNCONFIRMED = 65_536;

/** Which initiation a time stamp is of. */
export interface Stamp {
  /** The identity of this node that was called. */
  readonly own: PublicKey;
  /** The keys that the caller goes by: both, while it changes them. Whichever goes, the other one still tells. */
  readonly callers: readonly PublicKey[];
  readonly timestampNs: bigint;
}

/** Accepted initiations of one caller that nobody has confirmed. */
interface Unconfirmed {
  /** Greatest one since the last confirmed handshake. */
  readonly newest: bigint;
  /** In the order in which they came. */
  readonly seen: readonly bigint[];
}

/**
 * Judges initiations by their time stamps. An accepted one proves its caller only if this node's own key is still secret
 * (key-compromise impersonation of message 1), so it is remembered for what it is, one time stamp that must not be taken
 * twice, and outranks nothing until its handshake is confirmed. That takes the caller's private key, counts for good, and
 * is what outlives the process.
 */
export class CallerStamps {
  readonly #timestamps: Pick<Timestamps, 'greatest' | 'confirmed'>;
  readonly #unconfirmed = new Map<string, Unconfirmed>();

  constructor(timestamps: Pick<Timestamps, 'greatest' | 'confirmed'>) {
    this.#timestamps = timestamps;
  }

  judge({ own, callers, timestampNs }: Stamp): Freshness {
    if (timestampNs > MAX_TIMESTAMP_NS) return 'timestamp';
    let newest = 0n;
    for (const caller of callers) {
      if (timestampNs <= this.#timestamps.greatest(own, caller)) return 'replayed';
      const unconfirmed = this.#unconfirmed.get(nameOf(own, caller));
      if (unconfirmed?.seen.includes(timestampNs)) return 'replayed';
      if (unconfirmed !== undefined && unconfirmed.newest > newest) newest = unconfirmed.newest;
    }
    return timestampNs > newest ? 'newest' : 'late';
  }

  /** It was answered. */
  accepted({ own, callers, timestampNs }: Stamp): void {
    for (const caller of callers) {
      const name = nameOf(own, caller);
      const { newest, seen } = this.#unconfirmed.get(name) ?? { newest: 0n, seen: [] };
      this.#set(name, {
        newest: timestampNs > newest ? timestampNs : newest,
        seen: [...seen.slice(1 - MAX_SEEN), timestampNs],
      });
    }
  }

  /** Its session was used by the caller. */
  confirmed({ own, callers, timestampNs }: Stamp): void {
    for (const caller of callers) {
      this.#timestamps.confirmed(own, caller, timestampNs);
      const name = nameOf(own, caller);
      const seen = (this.#unconfirmed.get(name)?.seen ?? []).filter((each) => each > timestampNs);
      if (seen.length === 0) this.#unconfirmed.delete(name);
      else this.#set(name, { newest: 0n, seen });
    }
  }

  #set(name: string, unconfirmed: Unconfirmed): void {
    this.#unconfirmed.delete(name); // it goes to the end
    this.#unconfirmed.set(name, unconfirmed);
    for (const [oldest] of this.#unconfirmed) {
      if (this.#unconfirmed.size <= MAX_UNCONFIRMED) break;
      this.#unconfirmed.delete(oldest);
    }
  }
}

function nameOf(own: PublicKey, caller: PublicKey): string {
  return `${own} ${caller}`;
}
