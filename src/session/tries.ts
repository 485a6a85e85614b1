import type { PostQuantum } from '../manifest/model.ts';
import { Version } from './codec.ts';

/** How long it is believed that a peer answers the version that it answered last. */
const REMEMBER_MS = 600_000;

/** How an initiation is made: of which version, and to which of the peer's keys. */
export interface Try {
  readonly version: Version;
  readonly key: 'current' | 'next';
}

/** Which ways of calling a peer there are, the most promising one first. Pure. */
export function waysToCall(
  mode: PostQuantum,
  hasNextKey: boolean,
  answered: Version | undefined,
): readonly [Try, ...Try[]] {
  const [first, ...others] = versionsOf(mode, answered);
  const keys: readonly Try['key'][] = hasNextKey ? ['current', 'next'] : ['current'];
  const rest = keys.slice(1).map((key) => ({ version: first, key }));
  return [
    { version: first, key: 'current' },
    ...rest,
    ...others.flatMap((version) => keys.map((key) => ({ version, key }))),
  ];
}

/**
 * The way of try number `tries`, from 0, of an attempt. All have their turn, again and again; only that another version
 * has to wait until the first one was tried twice: an answer that takes long, or one lost datagram, is no sign of an
 * older peer. Pure.
 */
export function wayOf(ways: readonly [Try, ...Try[]], tries: number): Try {
  const [first, second] = ways;
  const turn = first.version === second?.version ? tries : Math.max(0, tries - 1);
  return ways[turn % ways.length] ?? first;
}

/** What of a peer decides how it may be called. */
export interface Callable {
  readonly mode: PostQuantum;
  readonly hasNextKey: boolean;
}

/** Chooses the ways in which one peer is called, and remembers what it answered. */
export class Tries {
  #answered: { readonly version: Version; readonly atMs: number } | undefined;
  #calls = 0;

  /** Of try number `tries`, from 0, of an attempt. */
  attempt(peer: Callable, tries: number, nowMs: number): Try {
    return wayOf(this.#ways(peer, nowMs), tries);
  }

  /** Of an initiation that stands alone: each is made another way than the one before. */
  call(peer: Callable, nowMs: number): Try {
    const ways = this.#ways(peer, nowMs);
    return ways[this.#calls++ % ways.length] ?? ways[0];
  }

  /** The peer speaks that version. That it speaks an older one is forgotten after a while, however often it shows. */
  answered(version: Version, nowMs: number): void {
    if (this.#remembered(nowMs) !== version) this.#answered = { version, atMs: nowMs };
    this.#calls = 0;
  }

  #ways({ mode, hasNextKey }: Callable, nowMs: number): readonly [Try, ...Try[]] {
    return waysToCall(mode, hasNextKey, this.#remembered(nowMs));
  }

  #remembered(nowMs: number): Version | undefined {
    const { version, atMs } = this.#answered ?? {};
    return atMs !== undefined && nowMs - atMs < REMEMBER_MS ? version : undefined;
  }
}

function versionsOf(mode: PostQuantum, answered: Version | undefined): readonly [Version, ...Version[]] {
  if (mode === 'off') return [Version.classic];
  if (mode === 'required') return [Version.hybrid];
  return answered === Version.classic ? [Version.classic, Version.hybrid] : [Version.hybrid, Version.classic];
}
