import { publicKeyBytes } from '../manifest/keys.ts';
import type { PublicKey } from '../manifest/model.ts';
import type { Endpoint, SessionEvent, SessionId, SessionState } from '../reconcile/dataplane.ts';
import type { PeerIntent, SessionConfig } from '../reconcile/desired.ts';
import { Exchange, type IdSource } from './exchange.ts';
import { authenticateHandshake, openInitiation } from './handshake.ts';
import { MontgomeryCache } from './keys.ts';
import { initialState } from './machine.ts';
import type { MachineSettings } from './model.ts';
import { PeerSessions } from './peer.ts';
import type { ClusterServices } from './services.ts';

/** The peers of one cluster: finds whom a datagram or an event is about. */
export class ClusterSessions {
  readonly #services: ClusterServices;
  readonly #peers = new Map<PublicKey, PeerSessions>();
  /** By X25519 key, which is what an initiation bears. */
  readonly #callers = new Map<string, PeerSessions>();
  readonly #owners = new Map<SessionId, PeerSessions>();
  readonly #staticKeys = new MontgomeryCache();

  constructor(services: ClusterServices) {
    this.#services = services;
  }

  get peers(): Iterable<PeerSessions> {
    return this.#peers.values();
  }

  /**
   * Makes the peers those of `config`. `left`: sessions that an earlier process left, which known peers take over;
   * those of others end. Resolves when removed peers' sessions are gone.
   */
  async configure(config: SessionConfig, left: readonly SessionState[]): Promise<void> {
    const wanted = new Map([...config.peers].filter(([key]) => key !== this.#services.publicKey));
    const removed = [...this.#peers].filter(([key]) => !wanted.has(key));
    const staticKeys = this.#staticKeys.retain(wanted.keys());
    this.#callers.clear();
    for (const [key, peer] of removed) this.#remove(key, peer);
    const adopted = groupByPeer(left);
    for (const [key, intent] of wanted) {
      const staticKey = staticKeys.get(key);
      if (staticKey === undefined) throw new TypeError('every configured key is converted');
      const known = this.#peers.get(key);
      const peer = known ?? this.#add(config, intent, staticKey, adopted.get(key) ?? []);
      this.#callers.set(callerKey(staticKey), peer);
      if (known !== undefined) this.#change(config, intent, known);
    }
    await Promise.all(removed.map(([, peer]) => peer.idle()));
    for (const { peer, localId } of left) if (!wanted.has(peer)) await this.#services.plane.remove(localId);
  }

  /** Ends all sessions. */
  async clear(): Promise<void> {
    const peers = [...this.#peers];
    this.#callers.clear();
    for (const [key, peer] of peers) this.#remove(key, peer);
    await Promise.all(peers.map(([, peer]) => peer.idle()));
  }

  /** A datagram to the port. Nothing that is not a member's proper handshake message draws any reply. */
  receive(datagram: Uint8Array, from: Endpoint): void {
    const { local, refused } = this.#services;
    const message = authenticateHandshake(local, datagram);
    if (message === 'malformed' || message === 'mac1') {
      refused(message);
    } else if (message.type === 'response') {
      const peer = this.#owners.get(message.receiverId);
      if (peer === undefined) refused('unexpected-response');
      else peer.receiveResponse(message, from);
    } else {
      const caller = openInitiation(local, message);
      const peer = caller && this.#callers.get(callerKey(caller.remoteStatic));
      if (caller === undefined) refused('decrypt');
      else if (peer === undefined) refused('unknown-peer');
      else peer.receiveInitiation(message, caller, from);
    }
  }

  onEvent(event: SessionEvent): void {
    if (event.interface !== this.#services.interface) return;
    const peer = this.#peers.get(event.peer);
    if (event.type !== 'frame-without-session') {
      peer?.dispatch({ type: event.type, localId: event.localId });
    } else if (peer === undefined) {
      this.#services.frameDropped();
    } else {
      this.#services.queues.push(peer, event.frame);
      peer.dispatch({ type: 'frame' });
    }
  }

  #add(
    config: SessionConfig,
    intent: PeerIntent,
    staticKey: Uint8Array,
    adopted: readonly SessionState[],
  ): PeerSessions {
    const services = this.#services;
    const publicKey = publicKeyBytes(intent.publicKey);
    const ids: IdSource = {
      allocate: () => {
        const id = services.ids.next((taken) => this.#owners.has(taken));
        this.#owners.set(id, peer);
        return id;
      },
      release: (id) => this.#owners.delete(id),
    };
    const exchange = new Exchange(services.local, { publicKey, staticKey }, ids, services.generateKeyPair);
    const state = initialState(settingsOf(config, intent, services.publicKey), {
      nowMs: services.plane.now(),
      greatestTimestampNs: services.greatestTimestampNs(intent.publicKey),
      adopted,
    });
    const peer = new PeerSessions(services, intent, exchange, state);
    for (const { localId } of adopted) this.#owners.set(localId, peer);
    this.#peers.set(intent.publicKey, peer);
    return peer;
  }

  #change(config: SessionConfig, intent: PeerIntent, peer: PeerSessions): void {
    peer.intent = intent;
    const settings = settingsOf(config, intent, this.#services.publicKey);
    if (!sameSettings(settings, peer.state.settings)) peer.dispatch({ type: 'settings', settings });
  }

  #remove(key: PublicKey, peer: PeerSessions): void {
    this.#peers.delete(key);
    peer.dispatch({ type: 'removed' });
  }
}

function settingsOf(config: SessionConfig, intent: PeerIntent, own: PublicKey): MachineSettings {
  const { rekeyAfterMs, lifetimeMs, handshakeTimeoutMs } = config;
  const preferred = Buffer.compare(publicKeyBytes(own), publicKeyBytes(intent.publicKey)) < 0;
  return { rekeyAfterMs, lifetimeMs, handshakeTimeoutMs, keepaliveMs: intent.keepaliveMs, preferred };
}

function sameSettings(a: MachineSettings, b: MachineSettings): boolean {
  return (
    a.rekeyAfterMs === b.rekeyAfterMs &&
    a.lifetimeMs === b.lifetimeMs &&
    a.handshakeTimeoutMs === b.handshakeTimeoutMs &&
    a.keepaliveMs === b.keepaliveMs
  );
}

function callerKey(staticKey: Uint8Array): string {
  return Buffer.from(staticKey).toString('base64');
}

function groupByPeer(sessions: readonly SessionState[]): ReadonlyMap<PublicKey, readonly SessionState[]> {
  const groups = new Map<PublicKey, SessionState[]>();
  for (const session of sessions) {
    const group = groups.get(session.peer) ?? [];
    group.push(session);
    groups.set(session.peer, group);
  }
  return groups;
}
