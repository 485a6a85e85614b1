import { OmniError } from '../errors.ts';
import type { PublicKey } from '../manifest/model.ts';
import type { SessionConfig } from '../reconcile/desired.ts';
import type { ManagerEvent } from '../session/manager.ts';
import type { EventLog } from './events.ts';
import { messageOf } from './lock.ts';
import type { Log } from './log.ts';
import { endpointText, PathMoves } from './path-moves.ts';

export interface SessionShellOptions {
  /** Resolves with what is not as the revision says although its sessions are: a key that this node cannot read. */
  readonly configure: (config: SessionConfig | undefined) => Promise<OmniError | undefined>;
  readonly events: EventLog;
  readonly log: Log;
  readonly after: (delayMs: number, run: () => void) => () => void;
  /** Milliseconds since 1970. */
  readonly now: () => number;
}

export interface SessionProblem {
  readonly error: OmniError;
  readonly sinceMs: number;
  /** PascalCase, of the event and the conditions; absent: they are named after the error. */
  readonly reason?: 'SecretUnreadable';
}

const RETRY_MS = 1_000;

/** Hands applied revisions to the session manager, again while it cannot take them, and tells of peers that come and go. */
export class SessionShell {
  readonly #options: SessionShellOptions;
  /** Peers by what was last said of them: a rekey every two minutes is no news. */
  readonly #reachable = new Map<PublicKey, boolean>();
  readonly #moves: PathMoves;
  #problem: SessionProblem | undefined;
  #lastError = '';
  #cancelRetry: (() => void) | undefined;
  /** One revision at a time, in order; the last one is retried. */
  #applying: Promise<void> = Promise.resolve();
  #turn = 0;

  constructor(options: SessionShellOptions) {
    this.#options = options;
    this.#moves = new PathMoves(options.events, options.log, options.now);
  }

  /** Why sessions are not as the revision says; undefined: they are. */
  get problem(): SessionProblem | undefined {
    return this.#problem;
  }

  apply(config: SessionConfig | undefined): void {
    this.#cancelRetry?.();
    for (const peer of this.#reachable.keys()) if (config?.peers.has(peer) !== true) this.#reachable.delete(peer);
    this.#moves.keep(config?.peers);
    const turn = ++this.#turn;
    this.#applying = this.#applying.then(() => this.#configure(config, turn));
  }

  async #configure(config: SessionConfig | undefined, turn: number): Promise<void> {
    try {
      const unreadable = await this.#options.configure(config);
      if (unreadable === undefined) this.#problem = undefined;
      else this.#failed(unreadable, 'SecretUnreadable');
    } catch (cause) {
      this.#failed(cause);
      if (turn === this.#turn) this.#cancelRetry = this.#options.after(RETRY_MS, () => this.apply(config));
    }
  }

  stop(): void {
    this.#turn++;
    this.#cancelRetry?.();
  }

  onEvent(event: ManagerEvent): void {
    const { events, log } = this.#options;
    if (event.type === 'error') {
      if (event.error.message === this.#lastError) return;
      this.#lastError = event.error.message;
      log('warn', event.error.message, { code: event.error.code });
      events.record({ type: 'Warning', reason: 'SessionError', object: 'node', message: event.error.message });
      return;
    }
    if (event.type === 'new-generation') {
      this.#renewed(event.ended);
      return;
    }
    if (event.type === 'key-in-use-twice') {
      this.#usedTwice(event);
      return;
    }
    if (event.type === 'path-moved') {
      this.#moves.moved(event);
      return;
    }
    if (event.type === 'disturbed') {
      const gone = event.lost === 1 ? 'one session' : `${event.lost} sessions`;
      const message =
        event.lost === 0
          ? 'somebody deleted the row of send_map; it was restored'
          : `somebody removed ${gone} from the data plane; a new one is being made`;
      const object = `peer/${event.name}`;
      log('warn', message, { object });
      events.record({ type: 'Warning', reason: 'SessionDisturbed', object, message });
      return;
    }
    const reachable = event.type === 'established';
    const before = this.#reachable.get(event.peer);
    this.#reachable.set(event.peer, reachable);
    if (before === reachable) return;
    const object = `peer/${event.name}`;
    const message = reachable
      ? `session established, ${event.initiator ? 'we' : 'they'} called`
      : 'no answer to handshakes; trying again when there is traffic';
    log(reachable ? 'info' : 'warn', message, { object });
    events.record({
      type: reachable ? 'Normal' : 'Warning',
      reason: reachable ? 'SessionEstablished' : 'PeerUnreachable',
      object,
      message,
    });
  }

  #usedTwice({ name, places }: Extract<ManagerEvent, { type: 'key-in-use-twice' }>): void {
    const { events, log } = this.#options;
    const object = `peer/${name}`;
    const [one, other] = places.map(endpointText);
    const message =
      `two machines use the key of ${object} in turns, at ${one} and at ${other}, and lose each other's packets; ` +
      'make a new key on one of them: `omni init`, and a Peer of its own (operations.md, "Two machines with one key")';
    log('warn', message, { object, reason: 'KeyInUseTwice' });
    events.record({ type: 'Warning', reason: 'KeyInUseTwice', object, message });
  }

  #renewed(ended: number): void {
    const { events, log } = this.#options;
    const message =
      `this machine goes on from a snapshot: ${ended} sessions ended, and new ones are made; ` +
      'where several machines do, give each but one a key of its own (operations.md, "Snapshots of virtual machines")';
    log('warn', message, { reason: 'SnapshotRestored' });
    events.record({ type: 'Warning', reason: 'SnapshotRestored', object: 'node', message });
  }

  #failed(cause: unknown, reason?: SessionProblem['reason']): void {
    const { events, log, now } = this.#options;
    const error =
      cause instanceof OmniError
        ? cause
        : new OmniError(`sessions cannot be configured: ${messageOf(cause)}`, {
            code: 'internal',
            class: 'bug',
            cause,
          });
    const same = this.#problem?.error.message === error.message;
    const sinceMs = same ? (this.#problem?.sinceMs ?? now()) : now();
    this.#problem = { error, sinceMs, ...(reason === undefined ? {} : { reason }) };
    if (same) return;
    log('error', error.message, error.fix === undefined ? {} : { fix: error.fix });
    events.record({
      type: 'Warning',
      reason: reason ?? 'SessionsNotConfigured',
      object: 'node',
      message: error.message,
    });
  }
}
