import type { PublicKey } from '../manifest/model.ts';
import type { Endpoint, PeerEvent, SessionState } from '../reconcile/dataplane.ts';
import type { PeerIntent, SessionConfig } from '../reconcile/desired.ts';
import { Exchange, type ExchangeServices, type IdSource } from './exchange.ts';
import { Gate } from './gate.ts';
import { openInitiation, prologuesOf, type RemoteParty } from './handshake.ts';
import { initialState } from './machine.ts';
import { type Member, Members, remotesOf } from './members.ts';
import type { MachineSettings } from './model.ts';
import { PeerSessions } from './peer.ts';
import type { ClusterServices } from './services.ts';
import { slotsOf } from './slots.ts';
import { wipe } from './symmetric.ts';

type Remotes = readonly [RemoteParty, ...RemoteParty[]];

/** The peers of one cluster: finds whom a datagram or an event is about. */
export class ClusterSessions {
  readonly #services: ClusterServices;
  readonly #exchangeServices: ExchangeServices;
  readonly #gate: Gate;
  readonly #members = new Members();
  #config: SessionConfig | undefined;

  constructor(services: ClusterServices) {
    this.#services = services;
    const { parties, plane } = services;
    this.#exchangeServices = {
      prologues: prologuesOf(services.cluster),
      caller: () => parties.caller(this.#config?.self),
      generateKeyPair: services.generateKeyPair,
      generateKemKeyPair: services.generateKemKeyPair,
      encapsulate: services.encapsulate,
      now: () => plane.now(),
    };
    this.#gate = new Gate({
      parties,
      cookieSecrets: services.cookieSecrets,
      now: () => plane.now(),
      reply: (datagram, to) => void services.send(datagram, to).catch(services.report),
      refused: services.refused,
    });
  }

  get peers(): readonly PeerSessions[] {
    return this.#members.all.map(({ peer }) => peer);
  }

  find(key: PublicKey): PeerSessions | undefined {
    return this.#members.find(key)?.peer;
  }

  /**
   * Makes the peers those of `config`; unchanged ones (the same value as before) cost next to nothing. A peer that changes
   * to its next key stays the same peer. `left`: sessions that an earlier process left, which known peers take over;
   * those of others end. Resolves when removed peers' sessions are gone.
   */
  async configure(config: SessionConfig, left: readonly SessionState[]): Promise<void> {
    const everybody = !sameForAll(this.#config, config);
    this.#config = config;
    const kept = new Set<Member>();
    const added: PeerIntent[] = [];
    const changed: (readonly [Member, PeerIntent])[] = [];
    for (const intent of config.peers.values()) {
      const member = this.#members.meant(intent, config);
      if (member === undefined) {
        if (!this.#services.parties.has(intent.publicKey)) added.push(intent);
        continue;
      }
      kept.add(member);
      if (everybody || member.peer.intent !== intent) changed.push([member, intent]);
    }
    const ended = this.#members.all.filter((member) => !kept.has(member)).map((member) => this.#remove(member));
    for (const [member, intent] of changed) this.#change(config, intent, member);
    this.#addAll(config, added, groupByPeer(left));
    await Promise.all(ended);
    for (const { peer, localId } of left) {
      if (this.#members.find(peer) === undefined) await this.#services.plane.remove(localId);
    }
  }

  /** Ends all sessions. */
  async clear(): Promise<void> {
    await Promise.all(this.#members.all.map((member) => this.#remove(member)));
  }

  /** A datagram to the port. Nothing that is not a member's proper handshake message draws any reply. */
  receive(datagram: Uint8Array, from: Endpoint): void {
    const { refused, isOverlay } = this.#services;
    if (isOverlay(from.address)) {
      refused('overlay-source');
      return;
    }
    const admitted = this.#gate.admit(datagram, from, this.#config?.postQuantum ?? 'off');
    if (admitted === undefined) return;
    if (admitted.type === 'initiation') {
      const { handshake } = admitted;
      const caller = openInitiation(this.#exchangeServices.prologues, handshake);
      const member = caller && this.#members.caller(caller.remoteStatic);
      if (caller === undefined) refused('decrypt');
      else if (member === undefined) refused('unknown-peer');
      else member.peer.receiveInitiation(handshake, caller, from);
      if (caller !== undefined) wipe(caller.symmetric);
      return;
    }
    const { receiverId } = admitted.type === 'response' ? admitted.handshake.message : admitted.message;
    const peer = this.#members.owner(receiverId);
    if (peer === undefined) refused('unexpected-response');
    else if (admitted.type === 'response') peer.receiveResponse(admitted.handshake, from);
    else peer.receiveCookie({ message: admitted.message, datagram }, from);
  }

  /** Ends every session and handshake; where there was one, another one is asked for. */
  endAll(): void {
    for (const { peer } of this.#members.all) peer.endAll();
  }

  onEvent(event: PeerEvent): void {
    if (event.interface !== this.#services.interface) return;
    const peer = this.find(event.peer);
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
        if (this.#services.isOverlay(event.path.remote.address)) break;
        void peer?.paths.take({ type: 'seen', endpoint: event.path.remote });
        break;
      case 'path-message':
        if (this.#services.isOverlay(event.path.remote.address)) break;
        void peer?.paths.take({ type: 'message', path: event.path, message: event.message });
        break;
      case 'session-disturbed':
        if (peer === undefined) break;
        if (event.lost.length > 0) peer.dispatch({ type: 'vanished', ids: event.lost });
        this.#services.disturbed(peer, event.lost.length);
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
    const remotes = remotesOf(intents);
    intents.forEach((intent, index) => {
      const own = remotes[index];
      if (own === undefined) throw new TypeError('keys for each peer');
      const { publicKey, nextPublicKey } = intent;
      const left = [publicKey, nextPublicKey].flatMap((key) => (key && adopted.get(key)) ?? []);
      const member = this.#newMember(config, intent, own, left);
      this.#members.add(member);
      this.#renewUnfit(member);
    });
  }

  #newMember(config: SessionConfig, intent: PeerIntent, remotes: Remotes, adopted: readonly SessionState[]): Member {
    const services = this.#services;
    const members = this.#members;
    const ids: IdSource = {
      allocate: () => {
        const id = services.ids.next((taken) => members.owner(taken) !== undefined);
        members.own(id, peer);
        return id;
      },
      release: (id) => members.disown(id),
      settled: (id) => void services.plane.forgetAnswer(id).catch(services.report),
    };
    const state = initialState(this.#settingsOf(config, intent, remotes), {
      nowMs: services.plane.now(),
      adopted,
    });
    const exchange = new Exchange(this.#exchangeServices, { postQuantum: config.postQuantum, remotes }, ids);
    const peer = new PeerSessions(services, intent, exchange, state);
    for (const { localId, hybrid } of adopted) {
      members.own(localId, peer);
      exchange.adopt(localId, hybrid);
    }
    return { peer, exchange, remotes };
  }

  #change(config: SessionConfig, intent: PeerIntent, member: Member): void {
    const { peer, exchange } = member;
    const { publicKey, nextPublicKey } = peer.intent;
    if (intent.publicKey !== publicKey || intent.nextPublicKey !== nextPublicKey) {
      this.#members.remove(member);
      const [remotes] = remotesOf([intent], member.remotes);
      member.remotes = remotes ?? member.remotes;
      this.#members.add(member);
    }
    exchange.configure({ postQuantum: config.postQuantum, remotes: member.remotes });
    peer.change(intent, this.#settingsOf(config, intent, member.remotes));
    this.#renewUnfit(member);
  }

  /** Sessions that the applied revision no longer wants are replaced, and end soon. */
  #renewUnfit({ peer, exchange }: Member): void {
    const unfit = slotsOf(peer.state)
      .map(({ localId }) => ({ localId, withinMs: exchange.mayServeMs(localId) }))
      .filter(({ withinMs }) => Number.isFinite(withinMs));
    if (unfit.length > 0) peer.dispatch({ type: 'renew', sessions: unfit });
  }

  #settingsOf(config: SessionConfig, intent: PeerIntent, [remote]: Remotes): MachineSettings {
    const { rekeyAfterMs, lifetimeMs, handshakeTimeoutMs } = config;
    const own = Buffer.from(this.#services.parties.caller(config.self).publicKey, 'base64');
    const preferred = Buffer.compare(own, remote.publicKey) < 0;
    return { rekeyAfterMs, lifetimeMs, handshakeTimeoutMs, keepaliveMs: intent.keepaliveMs, preferred };
  }

  /** Resolves when its sessions are gone. */
  async #remove(member: Member): Promise<void> {
    this.#members.remove(member);
    member.peer.dispatch({ type: 'removed' });
    await member.peer.idle();
  }
}

/** Nothing changed that is everybody's. */
function sameForAll(a: SessionConfig | undefined, b: SessionConfig): boolean {
  return (
    a?.rekeyAfterMs === b.rekeyAfterMs &&
    a.lifetimeMs === b.lifetimeMs &&
    a.handshakeTimeoutMs === b.handshakeTimeoutMs &&
    a.postQuantum === b.postQuantum &&
    a.self === b.self
  );
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
