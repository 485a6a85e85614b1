import { OmniError } from '../../errors.ts';
import type { PublicKey } from '../../manifest/model.ts';
import type {
  Endpoint,
  NewSession,
  Path,
  PathMessage,
  SessionEvent,
  SessionId,
  SessionPlane,
  SessionState,
  Stop,
} from '../../reconcile/dataplane.ts';
import { rowKey } from '../../reconcile/rows.ts';
import { endpointText, parseEndpoint } from '../kernel/addresses.ts';
import type { MemoryHost, Session } from './host.ts';
import { type MemoryPath, subscribe } from './path.ts';

/** The session manager's half, over a memory host. */
export class MemorySessions implements SessionPlane {
  readonly #host: MemoryHost;
  readonly #path: MemoryPath;

  constructor(host: MemoryHost, path: MemoryPath) {
    this.#host = host;
    this.#path = path;
  }

  now(): number {
    return this.#host.now();
  }

  async install(asked: NewSession): Promise<void> {
    const session = { ...asked, peer: this.#host.currentKey(asked.peer) };
    const object = `session/${session.interface}`;
    if (this.#host.peerRow(session.interface, session.peer) === undefined) {
      throw new OmniError(`a session needs its peer's row, and ${session.interface} has none for it`, {
        code: this.#host.links.has(session.interface) ? 'peer-missing' : 'link-absent',
        class: 'wait',
        object,
      });
    }
    const existing = this.#host.sessions.get(session.localId);
    if (existing === undefined) return this.#host.addSession(session);
    if (sameKeys(existing, session)) return;
    // Keys with a counter that starts again would reuse nonces, so nothing is ever replaced.
    throw new OmniError('the session id is taken', { code: 'session-id-taken', class: 'retry', object });
  }

  async remove(localId: SessionId): Promise<SessionState | undefined> {
    const session = this.#host.sessions.get(localId);
    if (session === undefined) return undefined;
    const state = this.#stateOf(session);
    this.#host.sessions.delete(localId);
    session.receiveKey.fill(0);
    session.sendKey.fill(0);
    if (state.current) this.#host.sendOn.delete(session.peer);
    return state;
  }

  async list(ids?: readonly SessionId[]): Promise<readonly SessionState[]> {
    const found = ids ? ids.flatMap((id) => this.#host.sessions.get(id) ?? []) : [...this.#host.sessions.values()];
    return found.map((session) => this.#stateOf(session));
  }

  #stateOf(session: Session): SessionState {
    const { receiveKey, sendKey, window, rekeySent, rekeyAtMs, lifetimeMs, ...state } = session;
    const current = this.#host.sendOn.get(session.peer) === session.localId;
    return { ...state, rekeyAfterMs: rekeyAtMs, current };
  }

  async setEndpoint(peer: PublicKey, endpoint: Endpoint): Promise<void> {
    for (const row of this.#host.peerRows(this.#host.currentKey(peer))) {
      const proved = { ...row, endpoint: endpointText(endpoint) };
      this.#host.rows.set(rowKey(row), { row: proved, endpointObserved: true });
    }
  }

  async endpoint(peer: PublicKey): Promise<{ readonly endpoint: Endpoint; readonly observed: boolean } | undefined> {
    const [row] = this.#host.peerRows(this.#host.currentKey(peer));
    if (row?.endpoint === undefined) return undefined;
    const observed = this.#host.rows.get(rowKey(row))?.endpointObserved === true;
    return { endpoint: parseEndpoint(row.endpoint), observed };
  }

  async keepalive(peer: PublicKey): Promise<void> {
    const session = this.#sendingTo(peer);
    if (session !== undefined) this.#path.send(session, new Uint8Array());
  }

  #sendingTo(peer: PublicKey): Session | undefined {
    const session = this.#host.sessions.get(this.#host.sendOn.get(this.#host.currentKey(peer)) ?? 0n);
    return session !== undefined && session.expiresMs > this.now() ? session : undefined;
  }

  async resend(interfaceName: string, frame: Uint8Array): Promise<void> {
    if (!this.#host.links.has(interfaceName)) {
      throw new OmniError(`interface ${interfaceName} is not there`, {
        code: 'link-missing',
        class: 'wait',
        object: `link/${interfaceName}`,
      });
    }
    this.#path.transmit(interfaceName, frame);
  }

  /** Kept, and not used: handshakes do not pass through this engine. */
  async setMac1Keys(keys: readonly Uint8Array[]): Promise<void> {
    if (keys.length === 0 || keys.length > 4 || keys.some(({ byteLength }) => byteLength !== 32)) {
      throw new RangeError('mac1 keys are one to four of 32 bytes');
    }
    this.#host.mac1Keys = keys.map((key) => Uint8Array.from(key));
  }

  /** Kept, and not used, as above. */
  async setCookieSecrets(secrets: readonly Uint8Array[]): Promise<void> {
    if (secrets.length > 2 || secrets.some(({ byteLength }) => byteLength !== 32)) {
      throw new RangeError('cookie secrets are at most two of 32 bytes');
    }
    this.#host.cookieSecrets = secrets.map((secret) => Uint8Array.from(secret));
  }

  async expectAnswer(localId: SessionId, forMs: number): Promise<void> {
    this.#host.pending.set(localId, this.now() + forMs);
  }

  /** There is one way, and it is open. */
  async openWay(): Promise<void> {}

  async forgetAnswer(localId: SessionId): Promise<void> {
    this.#host.pending.delete(localId);
  }

  async sendOnPath(peer: PublicKey, path: Path, message: PathMessage): Promise<void> {
    const session = this.#sendingTo(peer);
    if (session !== undefined) this.#path.sendOnPath(session, path, message);
  }

  onEvent(listener: (event: SessionEvent) => void): Stop {
    return subscribe(this.#host.sessionListeners, listener);
  }
}

function sameKeys(a: Session, b: NewSession): boolean {
  const equal = (x: Uint8Array, y: Uint8Array) => x.length === y.length && x.every((byte, i) => byte === y[i]);
  return a.peer === b.peer && equal(a.sendKey, b.sendKey) && equal(a.receiveKey, b.receiveKey);
}
