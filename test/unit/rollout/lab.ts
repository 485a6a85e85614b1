import {
  createMemoryDataPlane,
  type MemoryDataPlane,
  type MemoryMachine,
} from '../../../src/dataplane/memory/plane.ts';
import { OmniError } from '../../../src/errors.ts';
import type { Fleet, FleetReader, ManifestFile, ObjectRef, PublicKey } from '../../../src/manifest/model.ts';
import type { DataPlane } from '../../../src/reconcile/dataplane.ts';
import type { SessionConfig } from '../../../src/reconcile/desired.ts';
import type { ReconcileEvent } from '../../../src/reconcile/events.ts';
import { DEFAULT_PRUNE_LIMIT } from '../../../src/reconcile/guards.ts';
import { Reconciler } from '../../../src/reconcile/loop.ts';
import { findForBoot } from '../../../src/reconcile/rollout/boot.ts';
import type { GateAnswer } from '../../../src/reconcile/rollout/gates.ts';
import type { Verdict } from '../../../src/reconcile/rollout/model.ts';
import type { Probe, Prober } from '../../../src/reconcile/rollout/probe.ts';
import { emptyRecord, type RevisionInfo, type RolloutRecord } from '../../../src/reconcile/rollout/record.ts';
import type { Offer } from '../../../src/reconcile/rollout/revisions.ts';
import { type OfferOptions, Rollout } from '../../../src/reconcile/rollout/rollout.ts';
import type { RolloutStore } from '../../../src/reconcile/rollout/store.ts';
import type { RowKey } from '../../../src/reconcile/rows.ts';
import { FakeClock } from '../reconcile/clock.ts';
import { keyOf, nodeOf } from '../reconcile/fleet.ts';

/** What outlives an agent: the machine's data plane, its disk, what the world answers. */
export class World {
  readonly clock = new FakeClock();
  machine: MemoryMachine | undefined;
  bootId = 'boot-1';
  /** Plain data, as a file would have it. */
  disk: { record: string; kept: Map<string, readonly ManifestFile[]> } = {
    record: JSON.stringify(emptyRecord),
    kept: new Map(),
  };
  /** Refuses writes with this. */
  diskProblem: OmniError | undefined;
  /** Ids of kept revisions that do not read. */
  readonly damaged = new Set<string>();
  readonly fleets = new Map<string, Fleet>();
  /** What the source's cache has. */
  cached: string | undefined;
  live: readonly PublicKey[] = [];
  gate: GateAnswer = { open: true };
  /** What a probe finds, given the rows that are programmed. Undefined: it passes. */
  answer: (probe: Probe, world: World) => string | undefined = () => undefined;
  readonly probed: string[] = [];
  /** Called before each thing that a crash can come in front of. */
  onStep: (what: string) => void = () => undefined;

  get record(): RolloutRecord {
    return JSON.parse(this.disk.record) as RolloutRecord;
  }

  /** Rows without our mark: a data plane shows none of them. */
  readonly foreign = new Set<RowKey>();

  /** Ours. */
  rows(): readonly string[] {
    return [...(this.machine?.host.rows.keys() ?? [])].filter((key) => !this.foreign.has(key)).sort();
  }

  has(key: string): boolean {
    return this.machine?.host.rows.has(key as RowKey) ?? false;
  }

  /** Names a fleet; its id is what commits go by. */
  commit(id: string, fleet: Fleet): void {
    this.fleets.set(id, fleet);
    this.cached = id;
  }

  recalled(id: string): { revision: RevisionInfo; files: readonly ManifestFile[] } {
    if (!this.fleets.has(id)) throw new Error(`the cache has no ${id}`);
    return { revision: revision(id), files: filesOf(id) };
  }

  /** As an archive names what it is asked for by id: it knows no branch. */
  archived(id: string): { revision: RevisionInfo; files: readonly ManifestFile[] } {
    return { ...this.recalled(id), revision: { id, label: `${id}@${id}` } };
  }

  /** A system that went down: nothing is programmed any more. */
  reboot(): void {
    this.machine = undefined;
    this.foreign.clear();
    this.bootId = `boot-${Number(this.bootId.slice('boot-'.length)) + 1}`;
  }
}

function revision(id: string): RevisionInfo {
  return { id, label: `main@${id}` };
}

/** One file, whose content is the revision's id. */
function filesOf(id: string): readonly ManifestFile[] {
  return [{ path: 'fleet.yaml', blob: id, size: id.length, read: async () => Buffer.from(id) }];
}

/** One life of an agent, as far as revisions are concerned. */
export class Agent {
  readonly world: World;
  readonly plane: MemoryDataPlane;
  readonly reconciler: Reconciler;
  readonly events: ReconcileEvent[] = [];
  readonly sessions: (SessionConfig | undefined)[] = [];
  rollout!: Rollout;
  readonly #life = new AbortController();
  readonly #reader: FleetReader;
  #alive = true;

  constructor(world: World) {
    this.world = world;
    const now = () => world.clock.now();
    this.plane = createMemoryDataPlane(world.machine === undefined ? { now } : { now, machine: world.machine });
    world.machine = this.plane.machine;
    this.#reader = fleetReader(world);
    this.reconciler = new Reconciler({
      dataPlane: this.#mortal(this.plane),
      clock: this.#mortalClock(),
      random: () => 0.5,
      node: nodeOf(1),
      onEvent: (event) => this.events.push(event),
      onApplied: (sessions) => this.sessions.push(sessions),
      onPass: () => this.rollout.passed(),
    });
  }

  static async start(world: World): Promise<Agent> {
    const agent = new Agent(world);
    const store = agent.#store();
    const { record } = await store.load();
    agent.rollout = new Rollout({
      store,
      record,
      reconciler: agent.reconciler,
      prober: agent.#prober(),
      gates: { check: async () => world.gate },
      clock: agent.#mortalClock(),
      random: () => 0.5,
      bootId: world.bootId,
      node: { publicKey: keyOf(1) },
      pruneLimit: DEFAULT_PRUNE_LIMIT,
      probesSource: true,
      sourceAddresses: () => [],
      onEvent: (event) => agent.events.push(event),
      onTarget: () => undefined,
    });
    const { adopted } = await agent.reconciler.start(agent.#life.signal);
    const found = await findForBoot(
      agent.rollout.state.record,
      {
        store,
        archive: {
          cached: async () => (world.cached === undefined ? undefined : world.recalled(world.cached)),
          at: async (id) => world.archived(id),
        },
        reader: agent.#reader,
        warn: (reason, message) => agent.events.push({ type: 'Warning', reason, object: 'node', message }),
      },
      agent.#life.signal,
    );
    await agent.rollout.boot(found, adopted);
    return agent;
  }

  /** The source's newest revision is `id`. */
  async offer(id: string, options: Partial<OfferOptions> = {}): Promise<void> {
    const { fleet, changed, ...offer } = await this.#read(id);
    this.rollout.offer({ ...offer, fleet }, { origin: 'source', changed, ...options });
  }

  async goBackTo(id: string): Promise<void> {
    const fleet = this.world.fleets.get(id);
    if (fleet === undefined) throw new Error(`no fleet ${id}`);
    this.rollout.goBackTo({ revision: revision(id), files: filesOf(id), fleet });
  }

  /** Offers, and lets time pass until there is a verdict. */
  async tried(id: string, ms = 60_000): Promise<Verdict> {
    const since = this.rollout.state.sequence;
    await this.offer(id);
    return this.verdict(id, since, ms);
  }

  async verdict(id: string, since = 0, ms = 60_000): Promise<Verdict> {
    const patience = new AbortController();
    const asked = this.rollout.verdict(id, since, patience.signal);
    let known: Verdict | undefined;
    void asked.then((verdict) => {
      known = verdict;
    });
    for (let waited = 0; known === undefined && waited < ms; waited += 100) await this.world.clock.advance(100);
    patience.abort();
    return asked;
  }

  reasons(): readonly string[] {
    return this.events.map(({ reason }) => reason);
  }

  /** As `kill -9` does: nothing that this one began comes to anything any more. */
  die(): void {
    this.#alive = false;
  }

  async end(): Promise<void> {
    await this.rollout.stop();
    await this.reconciler.stop();
    this.die();
  }

  async #read(id: string): Promise<Offer & { readonly changed: ReadonlySet<ObjectRef> | 'all' }> {
    const files = filesOf(id);
    const result = await this.#reader.read(files);
    if (!result.ok) throw new Error(`${id} holds errors`);
    return { revision: revision(id), files, fleet: result.fleet, changed: result.changed };
  }

  /** Whatever a dead one waits for never comes. */
  async #step<T>(what: string, run: () => Promise<T> | T): Promise<T> {
    if (this.#alive) this.world.onStep(what);
    if (!this.#alive) return new Promise<T>(() => undefined);
    const result = await run();
    return this.#alive ? result : new Promise<T>(() => undefined);
  }

  #mortal(plane: MemoryDataPlane): DataPlane {
    return {
      adopt: (signal) => plane.adopt(signal),
      observe: (signal, keys) =>
        this.#step('observe', async () => {
          const rows = await plane.observe(signal, keys);
          return new Map([...rows].filter(([key]) => !this.world.foreign.has(key)));
        }),
      apply: (change, signal) => this.#step(`${change.op} ${change.key}`, () => plane.apply(change, signal)),
      watch: (wake) => plane.watch((...given) => this.#alive && wake(...given)),
      counters: () => plane.counters(),
      refusals: () => plane.refusals(),
      describe: () => plane.describe(),
      sessions: plane.sessions,
      messages: plane.messages,
      get writes() {
        return plane.writes;
      },
      close: () => plane.close(),
      teardown: (signal) => plane.teardown(signal),
    };
  }

  #mortalClock() {
    const { clock } = this.world;
    return {
      now: () => clock.now(),
      wall: () => clock.wall(),
      setTimer: (delayMs: number, run: () => void) => clock.setTimer(delayMs, () => this.#alive && run()),
    };
  }

  #store(): RolloutStore {
    const { world } = this;
    const write = (what: string, run: () => void): Promise<void> =>
      this.#step(what, () => {
        if (world.diskProblem !== undefined) throw world.diskProblem;
        run();
      });
    return {
      load: async () => ({ record: world.record }),
      save: (record) =>
        write('save', () => {
          world.disk.record = JSON.stringify(record);
        }),
      keep: ({ revision: { id }, files }) => write('keep', () => world.disk.kept.set(id, files)),
      kept: async (id) => {
        if (world.damaged.has(id)) {
          throw new OmniError(`the files of ${id} are damaged`, { code: 'kept-revision-damaged', class: 'stall' });
        }
        const files = world.disk.kept.get(id);
        return files && { revision: revision(id), files };
      },
      forget: (except) =>
        write('forget', () => {
          for (const id of world.disk.kept.keys()) if (!except.includes(id)) world.disk.kept.delete(id);
        }),
    };
  }

  #prober(): Prober {
    return {
      livePeers: () => this.#step('live peers', () => this.world.live),
      run: (probe) =>
        this.#step(`probe ${probe.id}`, () => {
          this.world.probed.push(probe.id);
          return this.world.answer(probe, this.world);
        }),
    };
  }
}

/** Reads the one file of `filesOf`, and tells what differs from the fleet before. */
function fleetReader(world: World): FleetReader {
  let before: Fleet | undefined;
  return {
    read: async ([file]) => {
      const fleet = world.fleets.get(file?.blob ?? '');
      if (fleet === undefined) return { ok: false, diagnostics: [] };
      const changed = before === undefined ? ('all' as const) : differences(before, fleet);
      before = fleet;
      return { ok: true, fleet, diagnostics: [], changed };
    },
  };
}

function differences(before: Fleet, after: Fleet): ReadonlySet<ObjectRef> {
  const changed = new Set<ObjectRef>();
  for (const [kind, field] of [
    ['cluster', 'clusters'],
    ['peer', 'peers'],
    ['vip', 'vips'],
  ] as const) {
    for (const name of new Set([...before[field].keys(), ...after[field].keys()])) {
      if (before[field].get(name) !== after[field].get(name)) changed.add(`${kind}/${name}`);
    }
  }
  return changed;
}
