import type { SessionId, SessionPlane, SessionState } from '../reconcile/dataplane.ts';
import type { PeerSessions } from './peer.ts';

/** Sessions read in one go; between two goes the event loop has its turn. */
const BATCH = 256;

interface Asked {
  readonly peer: PeerSessions;
  readonly generation: number;
  readonly ids: readonly SessionId[];
}

/** Gathers what the peers ask about their sessions, reads it in batches, and hands each its own. */
export class Polls {
  readonly #plane: SessionPlane;
  readonly #setTimer: (delayMs: number, run: () => void) => () => void;
  readonly #report: (error: unknown) => void;
  #asked: Asked[] = [];
  #reading = false;
  #stopped = false;
  #cancel: (() => void) | undefined;

  constructor(options: {
    readonly plane: SessionPlane;
    readonly setTimer: (delayMs: number, run: () => void) => () => void;
    readonly report: (error: unknown) => void;
  }) {
    this.#plane = options.plane;
    this.#setTimer = options.setTimer;
    this.#report = options.report;
  }

  ask(peer: PeerSessions, generation: number, ids: readonly SessionId[]): void {
    this.#asked.push({ peer, generation, ids });
  }

  /** Begins to read what was asked for, unless that is under way. */
  flush(): void {
    if (this.#stopped || this.#reading || this.#asked.length === 0) return;
    this.#reading = true;
    void this.#readBatch().finally(() => {
      this.#reading = false;
      if (!this.#stopped && this.#asked.length > 0) this.#cancel = this.#setTimer(0, () => this.flush());
    });
  }

  stop(): void {
    this.#stopped = true;
    this.#cancel?.();
    this.#asked = [];
  }

  async #readBatch(): Promise<void> {
    const batch: Asked[] = [];
    for (let ids = 0; ids < BATCH; ) {
      const next = this.#asked.shift();
      if (next === undefined) break;
      batch.push(next);
      ids += next.ids.length;
    }
    let sessions: readonly SessionState[];
    try {
      sessions = await this.#plane.list(batch.flatMap(({ ids }) => ids));
    } catch (error) {
      this.#report(error);
      for (const { peer, generation } of batch)
        peer.dispatch({ type: 'snapshot', generation, asked: [], sessions: [] });
      return;
    }
    const byId = new Map(sessions.map((session) => [session.localId, session]));
    for (const { peer, generation, ids } of batch) {
      const found = ids.map((id) => byId.get(id)).filter((session) => session !== undefined);
      peer.dispatch({ type: 'snapshot', generation, asked: ids, sessions: found });
    }
  }
}
