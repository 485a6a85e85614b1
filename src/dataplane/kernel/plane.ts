import { OmniError } from '../../errors.ts';
import type {
  AdoptReport,
  BindSocket,
  DataPlane,
  DataPlaneCounters,
  DataPlaneDescription,
  MessagePlane,
  Refusal,
  SessionPlane,
  Stop,
  Wake,
} from '../../reconcile/dataplane.ts';
import type { Change, ObservedRow, RowKey, RowSet } from '../../reconcile/rows.ts';
import { applyAddress } from './address.ts';
import { adoptAll } from './adopt.ts';
import { Calls } from './calls.ts';
import type { Context, KernelDataPlaneOptions, MapLimits } from './context.ts';
import { readCounters } from './counters.ts';
import { possibleCpuCount } from './cpus.ts';
import { describe } from './describe.ts';
import { EventHub } from './events.ts';
import { applyForwarding } from './fdb.ts';
import { copyMac1Keys } from './gate.ts';
import { Inventory } from './inventory.ts';
import { applyLink, ourInterfaces } from './link.ts';
import { KernelMessages } from './messages.ts';
import { loadNative, type Native } from './native.ts';
import { applyNeighbour } from './neighbour.ts';
import { observeAll, observeKeys } from './observe.ts';
import { closeOverlay } from './overlay.ts';
import { applyPeer } from './peer.ts';
import { applyPolicy, applySubnet } from './policy.ts';
import { digestObjects } from './programs.ts';
import { readRefusals } from './refusals.ts';
import { applyRoute } from './route.ts';
import { Sentry } from './sentry.ts';
import { KernelSessions } from './sessions.ts';
import { removeInterface } from './setup.ts';
import { bindSocket } from './socket.ts';
import { StackNeighbours } from './stack-neighbours.ts';
import { Watcher } from './watch.ts';

export type { KernelDataPlaneOptions } from './context.ts';

/** Peers learn of another way within seconds; a driver that attaches a program may stop the device for as long. */
const LINGER_MS = 60_000;

/** The kernel engine: XDP programs, pinned maps and a veth pair per cluster. Needs root; see docs/operations.md. */
export function createKernelDataPlane(options: KernelDataPlaneOptions): DataPlane {
  return new KernelDataPlane(contextOf(options, loadNative()));
}

function maxEntriesOf(limits: Partial<MapLimits>): Record<string, number> {
  const { sessions, peers, forwarding, neighbours, sources } = limits;
  const cpus = possibleCpuCount();
  return {
    cpu_map: cpus,
    load_map: cpus,
    ...(sessions !== undefined && { session_map: sessions }),
    ...(peers !== undefined && { peer_map: peers, send_map: peers, handover_map: peers }),
    ...(forwarding !== undefined && { fdb_map: forwarding }),
    ...(neighbours !== undefined && { neigh_map: neighbours }),
    ...(sources !== undefined && { source_map: sources }),
  };
}

function contextOf(options: KernelDataPlaneOptions, native: Native): Context {
  const log = options.log ?? (() => undefined);
  let digest: Uint8Array | undefined;
  const calls = new Calls(native);
  const context: Context = {
    calls,
    bpffs: options.bpffs ?? '/sys/fs/bpf',
    underlay: options.underlay,
    mode: options.mode ?? 'auto',
    lingerMs: options.lingerMs ?? LINGER_MS,
    receiveCpus: options.receiveCpus ?? 'auto',
    gate: { mac1Keys: copyMac1Keys([options.mac1Key]), cookieSecrets: [] },
    objects: options.objects,
    objectsDigest: () => (digest ??= digestObjects(options.objects)),
    maxEntries: maxEntriesOf(options.limits ?? {}),
    inventory: new Inventory(options.stateDir, (message) => log('warn', message)),
    log,
    overlays: new Map(),
    sockets: new Set(),
    events: new EventHub(() => context),
    stack: new StackNeighbours(calls),
    waiting: new Set(),
    expected: new Map(),
  };
  return context;
}

class KernelDataPlane implements DataPlane {
  readonly sessions: SessionPlane;
  readonly messages: MessagePlane;
  readonly bindSocket: BindSocket;
  readonly #context: Context;
  readonly #watchers = new Map<Watcher, Wake>();
  readonly #sentry: Sentry;
  #last: Promise<unknown> = Promise.resolve();
  #working = false;

  constructor(context: Context) {
    this.#context = context;
    this.sessions = new KernelSessions(context);
    this.messages = new KernelMessages(context);
    this.bindSocket = bindSocket(context);
    this.#sentry = new Sentry(
      context,
      () => this.#working,
      (keys) => {
        for (const wake of this.#watchers.values()) wake(keys);
      },
    );
  }

  get writes(): number {
    return this.#context.calls.writes;
  }

  adopt(signal: AbortSignal): Promise<AdoptReport> {
    return this.#exclusively(signal, () => adoptAll(this.#context, signal));
  }

  async observe(signal: AbortSignal, keys?: ReadonlySet<RowKey>): Promise<RowSet<ObservedRow>> {
    signal.throwIfAborted();
    return keys === undefined ? observeAll(this.#context) : observeKeys(this.#context, keys);
  }

  apply(change: Change, signal: AbortSignal): Promise<void> {
    return this.#exclusively(signal, async () => {
      try {
        await applyChange(this.#context, change, signal);
        this.#context.waiting.delete(change.key);
      } catch (error) {
        if (error instanceof OmniError && error.class === 'wait') this.#context.waiting.add(change.key);
        throw error;
      } finally {
        for (const watcher of this.#watchers.keys()) watcher.acknowledge(change);
      }
    });
  }

  watch(wake: Wake): Stop {
    const watcher = new Watcher(this.#context, wake, () => this.#working);
    this.#watchers.set(watcher, wake);
    this.#sentry.start();
    return async () => {
      this.#watchers.delete(watcher);
      watcher.stop();
      if (this.#watchers.size === 0) this.#sentry.stop();
    };
  }

  async counters(): Promise<DataPlaneCounters> {
    return readCounters(this.#context);
  }

  async refusals(): Promise<readonly Refusal[]> {
    return readRefusals(this.#context);
  }

  async describe(): Promise<DataPlaneDescription> {
    return describe(this.#context);
  }

  async close(): Promise<void> {
    await this.#last;
    this.#sentry.stop();
    for (const watcher of this.#watchers.keys()) watcher.stop();
    this.#watchers.clear();
    this.#context.events.closeAll();
    this.#context.stack.close();
    for (const overlay of [...this.#context.overlays.values()]) closeOverlay(this.#context, overlay);
  }

  teardown(signal: AbortSignal): Promise<void> {
    return this.#exclusively(signal, async () => {
      for (const name of ourInterfaces(this.#context)) removeInterface(this.#context, name);
    });
  }

  /** Loading programs takes a while and leaves the event loop free: one change at a time. */
  #exclusively<T>(signal: AbortSignal, work: () => Promise<T>): Promise<T> {
    const result = this.#last.then(async () => {
      signal.throwIfAborted();
      this.#working = true;
      try {
        return await work();
      } finally {
        this.#working = false;
      }
    });
    // The caller gets the failure; the next in line does not care.
    this.#last = result.catch(() => undefined);
    return result;
  }
}

async function applyChange(context: Context, change: Change, signal: AbortSignal): Promise<void> {
  const { kind } = change.op === 'delete' ? change.from : change.to;
  switch (kind) {
    case 'link':
      return applyLink(context, change, signal);
    case 'address':
      return applyAddress(context, change);
    case 'route':
      return applyRoute(context, change);
    case 'peer':
      return applyPeer(context, change);
    case 'fdb':
      return applyForwarding(context, change);
    case 'neighbour':
      return applyNeighbour(context, change);
    case 'subnet':
      return applySubnet(context, change);
    case 'policy':
      return applyPolicy(context, change);
  }
}
