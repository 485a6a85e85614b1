import { OmniError } from '../errors.ts';
import type { PublicKey } from '../manifest/model.ts';
import type { KeptText } from './kept.ts';

/** With a clock that runs: how far ahead one write covers what initiations may bear. Nanoseconds. */
const CLOCK_RESERVE_NS = 60_000_000_000n;
/** With a clock that stands in the past, where time stamps count up by one. */
const COUNT_RESERVE_NS = 1_000_000n;
/** The year 2200. A clock that says so or more is not believed: whoever sent such a time stamp could never go back. */
const FAR_NS = 7_258_118_400_000_000_000n;
/** The greatest time stamp that anybody may bear: a year beyond, to count up in. */
export const MAX_TIMESTAMP_NS = FAR_NS + 31_536_000_000_000_000n;
/** Of one identity: more peers than any fleet has. Those whose last handshake is longest ago go first. */
const MAX_CALLERS = 65_536;
/** Identities whose rows are kept: the two that a node may have, and those that it had before. */
const MAX_IDENTITIES = 4;

/** Greatest confirmed time stamps by caller. In the order in which they were written. */
type Callers = Map<PublicKey, bigint>;

/**
 * The handshake clock: what this node's initiations bear, max(clock, last + 1), and what those of callers bore that were
 * confirmed, by the identity of this node that was called. A robot that boots without a clock can still call, and a recorded
 * initiation is refused, also across restarts. Kept as
 *
 *     {"version":1,"own":"<ns>","peers":{"<caller>":"<ns>",...},"self":"<identity>","others":{"<identity>":{"<caller>":"<ns>",...}}}
 *
 * `own` is an upper bound of what was ever sent; it is on disk before anything above it is sent. `peers` are the callers of
 * the identity `self`, and `others` those of further ones. A build that knows neither `self` nor `others` reads the same
 * file, and writes one without them: its rows then count for every identity. Callers' values are written behind (`save`).
 */
export class Timestamps {
  readonly #kept: KeptText;
  readonly #callers: Map<PublicKey, Callers>;
  #self: PublicKey;
  #last: bigint;
  #bound: bigint;
  #dirty = false;
  #writing: Promise<void> = Promise.resolve();
  #reserving: Promise<OmniError | undefined> = Promise.resolve(undefined);

  private constructor(kept: KeptText, self: PublicKey, { own, callers }: Pick<Parsed, 'own' | 'callers'>) {
    this.#kept = kept;
    this.#self = self;
    this.#last = own;
    this.#bound = own;
    this.#callers = callers;
  }

  /**
   * Reads what is there. `identities`: of this node, the one that it calls as first. What is damaged is reported by `problem`
   * and left out: a node must not stay away for it.
   */
  static async open(
    kept: KeptText,
    identities: readonly [PublicKey, ...PublicKey[]],
  ): Promise<{ readonly timestamps: Timestamps; readonly problem?: OmniError }> {
    const [self] = identities;
    const empty = new Timestamps(kept, self, { own: 0n, callers: new Map() });
    let text: string | undefined;
    try {
      text = await kept.read();
    } catch (error) {
      return { timestamps: empty, problem: unusable(kept.path, 'cannot be read', error) };
    }
    if (text === undefined) return { timestamps: empty };
    try {
      const parsed = parse(text, identities);
      const timestamps = new Timestamps(kept, self, parsed);
      if (parsed.damaged.length === 0) return { timestamps };
      return { timestamps, problem: unusable(kept.path, `has damaged entries (${some(parsed.damaged)})`) };
    } catch (error) {
      return { timestamps: empty, problem: unusable(kept.path, 'is damaged', error) };
    }
  }

  /**
   * The time stamp of the next initiation. Resolves when a restart can no longer send it again. Where the disk refuses,
   * `problem` says so and the value is good all the same, until a restart with a wrong clock.
   */
  async next(wallNs: bigint): Promise<{ readonly timestampNs: bigint; readonly problem?: OmniError }> {
    const counts = wallNs <= this.#last || wallNs > FAR_NS;
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

  /** Whose rows a build that knows one identity finds, and which identities' rows may go. */
  setIdentities(identities: readonly [PublicKey, ...PublicKey[]]): void {
    [this.#self] = identities;
    const gone = [...this.#callers.keys()].filter((key) => !identities.includes(key));
    const excess = Math.max(0, this.#callers.size - MAX_IDENTITIES);
    for (const key of gone.slice(0, excess)) this.#callers.delete(key);
  }

  /** Greatest one of a confirmed handshake with the identity `own`; 0 = none. */
  greatest(own: PublicKey, caller: PublicKey): bigint {
    return this.#callers.get(own)?.get(caller) ?? 0n;
  }

  /** A handshake with the identity `own` was confirmed. */
  confirmed(own: PublicKey, caller: PublicKey, timestampNs: bigint): void {
    if (timestampNs <= this.greatest(own, caller)) return;
    const callers: Callers = this.#callers.get(own) ?? new Map();
    this.#callers.set(own, callers);
    callers.delete(caller); // it goes to the end
    callers.set(caller, timestampNs);
    for (const [oldest] of callers) {
      if (callers.size <= MAX_CALLERS) break;
      callers.delete(oldest);
    }
    this.#dirty = true;
  }

  /** Something was confirmed that is not on disk yet. */
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
    const rows = (callers: Callers | undefined) =>
      Object.fromEntries([...(callers ?? [])].map(([key, value]) => [key, String(value)]));
    const others = [...this.#callers].filter(([key]) => key !== this.#self);
    return `${JSON.stringify({
      version: 1,
      own: String(this.#bound),
      peers: rows(this.#callers.get(this.#self)),
      self: this.#self,
      ...(others.length === 0 ? {} : { others: Object.fromEntries(others.map(([key, each]) => [key, rows(each)])) }),
    })}\n`;
  }
}

interface Parsed {
  readonly own: bigint;
  readonly callers: Map<PublicKey, Callers>;
  /** What was left out. */
  readonly damaged: readonly string[];
}

function parse(text: string, identities: readonly PublicKey[]): Parsed {
  const value: unknown = JSON.parse(text);
  if (!isObject(value) || value.version !== 1) throw new TypeError('not version 1');
  const { own, peers, self, others } = value;
  const damaged: string[] = [];
  const read = (name: string, each: unknown): bigint | undefined => {
    const timestampNs = typeof each === 'string' && /^\d{1,20}$/.test(each) ? BigInt(each) : undefined;
    if (timestampNs !== undefined && timestampNs <= MAX_TIMESTAMP_NS) return timestampNs;
    damaged.push(name);
    return undefined;
  };
  const rows = (name: string, each: unknown): Callers => {
    if (!isObject(each)) damaged.push(name);
    const entries = isObject(each) ? Object.entries(each).slice(-MAX_CALLERS) : [];
    return new Map(entries.flatMap(([key, row]) => pair(key as PublicKey, read(key, row))));
  };
  const bound = read('own', own) ?? 0n;
  const callers = new Map<PublicKey, Callers>();
  for (const [key, each] of isObject(others) ? Object.entries(others).slice(0, MAX_IDENTITIES) : []) {
    callers.set(key as PublicKey, rows(key, each));
  }
  const known = rows('peers', peers);
  const theirs = typeof self === 'string' ? [self as PublicKey] : identities;
  for (const key of theirs) callers.set(key, new Map(known));
  return { own: bound, callers, damaged };
}

function pair(key: PublicKey, value: bigint | undefined): [PublicKey, bigint][] {
  return value === undefined ? [] : [[key, value]];
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function some(names: readonly string[]): string {
  const [first = '', ...others] = names;
  return others.length === 0 ? first : `${first} and ${others.length} more`;
}

function unusable(path: string, what: string, cause?: unknown): OmniError {
  return new OmniError(`${path} ${what}: recorded handshakes are refused only while this agent runs`, {
    code: 'handshake-state-unusable',
    class: 'retry',
    object: `file/${path}`,
    fix: 'Make the state folder writable; a damaged file is replaced by the next handshake.',
    ...(cause === undefined ? {} : { cause }),
  });
}
