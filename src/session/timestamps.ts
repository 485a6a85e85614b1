import { OmniError } from '../errors.ts';
import type { PublicKey } from '../manifest/model.ts';
import type { KeptText } from './kept.ts';

/** With a clock that runs: how far ahead one write covers what initiations may bear. Nanoseconds. */
const CLOCK_RESERVE_NS = 60_000_000_000n;
/** With a clock that stands in the past, where time stamps count up by one. */
const COUNT_RESERVE_NS = 1_000_000n;
/** Leaves room to count up in 64 bits: the year 2200. */
const MAX_OWN_NS = 7_258_118_400_000_000_000n;
/** More peers than any fleet has; the smallest time stamps go first. */
const MAX_PEERS = 65_536;

/**
 * The handshake clock. Initiations bear max(clock, last + 1), and no accepted time stamp is accepted again: a robot
 * that boots without a clock can still call, and a recorded call is worth nothing, also across restarts. Kept as
 *
 *     {"version":1,"own":"<ns>","peers":{"<public key>":"<ns>",...}}
 *
 * `own` is an upper bound of what was ever sent; it is on disk before anything above it is sent. Peers' values are
 * written behind (`save`).
 */
export class Timestamps {
  readonly #kept: KeptText;
  readonly #peers: Map<PublicKey, bigint>;
  #last: bigint;
  #bound: bigint;
  #dirty = false;
  #writing: Promise<void> = Promise.resolve();
  #reserving: Promise<OmniError | undefined> = Promise.resolve(undefined);

  private constructor(kept: KeptText, own: bigint, peers: Map<PublicKey, bigint>) {
    this.#kept = kept;
    this.#last = own;
    this.#bound = own;
    this.#peers = peers;
  }

  /** Reads what is there. A damaged file is reported by `problem` and begins anew: a node must not stay away for it. */
  static async open(kept: KeptText): Promise<{ readonly timestamps: Timestamps; readonly problem?: OmniError }> {
    const empty = new Timestamps(kept, 0n, new Map());
    let text: string | undefined;
    try {
      text = await kept.read();
    } catch (error) {
      return { timestamps: empty, problem: unusable(kept.path, 'cannot be read', error) };
    }
    if (text === undefined) return { timestamps: empty };
    try {
      const { own, peers } = parse(text);
      return { timestamps: new Timestamps(kept, own, peers) };
    } catch (error) {
      return { timestamps: empty, problem: unusable(kept.path, 'is damaged', error) };
    }
  }

  /**
   * The time stamp of the next initiation. Resolves when a restart can no longer send it again. Where the disk refuses,
   * `problem` says so and the value is good all the same, until a restart with a wrong clock.
   */
  async next(wallNs: bigint): Promise<{ readonly timestampNs: bigint; readonly problem?: OmniError }> {
    const counts = wallNs <= this.#last;
    const timestampNs = counts ? this.#last + 1n : wallNs;
    this.#last = timestampNs;
    if (timestampNs > this.#bound) {
      this.#bound = timestampNs + (counts ? COUNT_RESERVE_NS : CLOCK_RESERVE_NS);
      this.#dirty = true;
      this.#reserving = this.save();
    }
    const problem = await this.#reserving;
    return problem === undefined ? { timestampNs } : { timestampNs, problem };
  }

  /** Greatest accepted one; 0 = none. */
  greatest(peer: PublicKey): bigint {
    return this.#peers.get(peer) ?? 0n;
  }

  accepted(peer: PublicKey, timestampNs: bigint): void {
    this.#peers.set(peer, timestampNs);
    this.#dirty = true;
  }

  /** Something was accepted that is not on disk yet. */
  get dirty(): boolean {
    return this.#dirty;
  }

  /** Writes if there is anything new, atomically and durably, one write at a time. */
  save(): Promise<OmniError | undefined> {
    const written = this.#writing.then(async () => {
      if (!this.#dirty) return undefined;
      this.#dirty = false;
      try {
        await this.#kept.write(this.#text());
        return undefined;
      } catch (error) {
        return unusable(this.#kept.path, 'cannot be written', error);
      }
    });
    this.#writing = written.then(() => undefined);
    return written;
  }

  #text(): string {
    if (this.#peers.size > MAX_PEERS) {
      const oldest = [...this.#peers].sort(([, a], [, b]) => (a < b ? -1 : 1)).slice(0, this.#peers.size - MAX_PEERS);
      for (const [key] of oldest) this.#peers.delete(key);
    }
    const peers = Object.fromEntries([...this.#peers].map(([key, value]) => [key, String(value)]));
    return `${JSON.stringify({ version: 1, own: String(this.#bound), peers })}\n`;
  }
}

function parse(text: string): { own: bigint; peers: Map<PublicKey, bigint> } {
  const value: unknown = JSON.parse(text);
  if (typeof value !== 'object' || value === null) throw new TypeError('not an object');
  const { version, own, peers } = value as { version?: unknown; own?: unknown; peers?: unknown };
  if (version !== 1 || typeof peers !== 'object' || peers === null) throw new TypeError('not version 1');
  const entries = Object.entries(peers).map(([key, each]): [PublicKey, bigint] => [
    key as PublicKey,
    nanoseconds(each),
  ]);
  const bound = nanoseconds(own);
  if (bound > MAX_OWN_NS) throw new RangeError('a time stamp from after 2200');
  return { own: bound, peers: new Map(entries) };
}

function nanoseconds(value: unknown): bigint {
  if (typeof value !== 'string' || !/^\d{1,20}$/.test(value)) throw new TypeError('not a time stamp');
  return BigInt(value);
}

function unusable(path: string, what: string, cause: unknown): OmniError {
  return new OmniError(`${path} ${what}: recorded handshakes are refused only while this agent runs`, {
    code: 'handshake-state-unusable',
    class: 'retry',
    object: `file/${path}`,
    fix: 'Make the state folder writable; a damaged file is replaced by the next handshake.',
    cause,
  });
}
