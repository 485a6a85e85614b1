import { join } from 'node:path';
import { OmniError } from '../errors.ts';
import type { EndpointHint, IpAddress, PublicKey } from '../manifest/model.ts';
import type { Endpoint, SessionPlane, Stop } from '../reconcile/dataplane.ts';
import type { PeerIntent, SessionConfig } from '../reconcile/desired.ts';
import { Agenda } from './agenda.ts';
import { Calls } from './calls.ts';
import { allEndpoints } from './candidates.ts';
import { ClusterSessions } from './cluster.ts';
import type { ManagerStats, PeerSessionStatus, SessionManagerOptions } from './contract.ts';
import { CookieSecrets } from './cookie-secrets.ts';
import { type FailureReason, HandshakeCounts } from './counts.ts';
import { generateKeyPair } from './dh.ts';
import { HandshakeClock } from './handshake-clock.ts';
import type { Identity } from './identity.ts';
import { SessionIds } from './ids.ts';
import { encapsulate, generateKemKeyPair } from './kem.ts';
import { keptFile } from './kept.ts';
import { Listener } from './listener.ts';
import { OverlayAddresses } from './overlay.ts';
import { Pacer } from './pacer.ts';
import { Parties } from './parties.ts';
import type { Move } from './paths/model.ts';
import { SharedPaths } from './paths/shared.ts';
import type { PeerSessions } from './peer.ts';
import { Polls } from './polls.ts';
import { FrameQueues } from './queue.ts';
import { hasSession, statusOf } from './status.ts';
import { openUdp } from './transport.ts';

export type { ManagerEvent, ManagerStats, PeerSessionStatus, SessionManagerOptions } from './contract.ts';

/** Own initiations: about a tenth of a processor at most, a third where they are hybrid. */
const INITIATIONS_PER_SECOND = 400;
const INITIATION_BURST = 64;

/**
 * Brings up sessions with the peers of the applied revision and keeps them fresh. Holds no traffic: the data plane
 * goes on while this is stopped, and the next process takes over.
 */
export class SessionManager {
  readonly #options: SessionManagerOptions;
  readonly #plane: SessionPlane;
  readonly #ids: SessionIds;
  readonly #parties: Parties;
  readonly #cookieSecrets: CookieSecrets;
  readonly #counts = new HandshakeCounts();
  readonly #queues = new FrameQueues<PeerSessions>();
  readonly #agenda: Agenda<PeerSessions>;
  readonly #pacer: Pacer;
  readonly #paths: SharedPaths<PeerSessions>;
  readonly #listener: Listener;
  readonly #overlay = new OverlayAddresses();
  readonly #polls: Polls;
  readonly #calls: Calls;
  #handshakeClock: HandshakeClock | undefined;
  #cluster: { readonly config: SessionConfig; readonly sessions: ClusterSessions } | undefined;
  #unsubscribe: Stop | undefined;
  #configuring: Promise<void> = Promise.resolve();

  constructor(options: SessionManagerOptions) {
    const { sessions, clock } = options;
    this.#options = options;
    this.#plane = sessions;
    this.#ids = new SessionIds(options.bootSecret);
    this.#parties = new Parties([options.identity], [options.psk]);
    const setTimer = clock.setTimer.bind(clock);
    this.#cookieSecrets = new CookieSecrets({
      setTimer,
      changed: (secrets) => void sessions.setCookieSecrets(secrets).catch((error) => this.#report(error)),
    });
    this.#pacer = new Pacer({
      perSecond: INITIATIONS_PER_SECOND,
      burst: INITIATION_BURST,
      now: () => sessions.now(),
      setTimer,
    });
    this.#paths = new SharedPaths({
      now: () => sessions.now(),
      setTimer,
      fullFrame: options.fullFrame,
      nonce: options.nonce,
      report: (error) => this.#report(error),
    });
    this.#listener = new Listener({
      open: options.openTransport ?? openUdp,
      onDatagram: (datagram, from) => this.#cluster?.sessions.receive(datagram, from),
      onError: (error) => this.#report(error),
    });
    this.#agenda = new Agenda({ now: () => sessions.now(), setTimer, onDue: (peers) => this.#timers(peers) });
    this.#calls = new Calls({
      now: () => sessions.now(),
      setTimer,
      resolve: options.resolve,
      reaches: (address) => this.#reaches(address),
    });
    this.#polls = new Polls({ plane: sessions, setTimer, report: (error) => this.#report(error) });
  }

  /** Reads the handshake clock and listens to the data plane. Peers come with `configure`. */
  async start(): Promise<void> {
    const { stateDir, handshakeState } = this.#options;
    const kept = handshakeState ?? keptFile(join(stateDir, 'handshake.json'));
    const { clock } = this.#options;
    this.#handshakeClock = await HandshakeClock.open(kept, this.#parties.keys, clock, (error) => this.#report(error));
    await this.#plane.setCookieSecrets(this.#cookieSecrets.accepted);
    this.#unsubscribe = this.#plane.onEvent((event) => {
      if (event.type === 'new-generation') void this.#renewAll().catch((error) => this.#report(error));
      else if (this.#cluster !== undefined) this.#cluster.sessions.onEvent(event);
      else if (event.type === 'frame-without-session') this.#queues.countDropped(1);
    });
  }

  /**
   * Follows an applied revision; undefined: this node is in no cluster. The first call takes over the sessions that
   * are there; afterwards those of removed peers have ended. Throws OmniError `port-in-use` before anything changed.
   */
  configure(config: SessionConfig | undefined): Promise<void> {
    const configured = this.#configuring.then(() => this.#configure(config));
    this.#configuring = configured.catch(() => undefined); // the caller has the error; the next call starts afresh
    return configured;
  }

  /**
   * The cluster's keys from now on, one or two of 32 bytes; copied. Handshakes begin under the first, and those under the
   * second are answered as well. Sessions that are there go on; handshakes under a key that is no longer given end in vain.
   */
  setPsks(psks: readonly Uint8Array[]): void {
    this.#parties.setPsks(psks);
  }

  /**
   * Who this node is from now on, one or two identities: it answers as each of them, and calls as the one that the
   * configuration names. Sessions that are there go on; handshakes as one that is no longer given end in vain.
   */
  setIdentities(identities: readonly Identity[]): void {
    this.#parties.setIdentities(identities);
    this.#handshakeClock?.setIdentities(this.#parties.keys);
  }

  /**
   * Ends every session, in the data plane as well, and every handshake under way; renews what ids and cookies are made of,
   * and makes new sessions with the peers that there was one with. For when keys, counters or secrets may be somebody else's,
   * too. Resolves with how many sessions ended, when none of them is there any more.
   */
  async endAll(): Promise<number> {
    this.#ids.renew();
    this.#cookieSecrets.renew();
    const sessions = await this.#plane.list();
    this.#cluster?.sessions.endAll();
    for (const { localId } of sessions) await this.#plane.remove(localId);
    await Promise.all((this.#cluster?.sessions.peers ?? []).map((peer) => peer.idle()));
    return sessions.length;
  }

  async #renewAll(): Promise<void> {
    const ended = await this.endAll();
    this.#options.onEvent({ type: 'new-generation', ended });
  }

  /** Of the cluster that this node is in. */
  get interface(): string | undefined {
    return this.#cluster?.config.interface;
  }

  /**
   * Whether the peer answers a handshake at one of `hints`, each tried in turn and twice, whatever endpoint is in use.
   * Traffic stays where it is, unless nothing came in on its path for a while: then the answer becomes a session. False
   * for a peer that is none here, and when `signal` is aborted first. One call per peer at a time, a second apart.
   */
  async callAt(peer: PublicKey, hints: readonly EndpointHint[], signal: AbortSignal): Promise<boolean> {
    const sessions = this.#cluster?.sessions.find(peer);
    return sessions !== undefined && this.#calls.call(sessions, hints, signal);
  }

  /** Names of `hosts` have other addresses now. */
  addressesChanged(hosts: ReadonlySet<string>): void {
    for (const peer of this.#cluster?.sessions.peers ?? []) {
      if (peer.intent.endpoints.some(({ host }) => hosts.has(host))) peer.paths.findHints();
    }
  }

  stats(): ManagerStats {
    const { waiting, queued, dropped } = this.#queues.counts;
    const nowMs = this.#plane.now();
    const peers = this.#cluster?.sessions.peers ?? [];
    return {
      handshakesCompleted: this.#counts.completed,
      handshakesFailed: this.#counts.failed(),
      sessionsActive: peers.filter(({ state }) => hasSession(state.current, nowMs)).length,
      framesQueued: queued,
      framesDropped: dropped,
      framesWaiting: waiting,
      pathMoves: this.#paths.moves,
    };
  }

  status(): Promise<readonly PeerSessionStatus[]> {
    return statusOf(this.#cluster?.sessions.peers ?? [], this.#plane);
  }

  /** Leaves the sessions to the data plane, and the handshake clock on disk. */
  async stop(): Promise<void> {
    this.#calls.stop();
    await this.#configuring;
    await this.#unsubscribe?.();
    this.#agenda.stop();
    this.#pacer.stop();
    this.#cookieSecrets.stop();
    this.#paths.stop();
    this.#polls.stop();
    await this.#listener.close();
    const peers = this.#cluster?.sessions.peers ?? [];
    await Promise.all(peers.map((peer) => peer.idle()));
    this.#cluster = undefined;
    await this.#handshakeClock?.stop();
  }

  async #configure(config: SessionConfig | undefined): Promise<void> {
    if (config !== undefined) await this.#listener.listen(config.port);
    const before = this.#cluster;
    const moved = before?.config.cluster !== config?.cluster || before?.config.interface !== config?.interface;
    if (before !== undefined && moved) {
      this.#cluster = undefined;
      await before.sessions.clear();
    }
    if (config === undefined) {
      await this.#listener.close();
      return;
    }
    const known = moved ? undefined : before?.sessions;
    const left =
      known === undefined ? (await this.#plane.list()).filter((each) => each.interface === config.interface) : [];
    this.#overlay.set(config.subnets);
    const sessions = known ?? this.#newCluster(config);
    this.#cluster = { config, sessions };
    await sessions.configure(config, left);
  }

  #newCluster(config: SessionConfig): ClusterSessions {
    const handshakeClock = this.#requireHandshakeClock();
    return new ClusterSessions({
      plane: this.#plane,
      interface: config.interface,
      queues: this.#queues,
      paths: this.#paths,
      cluster: config.cluster,
      parties: this.#parties,
      cookieSecrets: this.#cookieSecrets,
      ids: this.#ids,
      generateKeyPair: this.#options.generateKeyPair ?? generateKeyPair,
      generateKemKeyPair: this.#options.generateKemKeyPair ?? generateKemKeyPair,
      encapsulate,
      jitter: this.#options.jitter ?? Math.random,
      timestampNs: () => handshakeClock.next(),
      judge: (stamp) => handshakeClock.judge(stamp),
      accepted: (stamp) => handshakeClock.accepted(stamp),
      confirmed: (stamp) => handshakeClock.confirmed(stamp),
      pace: (run) => this.#pacer.run(run),
      endpoints: ({ intent }) => this.#endpoints(intent),
      moved: (peer, move) => this.#moved(peer, move),
      send: (datagram, to) => this.#listener.send(datagram, to),
      keyInUseTwice: ({ intent }, { places }) =>
        this.#options.onEvent({ type: 'key-in-use-twice', name: intent.name, peer: intent.publicKey, places }),
      setDeadline: (peer, atMs) => this.#agenda.set(peer, atMs),
      poll: (peer, generation, ids) => this.#polls.ask(peer, generation, ids),
      established: (peer, initiator) => this.#established(peer, initiator),
      failed: (peer, reason) => this.#failed(peer, reason),
      disturbed: ({ intent }, lost) => {
        this.#options.onEvent({ type: 'disturbed', name: intent.name, peer: intent.publicKey, lost });
      },
      refused: (reason) => this.#counts.fail(reason),
      isOverlay: (address) => this.#overlay.has(address),
      frameDropped: () => this.#queues.countDropped(1),
      report: (error) => this.#report(error),
    });
  }

  #timers(peers: readonly PeerSessions[]): void {
    for (const peer of peers) peer.dispatch({ type: 'timer' });
    this.#polls.flush();
  }

  #endpoints({ endpoints }: PeerIntent): readonly Endpoint[] {
    return allEndpoints(endpoints, { resolve: this.#options.resolve, reaches: (address) => this.#reaches(address) });
  }

  /** A name may resolve to an address inside the cluster: no endpoint is there. */
  #reaches(address: IpAddress): boolean {
    return !this.#overlay.has(address) && this.#listener.reaches(address);
  }

  #established({ intent }: PeerSessions, initiator: boolean): void {
    this.#counts.completed++;
    this.#options.onEvent({ type: 'established', name: intent.name, peer: intent.publicKey, initiator });
  }

  #moved({ intent }: PeerSessions, move: Move): void {
    this.#options.onEvent({ type: 'path-moved', name: intent.name, peer: intent.publicKey, move });
  }

  #failed({ intent }: PeerSessions, reason: FailureReason): void {
    this.#counts.fail(reason);
    if (reason !== 'timeout') return;
    this.#options.onEvent({ type: 'unreachable', name: intent.name, peer: intent.publicKey });
  }

  #report(cause: unknown): void {
    const error =
      cause instanceof OmniError
        ? cause
        : new OmniError('the session manager failed where it never should', {
            code: 'session-bug',
            class: 'bug',
            cause,
          });
    this.#options.onEvent({ type: 'error', error });
  }

  #requireHandshakeClock(): HandshakeClock {
    if (this.#handshakeClock !== undefined) return this.#handshakeClock;
    throw new OmniError('the session manager was configured before it was started', {
      code: 'session-bug',
      class: 'bug',
    });
  }
}
