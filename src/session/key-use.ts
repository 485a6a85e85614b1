import type { Endpoint, SessionId } from '../reconcile/dataplane.ts';
import { sameEndpoint } from './paths/ways.ts';

/*
 * Two machines with one key take the sessions of a peer from each other:
 *
 *     handshake from A ── data on A's session ── handshake from B ── data on A's session, still ── handshake from A ── ...
 *
 * A robot that roams sends on its newest session alone: once that is proven, nothing new comes on the ones before it. What was
 * under way then arrives within seconds, whichever path it took.
 */

/** What comes on an older session so long after its successor was used is no straggler. */
const SETTLED_MS = 8_000;
/** The newer session is in use too. The keepalives of a peer that only receives are 10 s apart. */
const ALIVE_MS = 25_000;
/** Signs older than this count no more. */
const WINDOW_MS = 600_000;
/** Sessions that took over and left an older one speaking: one may be a packet path gone mad, three in turn are two machines. */
const SIGNS = 3;
/** How often it is told, and how long it is said of the peer afterwards. */
const TELL_MS = 3_600_000;

/** A session, and where its handshake came from. */
export interface Heard {
  readonly localId: SessionId;
  readonly from: Endpoint;
  /** When something authentic came in on it last. */
  readonly rxMs: number;
}

export interface Observation {
  readonly nowMs: number;
  /** The newest one that the peer has used, and when it took over. */
  readonly current: Heard & { readonly sinceMs: number };
  readonly previous: readonly Heard[];
}

/** On a session from `older` something came in although one from `newer` had been in use. */
interface Sign {
  readonly newerId: SessionId;
  readonly older: Endpoint;
  readonly newer: Endpoint;
  readonly atMs: number;
}

/** One peer's key is in use at two places. */
export interface Twice {
  readonly places: readonly [Endpoint, Endpoint];
  readonly lastMs: number;
  /** When it was told last. */
  readonly toldMs: number;
}

export interface KeyUse {
  readonly signs: readonly Sign[];
  readonly twice: Twice | undefined;
}

export const usedOnce: KeyUse = { signs: [], twice: undefined };

/** What an observation adds. `tell`: somebody should hear of it now. Pure. */
export function observeKeyUse(before: KeyUse, seen: Observation): { readonly state: KeyUse; readonly tell: boolean } {
  const sign = signOf(seen);
  if (sign === undefined || before.signs.some(({ newerId }) => newerId === sign.newerId)) {
    return { state: before, tell: false };
  }
  const signs = [...before.signs.filter(({ atMs }) => sign.atMs - atMs < WINDOW_MS), sign].slice(-SIGNS);
  const inTurn = signs.some(({ newer }) => newer.address === sign.older.address);
  if (signs.length < SIGNS || !inTurn) return { state: { signs, twice: before.twice }, tell: false };
  const tell = before.twice === undefined || sign.atMs - before.twice.toldMs >= TELL_MS;
  const toldMs = tell ? sign.atMs : (before.twice?.toldMs ?? sign.atMs);
  return { state: { signs, twice: { places: [sign.older, sign.newer], lastMs: sign.atMs, toldMs } }, tell };
}

/** Whether it is still to be said of the peer. */
export function isUsedTwice({ twice }: KeyUse, nowMs: number): boolean {
  return twice !== undefined && nowMs - twice.lastMs < TELL_MS;
}

function signOf({ nowMs, current, previous }: Observation): Sign | undefined {
  const alive = current.rxMs > current.sinceMs && nowMs - current.rxMs < ALIVE_MS;
  const speaking = previous.find(
    ({ from, rxMs }) => rxMs >= current.sinceMs + SETTLED_MS && !sameEndpoint(from, current.from),
  );
  if (!alive || speaking === undefined) return undefined;
  return { newerId: current.localId, older: speaking.from, newer: current.from, atMs: nowMs };
}
