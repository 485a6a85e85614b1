import { fingerprint } from '../manifest/keys.ts';
import { createFleetReader } from '../manifest/load.ts';
import type { Fleet } from '../manifest/model.ts';
import type { Clock } from '../reconcile/clock.ts';
import type { DataPlane } from '../reconcile/dataplane.ts';
import type { NodeKeys, NodeView } from '../reconcile/desired.ts';
import type { ReconcileEvent } from '../reconcile/events.ts';
import { Reconciler } from '../reconcile/loop.ts';
import { namesOf } from '../reconcile/names.ts';
import { findForBoot } from '../reconcile/rollout/boot.ts';
import type { RolloutRecord } from '../reconcile/rollout/record.ts';
import type { RolloutStore } from '../reconcile/rollout/store.ts';
import { refOf, selfOf } from '../reconcile/share.ts';
import type { PassReport } from '../reconcile/status.ts';
import { mac1Key } from '../session/hash.ts';
import { readPsk } from '../session/identity.ts';
import { SessionManager } from '../session/manager.ts';
import { udpTransport } from '../session/transport.ts';
import type { Source } from '../source/source.ts';
import { readBootId } from './boot-id.ts';
import { ClusterSecret } from './cluster-secret.ts';
import type { AgentConfig } from './config.ts';
import { EndpointResolver, systemLookup } from './dns.ts';
import { type CreateDataPlane, createEngine } from './engine.ts';
import { EventLog } from './events.ts';
import { type FleetRevision, Fleets, HostNames, peersAt, portOf } from './fleets.ts';
import { Follower, type Offer } from './follower.ts';
import { collectGarbage } from './heap.ts';
import { Identities } from './identities.ts';
import { lockStateDir } from './lock.ts';
import { createLog, type Log } from './log.ts';
import { createMetrics, type Metrics, serveMetrics } from './metrics.ts';
import { openRollout } from './open-rollout.ts';
import { logWarnings, openSource } from './open-source.ts';
import type { Parts } from './parts.ts';
import { Passes } from './passes.ts';
import { Peers } from './peers/peers.ts';
import { checkPort, refusal } from './preflight.ts';
import { RefusedFrames } from './refused-frames.ts';
import { openRolloutStore } from './rollout-store.ts';
import { routesOf } from './routes.ts';
import { SealingWatch } from './sealing.ts';
import { serveControl } from './server.ts';
import { SessionShell } from './session-shell.ts';
import { serveWebhook } from './webhook.ts';

/*
 * 1. runAgent: what must hold before anything is touched, then the life of one agent, then its end
 * 2. Agent:    its parts, and what flows between them
 *
 *   source ─wake─▶ follower ─offer─▶ rollout ─setDesired─▶ reconciler ─onApplied─▶ session manager
 *                     ▲                 ▲ └─▶ disk, probes      ▲
 *                     └── control API ──┘    endpoint resolver ─┘
 */

/**
 * Runs this node until `signal`: follows the source, keeps the data plane as it says, answers the control API. Traffic
 * goes on afterwards. With `teardown`, removes everything of ours instead and resolves.
 *
 * Throws an `OmniError` of exit code 2, with nothing touched, where the node cannot work: a key that is missing or
 * exposed, another agent, missing capabilities, a port in use, an interface that is not ours. A source that does not
 * answer, or holds errors, is no reason to end: status and log tell of it, and the agent keeps trying.
 */
export async function runAgent(
  config: AgentConfig,
  signal: AbortSignal,
  createDataPlane: CreateDataPlane = createEngine,
): Promise<void> {
  const log = createLog({
    format: config.logFormat,
    level: config.logLevel ?? 'info',
    write: config.writeLog ?? ((line) => process.stderr.write(line)),
  });
  if (config.teardown) return teardown(config, log, signal, createDataPlane);
  const identities = new Identities(config.identity, log);
  const psk = readPsk(config.pskFile);
  const source = openSource(config, identities.current.publicKeyBytes);
  await logWarnings(source, config, log);
  const stops: Stops = [];
  try {
    stops.push(await lockStateDir(config.stateDir));
    const dataPlane = createDataPlane(config, mac1Key(identities.current.publicKeyBytes, psk), log);
    stops.push(() => dataPlane.close());
    const store = openRolloutStore(config.stateDir);
    const loaded = await store.load();
    if (loaded.problem !== undefined) log('error', loaded.problem);
    const { record } = loaded;
    const bootId = await readBootId();
    await new Agent({ config, identities, psk, source, dataPlane, store, record, bootId, log }).run(signal, stops);
  } finally {
    await stopAll(stops, log);
  }
}

/** `omni agent --teardown`: needs no identity and no source, for they may be what is broken. */
async function teardown(
  config: AgentConfig,
  log: Log,
  signal: AbortSignal,
  createDataPlane: CreateDataPlane,
): Promise<void> {
  const unlock = await lockStateDir(config.stateDir);
  try {
    const dataPlane = createDataPlane(config, new Uint8Array(32), log);
    await dataPlane.teardown(signal);
    await dataPlane.close();
    log('info', 'removed everything of ours from this node');
  } finally {
    await unlock();
  }
}

type Stops = (() => Promise<void> | void)[];

/** In reverse order; one that fails does not keep the others from ending. */
async function stopAll(stops: Stops, log: Log): Promise<void> {
  for (const stop of stops.reverse()) {
    try {
      await stop();
    } catch (error) {
      log('error', `while ending: ${error instanceof Error ? error.message : String(error)}`);
    }
  }
}

const clock: Clock = {
  now: () => performance.now(),
  wall: () => Date.now(),
  setTimer: (delayMs, run) => {
    const timer = setTimeout(run, delayMs);
    return () => clearTimeout(timer);
  },
};

/** By then a fleet that was read as a whole is programmed, judged and kept. */
const TIDY_AFTER_MS = 5_000;
const TIDY_AGAIN_MS = 1_000;
const ETHERNET_HEADER_BYTES = 14;

interface Ingredients {
  readonly config: AgentConfig;
  readonly identities: Identities;
  readonly psk: Uint8Array;
  readonly source: Source;
  readonly dataPlane: DataPlane;
  readonly store: RolloutStore;
  /** What the store held. */
  readonly record: RolloutRecord;
  readonly bootId: string;
  readonly log: Log;
}

class Agent {
  readonly #log: Log;
  readonly #parts: Parts;
  readonly #metrics: Metrics;
  readonly #resolver: EndpointResolver;
  /** Ends the run with an error: what turned out to make this node unable to work, at its first try. */
  readonly #refused = new AbortController();
  /** Nothing was there at the start and no pass has ended yet: a refusal leaves the node as it was. */
  #fresh = true;
  #offered = false;
  /** Reads the source's revisions and what is booted, so that each is compared with the one before. */
  readonly #reader = createFleetReader();
  #booted: () => void = () => undefined;
  /** The newest revision of the source, until it is programmed: for the histogram. */
  #underway: Pick<Offer, 'revision' | 'receivedMs'> | undefined;
  readonly #identities: Identities;
  readonly #hostNames: HostNames;
  readonly #refusedFrames: RefusedFrames;
  #cancelTidy: () => void = () => undefined;
  /** Fleets whose names are being resolved. */
  #resolved: ReadonlySet<Fleet | undefined> = new Set();

  constructor({ config, identities, psk, source, dataPlane, store, record, bootId, log }: Ingredients) {
    this.#log = log;
    const events = new EventLog(clock.wall);
    const fleets = new Fleets();
    const sealing = new SealingWatch(events, log);
    this.#identities = identities;
    this.#hostNames = new HostNames(identities);
    this.#resolver = new EndpointResolver({
      lookup: systemLookup,
      random: Math.random,
      after: clock.setTimer,
      onChange: (hosts) => this.#addressesChanged(hosts),
    });
    const onEvent = (event: ReconcileEvent) => {
      log(event.type === 'Warning' ? 'warn' : 'info', event.message, { reason: event.reason, object: event.object });
      events.record(event);
    };
    const reconciler = new Reconciler({
      dataPlane,
      clock,
      random: Math.random,
      node: nodeView(identities, (host) => this.#resolver.resolve(host)),
      onEvent,
      onApplied: (sessions, revision) => {
        this.#parts.sessions.apply(sessions);
        const fleet = fleets.at(revision)?.fleet;
        if (fleet !== undefined && sessions !== undefined) sealing.look(fleet, sessions.cluster);
      },
      onPass: (pass) => this.#passed(pass),
    });
    const manager = new SessionManager({
      sessions: dataPlane.sessions,
      identity: identities.current,
      psk,
      stateDir: config.stateDir,
      clock,
      resolve: (host) => this.#resolver.addresses(host),
      fullFrame: (name) => fullFrame(dataPlane, name),
      onEvent: (event) => this.#parts.sessions.onEvent(event),
      ...(dataPlane.bindSocket && { openTransport: udpTransport(dataPlane.bindSocket) }),
    });
    manager.setIdentities(identities.all);
    const secret = new ClusterSecret({
      identities: () => identities.all,
      fallback: psk,
      setPsks: (psks) => manager.setPsks(psks),
      setMac1Keys: (keys) => dataPlane.sessions.setMac1Keys(keys),
    });
    const sessions = new SessionShell({
      configure: async (sessionConfig) => {
        const unreadable = await secret.follow(sessionConfig);
        await manager.configure(sessionConfig);
        return unreadable;
      },
      events,
      log,
      after: clock.setTimer,
      now: clock.wall,
    });
    this.#refusedFrames = new RefusedFrames({
      read: () => dataPlane.refusals(),
      nameOf: (peer) => namesOf(...(reconciler.target === undefined ? [] : [reconciler.target.fleet]))(peer),
      events,
      log,
      after: clock.setTimer,
      now: clock.wall,
    });
    const follower = new Follower({
      source,
      reader: this.#reader,
      offer: (offer) => this.#take(offer),
      suspended: () => this.#parts.rollout.state.record.suspension !== undefined,
      events,
      log,
      now: clock.wall,
      monotonic: clock.now,
    });
    const startedAtMs = clock.wall();
    const peers = new Peers({ dataPlane, source, clock, random: Math.random, log });
    const common = { config, node: identities, source, store, reconciler, dataPlane, manager, peers };
    this.#parts = {
      ...common,
      startedAtMs,
      now: clock.wall,
      booted: new Promise((resolve) => {
        this.#booted = resolve;
      }),
      follower,
      fleets,
      rollout: openRollout({
        ...common,
        record,
        bootId,
        clock,
        resolver: this.#resolver,
        onEvent,
        onTarget: (offer) => this.#remember(offer, false),
      }),
      passes: new Passes(),
      sessions,
      events,
    };
    this.#metrics = createMetrics(() => this.#parts);
  }

  /** Adds to `stops` what ends each part, as soon as it runs. Resolves when `signal` is aborted. */
  async run(signal: AbortSignal, stops: Stops): Promise<void> {
    const life = AbortSignal.any([signal, this.#refused.signal]);
    try {
      await this.#start(life, stops);
      await aborted(life);
    } catch (error) {
      if (!life.aborted) throw error;
    }
    this.#refused.signal.throwIfAborted();
    this.#log('info', 'agent ends; traffic goes on');
  }

  async #start(life: AbortSignal, stops: Stops): Promise<void> {
    const { config, reconciler, manager, peers, follower, sessions, source } = this.#parts;
    if (config.metrics !== undefined) stops.push(await serveMetrics(config.metrics, this.#metrics));
    if (config.webhook !== undefined) {
      const onCall = (): void => source.nudge?.();
      stops.push(await serveWebhook({ config: config.webhook, onCall, now: clock.now, log: this.#log }));
    }
    const control = await serveControl(config.socket, routesOf(this.#parts, this.#metrics), this.#log);
    stops.push(() => control.close());
    stops.push(() => manager.stop());
    await manager.start();
    stops.push(() => this.#resolver.stop());
    stops.push(() => sessions.stop());
    stops.push(() => reconciler.stop());
    this.#fresh = !(await reconciler.start(life)).adopted;
    this.#log('info', `agent ${config.version} runs`, { source: source.description, pid: process.pid });
    stops.push(() => this.#parts.rollout.stop());
    stops.push(() => this.#cancelTidy());
    await this.#boot(!this.#fresh, life); // what was in force last, before any network
    peers.start();
    stops.push(() => peers.stop());
    this.#refusedFrames.start();
    stops.push(() => this.#refusedFrames.stop());
    stops.push(() => this.#identities.stop());
    this.#identities.start(clock.setTimer, () => this.#identitiesChanged());
    stops.push(follower.start(life));
  }

  async #boot(adopted: boolean, life: AbortSignal): Promise<void> {
    const { rollout, source, store, follower, events } = this.#parts;
    const found = await findForBoot(
      rollout.state.record,
      {
        store,
        archive: source,
        reader: this.#reader,
        warn: (reason, message) => {
          this.#log('warn', message, { reason });
          events.record({ type: 'Warning', reason, object: 'node', message });
        },
      },
      life,
    );
    const newest = found.trial ?? found.good;
    if (newest !== undefined) {
      await this.#admit(newest);
      this.#remember(newest, true);
    }
    await rollout.boot(found, adopted);
    await follower.boot(newest?.revision.id, life);
    this.#booted();
    this.#tidy();
  }

  /** A new valid fleet. */
  async #take(offer: Offer): Promise<void> {
    const { peers, rollout } = this.#parts;
    if (this.#identities.refresh()) this.#identitiesChanged();
    peers.learned(offer.revision.id);
    this.#underway = offer;
    this.#tidy();
    await this.#admit(offer);
    this.#remember(offer, true);
    rollout.offer(offer, offer);
  }

  /** Keeps what status may speak of, and has its names resolved. */
  #remember(one: FleetRevision, newest: boolean): void {
    const { fleets, source, reconciler, rollout } = this.#parts;
    const { lastKnownGood, trial } = rollout.state.record;
    const inUse = [reconciler.status().revision.applied, reconciler.target?.revision, lastKnownGood?.label];
    fleets.add(one, [...inUse, trial?.revision.label], newest);
    const wanted = new Set([reconciler.target?.fleet, fleets.newest?.fleet, one.fleet]);
    if (wanted.size === this.#resolved.size && [...wanted].every((fleet) => this.#resolved.has(fleet))) return;
    this.#resolved = wanted;
    const hosts = [...wanted].flatMap((fleet) => (fleet === undefined ? [] : [...this.#hostNames.of(fleet)]));
    this.#resolver.want([...hosts, ...(source.hosts ?? [])]);
  }

  async #admit({ fleet }: Pick<Offer, 'fleet'>): Promise<void> {
    const port = portOf(fleet, this.#identities);
    if (!this.#offered && port !== undefined) await this.#requirePort(port);
    this.#offered = true;
  }

  /** Later changes of the port are the session manager's to report; the first one decides whether this node can run. */
  async #requirePort(port: number): Promise<void> {
    try {
      await checkPort(port);
    } catch (error) {
      this.#refused.abort(error);
      throw error;
    }
  }

  #passed(pass: PassReport): void {
    this.#metrics.observePass(pass.durationMs);
    if (pass.ready && pass.revision === this.#underway?.revision.label) {
      this.#metrics.observeProgrammed(clock.now() - this.#underway.receivedMs);
      this.#underway = undefined;
    }
    this.#parts.passes.tell(pass);
    this.#parts.rollout.passed();
    if (!this.#fresh) return;
    this.#fresh = false;
    const failure = pass.failures.find(
      ({ key, class: errorClass }) => key.startsWith('link/') && errorClass === 'stall',
    );
    if (failure !== undefined) this.#refused.abort(refusal(failure.message, failure.code, failure.fix));
  }

  /** Reading, programming and keeping a large fleet leaves much behind. */
  #tidy(): void {
    this.#cancelTidy();
    this.#cancelTidy = clock.setTimer(TIDY_AFTER_MS, () => {
      collectGarbage();
      // What the first one freed, V8 gives back at the second.
      this.#cancelTidy = clock.setTimer(TIDY_AGAIN_MS, collectGarbage);
    });
  }

  /** Its files say that this node has other keys now. */
  #identitiesChanged(): void {
    const { node, reconciler, manager, events } = this.#parts;
    const keys = this.#identities.all.map(({ publicKey }) => fingerprint(publicKey)).join(' and ');
    const message = `this node goes by ${keys} from now on`;
    this.#log('info', message, { reason: 'IdentityChanged' });
    events.record({ type: 'Normal', reason: 'IdentityChanged', object: 'node', message });
    manager.setIdentities(this.#identities.all);
    const self = reconciler.target && selfOf(reconciler.target.fleet, node);
    reconciler.refresh(new Set(self === undefined ? [] : [refOf(self)]));
  }

  #addressesChanged(hosts: ReadonlySet<string>): void {
    const { node, reconciler, manager } = this.#parts;
    const { target } = reconciler;
    manager.addressesChanged(hosts);
    if (target === undefined) return;
    const peers = peersAt(target.fleet, node, hosts);
    if (peers.size > 0) reconciler.refresh(peers);
  }
}

async function fullFrame(dataPlane: DataPlane, interfaceName: string): Promise<number> {
  const mtu = await dataPlane.messages.capacity(interfaceName);
  return mtu === 0 ? 0 : mtu + ETHERNET_HEADER_BYTES;
}

/** Its keys may be other ones while the agent runs. */
function nodeView(node: NodeKeys, resolve: NodeView['resolve']): NodeView {
  return {
    get publicKey() {
      return node.publicKey;
    },
    get nextPublicKey() {
      return node.nextPublicKey;
    },
    resolve,
  };
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });
}
