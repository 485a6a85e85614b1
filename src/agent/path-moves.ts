import { isIPv6 } from 'node:net';
import type { PublicKey } from '../manifest/model.ts';
import type { Endpoint } from '../reconcile/dataplane.ts';
import type { ManagerEvent } from '../session/manager.ts';
import type { EventLog } from './events.ts';
import type { Log } from './log.ts';

type PathMoved = Extract<ManagerEvent, { type: 'path-moved' }>;

/** Of one peer: so many moves are told at once, and then one in so long. What was left out is counted in the next. */
const BURST = 3;
const INTERVAL_MS = 60_000;

const REASONS: Readonly<Record<PathMoved['move']['why'], string>> = {
  'peer-moved': 'the peer sends from there',
  silent: 'nothing came back on the old path',
  faster: 'it answers faster',
  'too-small': 'the old path carries no full frames',
  handshake: 'a handshake came through there',
};

interface Told {
  /** Moves that may still be told. */
  allowance: number;
  atMs: number;
  leftOut: number;
}

/** Tells of data that goes elsewhere, no more often than anybody can read. */
export class PathMoves {
  readonly #events: EventLog;
  readonly #log: Log;
  /** Milliseconds since 1970. */
  readonly #now: () => number;
  readonly #told = new Map<PublicKey, Told>();

  constructor(events: EventLog, log: Log, now: () => number) {
    this.#events = events;
    this.#log = log;
    this.#now = now;
  }

  moved({ peer, name, move }: PathMoved): void {
    const object = `peer/${name}`;
    const message = messageOf(move);
    this.#log('info', message, { object });
    const nowMs = this.#now();
    const before = this.#told.get(peer) ?? { allowance: BURST, atMs: nowMs, leftOut: 0 };
    const allowance = Math.min(BURST, before.allowance + Math.max(0, nowMs - before.atMs) / INTERVAL_MS);
    const tell = allowance >= 1;
    this.#told.set(peer, {
      allowance: tell ? allowance - 1 : allowance,
      atMs: nowMs,
      leftOut: tell ? 0 : before.leftOut + 1,
    });
    if (!tell) return;
    const others = before.leftOut === 0 ? '' : `; ${before.leftOut} more since the last word of it`;
    this.#events.record({ type: 'Normal', reason: 'PathMoved', object, message: message + others });
  }

  /** Peers that are none any more. */
  keep(peers: ReadonlyMap<PublicKey, unknown> | undefined): void {
    for (const peer of this.#told.keys()) if (peers?.has(peer) !== true) this.#told.delete(peer);
  }
}

function messageOf({ from, to, why, tookMs }: PathMoved['move']): string {
  const old = from === undefined ? '' : ` instead of ${endpointText(from)}`;
  const took = tookMs === undefined ? '' : `, ${Math.round(tookMs)} ms after the first sign`;
  return `data goes to ${endpointText(to)}${old}: ${REASONS[why]}${took}`;
}

export function endpointText({ address, port }: Endpoint): string {
  return isIPv6(address) ? `[${address}]:${port}` : `${address}:${port}`;
}
