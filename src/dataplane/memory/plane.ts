import { OmniError } from '../../errors.ts';
import type {
  AdoptReport,
  DataPlane,
  DataPlaneCounters,
  DataPlaneDescription,
  MessagePlane,
  Refusal,
  SessionPlane,
  Stop,
  Wake,
} from '../../reconcile/dataplane.ts';
import type { Change, ObservedRow, Row, RowKey, RowSet } from '../../reconcile/rows.ts';
import { Faults } from './faults.ts';
import { MemoryHost, type MemoryHostOptions } from './host.ts';
import { MemoryMessages } from './messages.ts';
import { MemoryPath, subscribe } from './path.ts';
import { MemorySessions } from './sessions.ts';

export interface MemoryDataPlaneOptions extends MemoryHostOptions {
  /** What an earlier plane left: give its `machine` to drive the same host after a restart. */
  readonly machine?: MemoryMachine;
}

/** A host and the packets' way through it: what stays while agents come and go. */
export interface MemoryMachine {
  readonly host: MemoryHost;
  readonly path: MemoryPath;
}

export interface MemoryDataPlane extends DataPlane {
  readonly machine: MemoryMachine;
  readonly host: MemoryHost;
  readonly path: MemoryPath;
  readonly faults: Faults;
}

/** The memory engine: everything of a data plane but the kernel. For dry runs, benches and tests of what drives it. */
export function createMemoryDataPlane(options: MemoryDataPlaneOptions = {}): MemoryDataPlane {
  return new MemoryPlane(options.machine ?? machineOf(new MemoryHost(options)));
}

function machineOf(host: MemoryHost): MemoryMachine {
  return { host, path: new MemoryPath(host) };
}

class MemoryPlane implements MemoryDataPlane {
  readonly machine: MemoryMachine;
  readonly sessions: SessionPlane;
  readonly messages: MessagePlane;
  readonly faults = new Faults();
  writes = 0;
  readonly #stops: Stop[] = [];

  constructor(machine: MemoryMachine) {
    this.machine = machine;
    const sessions = new MemorySessions(machine.host, machine.path);
    this.sessions = sessions;
    this.messages = new MemoryMessages(machine.host, machine.path);
  }

  get host(): MemoryHost {
    return this.machine.host;
  }

  get path(): MemoryPath {
    return this.machine.path;
  }

  async adopt(signal: AbortSignal): Promise<AdoptReport> {
    signal.throwIfAborted();
    const { rows, sessions } = this.host;
    return { adopted: rows.size > 0, sessions: sessions.size, links: [...this.host.links] };
  }

  async observe(signal: AbortSignal, keys?: ReadonlySet<RowKey>): Promise<RowSet<ObservedRow>> {
    signal.throwIfAborted();
    this.faults.onObserve();
    if (keys === undefined) return new Map(this.host.rows);
    const found = new Map<RowKey, ObservedRow>();
    for (const key of keys) {
      const row = this.host.rows.get(key);
      if (row !== undefined) found.set(key, row);
    }
    return found;
  }

  async apply(change: Change, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    this.faults.onApply(change);
    if (change.op === 'delete') this.#count(this.host.erase(change.key));
    else this.#put(change.to, change.op === 'update' ? change.from : undefined);
  }

  #put(row: Row, before: Row | undefined): void {
    if (row.kind !== 'link' && !this.host.links.has(row.interface)) {
      throw new OmniError(`interface ${row.interface} is not there yet`, {
        code: 'link-absent',
        class: 'wait',
        object: `link/${row.interface}`,
      });
    }
    const renamed = row.kind === 'peer' && before?.kind === 'peer' && before.publicKey !== row.publicKey;
    this.#count(renamed ? this.host.rename(before, row) : this.host.write(row));
  }

  #count(written: boolean): void {
    if (written) this.writes++;
  }

  watch(wake: Wake): Stop {
    return this.#keep(subscribe(this.host.watchers, wake));
  }

  async counters(): Promise<DataPlaneCounters> {
    return structuredClone(this.host.counters);
  }

  async refusals(): Promise<readonly Refusal[]> {
    return this.host.refusals();
  }

  async describe(): Promise<DataPlaneDescription> {
    const links = [...this.host.rows.values()].flatMap(({ row }) => (row.kind === 'link' ? row : []));
    return {
      engine: 'memory',
      interfaces: links.map(({ interface: name }) => {
        return { name, role: 'overlay', ifindex: this.host.ifindex(name), mtu: this.host.mtu(name) };
      }),
      notes: ['memory engine: nothing reaches a kernel'],
    };
  }

  async close(): Promise<void> {
    for (const stop of this.#stops.splice(0)) await stop();
  }

  async teardown(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    for (const name of [...this.host.links]) this.#count(this.host.erase(`link/${name}` as RowKey));
  }

  #keep(stop: Stop): Stop {
    this.#stops.push(stop);
    return stop;
  }
}
