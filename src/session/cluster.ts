import { publicKeyBytes } from '../manifest/keys.ts';
import type { PublicKey } from '../manifest/model.ts';
import type { Endpoint, SessionEvent, SessionId, SessionState } from '../reconcile/dataplane.ts';
import type { PeerIntent, SessionConfig } from '../reconcile/desired.ts';
import { Exchange, type IdSource } from './exchange.ts';
import { authenticateHandshake, openInitiation, type RemoteParty } from './handshake.ts';
import { montgomeryKeys } from './keys.ts';
import { initialState } from './machine.ts';
import type { MachineSettings } from './model.ts';
import { PeerSessions } from './peer.ts';
import type { ClusterServices } from './services.ts';

interface Member {
  readonly peer: PeerSessions;
  readonly callerKey: string;
}

/** The peers of one cluster: finds whom a datagram or an event is about. */
export class ClusterSessions {
  readonly #services: ClusterServices;
  readonly #members = new Map<PublicKey, Member>();
  /** By X25519 key, which is what an initiation bears. */
  readonly #callers = new Map<string, PeerSessions>();
  readonly #owners = new Map<SessionId, PeerSessions>();
  #config: SessionConfig | undefined;

  constructor(services: ClusterServices) {
    this.#services = services;
  }

  get peers(): readonly PeerSessions[] {
    return [...this.#members.values()].map(({ peer }) => peer);
  }

  find(key: PublicKey): PeerSessions | undefined {
    return this.#members.get(key)?.peer;
  }

  /**
   * Makes the peers those of `config`; unchanged ones (the same value as before) cost next to nothing. `left`: sessions
   * that an earlier process left, which known peers take over; those of others end. Resolves when removed peers'
   * sessions are gone.
   */
  async configure(config: SessionConfig, left: readonly SessionState[]): Promise<void> {
    const removed = [...this.#members.keys()].filter((key) => !config.peers.has(key));
    const ended = removed.map((key) => this.#remove(key));
    const timersChanged = !sameTimers(this.#config, config);
    this.#config = config;
    const added: PeerIntent[] = [];
    for (const [key, intent] of config.peers) {
      const peer = this.#members.get(key)?.peer;
      if (peer !== undefined && (timersChanged || peer.intent !== intent)) this.#change(config, intent, peer);
      else if (peer === undefined && key !== this.#services.publicKey) added.push(intent);
    }
    this.#addAll(config, added, groupByPeer(left));
    await Promise.all(ended);
    for (const { peer, localId } of left) {
      if (!this.#members.has(peer)) await this.#services.plane.remove(localId);
    }
  }

  /** Ends all sessions. */
  async clear(): Promise<void> {
    await Promise.all([...this.#members.keys()].map((key) => this.#remove(key)));
  }

  /** A datagram to the port. Nothing that is not a member's proper handshake message draws any reply. */
  receive(datagram: Uint8Array, from: Endpoint): void {
    const { local, refused } = this.#services;
    const authentic = authenticateHandshake(local, datagram);
    if (typeof authentic === 'string') {
      refused(authentic);
      return;
    }
    const { message, psk } = authentic;
    if (message.type === 'response') {
      const peer = this.#owners.get(message.receiverId);
      if (peer === undefined) refused('unexpected-response');
      else peer.receiveResponse({ message, psk }, from);
    } else {
      const caller = openInitiation(local, message);
      const peer = caller && this.#callers.get(callerKeyOf(caller.remoteStatic));
      if (caller === undefined) refused('decrypt');
      else if (peer === undefined) refused('unknown-peer');
      else peer.receiveInitiation({ message, psk }, caller, from);
    }
  }

  onEvent(event: SessionEvent): void {
    if (event.interface !== this.#services.interface) return;
    const peer = this.#members.get(event.peer)?.peer;
    switch (event.type) {
      case 'frame-without-session':
        if (peer === undefined) {
          this.#services.frameDropped();
          break;
        }
        this.#services.queues.push(peer, event.frame);
        peer.dispatch({ type: 'frame' });
        break;
      case 'rekey-due':
      case 'confirmed':
        peer?.dispatch({ type: event.type, localId: event.localId });
        break;
      case 'path-seen':
        void peer?.paths.take({ type: 'seen', endpoint: event.path.remote });
        break;
      case 'path-message':
        void peer?.paths.take({ type: 'message', path: event.path, message: event.message });
        break;
      case 'source-changed':
        void peer?.paths.take({ type: 'source-changed' });
    }
  }

  #addAll(
    config: SessionConfig,
    intents: readonly PeerIntent[],
    adopted: ReadonlyMap<PublicKey, readonly SessionState[]>,
  ): void {
    const publicKeys = intents.map(({ publicKey }) => publicKeyBytes(publicKey));
    const staticKeys = montgomeryKeys(publicKeys);
    intents.forEach((intent, index) => {
      const [publicKey, staticKey] = [publicKeys[index], staticKeys[index]];
      if (publicKey === undefined || staticKey === undefined) throw new TypeError('a key for each peer');
      const peer = this.#newPeer(config, intent, { publicKey, staticKey }, adopted.get(intent.publicKey) ?? []);
      const callerKey = callerKeyOf(staticKey);
      this.#members.set(intent.publicKey, { peer, callerKey });
      this.#callers.set(callerKey, peer);
    });
  }

  #newPeer(
    config: SessionConfig,
    intent: PeerIntent,
    remote: RemoteParty,
    adopted: readonly SessionState[],
  ): PeerSessions {
    const services = this.#services;
    const ids: IdSource = {
      allocate: () => {
        const id = services.ids.next((taken) => this.#owners.has(taken));
        this.#owners.set(id, peer);
        return id;
      },
      release: (id) => this.#owners.delete(id),
    };
    const preferred = Buffer.compare(publicKeyBytes(services.publicKey), remote.publicKey) < 0;
    const state = initialState(settingsOf(config, intent, preferred), {
      nowMs: services.plane.now(),
      greatestTimestampNs: services.greatestTimestampNs(intent.publicKey),
      adopted,
    });
    const exchange = new Exchange(services.local, remote, ids, services.generateKeyPair);
    const peer = new PeerSessions(services, intent, exchange, state);
    for (const { localId } of adopted) this.#owners.set(localId, peer);
    return peer;
  }

  #change(config: SessionConfig, intent: PeerIntent, peer: PeerSessions): void {
    peer.change(intent, settingsOf(config, intent, peer.state.settings.preferred));
  }

  /** Resolves when its sessions are gone. */
  async #remove(key: PublicKey): Promise<void> {
    const member = this.#members.get(key);
    if (member === undefined) return;
    this.#members.delete(key);
    this.#callers.delete(member.callerKey);
    member.peer.dispatch({ type: 'removed' });
    await member.peer.idle();
  }
}

function settingsOf(config: SessionConfig, intent: PeerIntent, preferred: boolean): MachineSettings {
  const { rekeyAfterMs, lifetimeMs, handshakeTimeoutMs } = config;
  return { rekeyAfterMs, lifetimeMs, handshakeTimeoutMs, keepaliveMs: intent.keepaliveMs, preferred };
}

function sameTimers(a: SessionConfig | undefined, b: SessionConfig): boolean {
  return (
    a?.rekeyAfterMs === b.rekeyAfterMs && a.lifetimeMs === b.lifetimeMs && a.handshakeTimeoutMs === b.handshakeTimeoutMs
  );
}

function callerKeyOf(staticKey: Uint8Array): string {
  return Buffer.from(staticKey.buffer, staticKey.byteOffset, staticKey.byteLength).toString('latin1');
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
