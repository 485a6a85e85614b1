import type { Wake } from '../../reconcile/dataplane.ts';
import type { Change, ObservedRow, RowKey } from '../../reconcile/rows.ts';
import { canonicalAddress } from './addresses.ts';
import type { LinkNotification } from './calls.ts';
import { Causes } from './causes.ts';
import type { Context } from './context.ts';
import { linkFaults } from './link.ts';
import type { NetlinkMonitor } from './native.ts';
import { isDeclared, neighboursAmiss } from './neighbour.ts';
import { NETLINK_KINDS, observeAll, observeInterface, observeKeys } from './observe.ts';
import { refreshSources } from './peer.ts';

/** One link flap is a dozen notifications. */
const COALESCE_MS = 10;
/** A host with many routes must not spend its time here: at most a tenth of it. */
const IDLE_RATIO = 9;
/** What could not be read now is tried again, not at once and not for ever as fast as it fails. */
const RETRY_MS = 1_000;

/**
 * Wakes the reconciler when links, addresses or routes of ours are not as they were last seen, or a neighbour is not in the
 * stack's table as it is in ours. Notifications only say
 * when to look: what they announce is compared with a snapshot that our own writes update, so these wake nobody.
 */
export class Watcher {
  readonly #context: Context;
  readonly #wake: Wake;
  readonly #busy: () => boolean;
  readonly #monitor: NetlinkMonitor;
  readonly #causes = new Causes();
  /** Neighbour rows that notifications named since the last look. */
  readonly #neighbours = new Set<RowKey>();
  /** Something other than a neighbour was named. */
  #lookAround = false;
  /** Links whose neighbours are told of. */
  #followed = '';
  #seen: Map<RowKey, string>;
  #timer: NodeJS.Timeout | undefined;
  /** When an underlay will have been idle for long enough. */
  #nextLook: NodeJS.Timeout | undefined;
  /** Something that is not ours changed: the underlay, maybe. */
  #networkChanged = false;
  #lost = false;
  #notBefore = 0;

  /** `busy`: a change of ours is half made, and what shows now is neither before nor after. */
  constructor(context: Context, wake: Wake, busy: () => boolean) {
    this.#context = context;
    this.#busy = busy;
    this.#wake = wake;
    this.#monitor = context.calls.read('netlink', (native) => {
      return new native.NetlinkMonitor({ onNotification: (notification) => this.#onNotification(notification) });
    });
    try {
      this.#followNeighbours();
      this.#seen = this.#look();
    } catch (error) {
      this.#monitor.close();
      throw error;
    }
    // What changed before the monitor was open was announced to nobody.
    this.#networkChanged = true;
    this.#lookAround = true;
    this.#schedule();
  }

  /** After an own change: what it did is no news. */
  acknowledge(change: Change): void {
    const row = change.op === 'delete' ? change.from : change.to;
    if (!NETLINK_KINDS.includes(row.kind)) return;
    if (row.kind !== 'link') {
      const found = observeKeys(this.#context, new Set([change.key])).get(change.key);
      if (found === undefined) this.#seen.delete(change.key);
      else this.#seen.set(change.key, this.#textOf(found));
      return;
    }
    // With a link go its addresses and routes.
    for (const key of this.#seen.keys()) if (key.split('/')[1] === row.interface) this.#seen.delete(key);
    for (const [key, found] of observeInterface(this.#context, row.interface, NETLINK_KINDS)) {
      this.#seen.set(key, this.#textOf(found));
    }
    this.#followNeighbours();
  }

  /** Links come and go, and are made anew. */
  #followNeighbours(): void {
    const ifindexes = [...this.#context.overlays.values()].map(({ inner }) => inner).filter((inner) => inner !== 0);
    const text = ifindexes.join();
    if (text === this.#followed) return;
    const exceptPort = this.#context.stack.port;
    this.#context.calls.read('netlink', () => this.#monitor.watchNeighbours({ ifindexes, exceptPort }));
    this.#followed = text;
  }

  stop(): void {
    clearTimeout(this.#timer);
    clearTimeout(this.#nextLook);
    this.#timer = undefined;
    this.#monitor.close();
  }

  #onNotification(notification: LinkNotification): void {
    const name = this.#interfaceAt(notification.ifindex);
    const ours = name !== undefined;
    if (notification.type === 'neighbour') {
      this.#onNeighbour(notification, name);
      return;
    }
    // Filters of others, which some hosts change all the time, mean nothing to us.
    if (notification.type === 'filter' && !ours) return;
    this.#causes.note(notification, ours ? [name] : this.#losing(notification));
    this.#lost ||= notification.type === 'overrun';
    this.#networkChanged ||= !ours;
    this.#lookAround = true;
    this.#schedule();
  }

  /** The stack resolves addresses that no manifest declares, as often as somebody asks for them: no concern of ours. */
  #onNeighbour(notification: LinkNotification, name: string | undefined): void {
    const overlay = name === undefined ? undefined : this.#context.overlays.get(name);
    if (name === undefined || overlay === undefined) return;
    const address = canonicalAddress(notification.object);
    if (!isDeclared(this.#context, overlay, address)) return;
    this.#causes.note(notification, [name]);
    this.#neighbours.add(`neighbour/${name}/${address}` as RowKey);
    this.#schedule();
  }

  #schedule(): void {
    this.#timer ??= setTimeout(() => this.#onTimer(), Math.max(COALESCE_MS, this.#notBefore - performance.now()));
  }

  /** The overlay that has an end of this number. */
  #interfaceAt(ifindex: number): string | undefined {
    for (const { name, inner, outer } of this.#context.overlays.values()) {
      if (inner === ifindex || outer === ifindex) return name;
    }
    return undefined;
  }

  /** Overlays whose route to the same place a new one elsewhere may have replaced, which is announced as the new one alone. */
  #losing({ type, deleted, object }: LinkNotification): readonly string[] {
    if (type !== 'route' || deleted) return [];
    return [...this.#context.overlays.keys()].filter((name) => this.#seen.has(`route/${name}/${object}` as RowKey));
  }

  #onTimer(): void {
    this.#timer = undefined;
    if (this.#busy()) {
      this.#schedule();
      return;
    }
    const started = process.cpuUsage();
    let failed = false;
    const lost = this.#lost;
    const networkChanged = this.#networkChanged || lost;
    const lookAround = this.#lookAround || networkChanged;
    const neighbours = new Set(this.#neighbours);
    this.#lost = false;
    this.#networkChanged = false;
    this.#lookAround = false;
    this.#neighbours.clear();
    try {
      const keys = lookAround ? this.#settledNews(networkChanged) : new Set<RowKey>();
      for (const key of this.#neighbourNews(neighbours, keys)) keys.add(key);
      this.#followNeighbours();
      const causes = this.#causes.take(keys, (key) => this.#seen.has(key));
      if (networkChanged) for (const key of this.#context.waiting) keys.add(key);
      if (lost) this.#wake('unknown');
      else if (keys.size > 0) this.#wake(keys, causes);
    } catch (error) {
      // An interface may vanish between two looks; the reconciler looks again, with its backoff.
      this.#context.log('warn', 'cannot read what changed', { error: String(error) });
      this.#wake('unknown');
      failed = true;
    }
    const { user, system } = process.cpuUsage(started);
    const spentMs = (user + system) / 1_000;
    this.#notBefore = performance.now() + Math.max(spentMs * IDLE_RATIO, failed ? RETRY_MS : 0);
    // The reconciler reads rows; sources are followed here alone.
    if (failed && networkChanged) {
      this.#networkChanged = true;
      this.#schedule();
    }
  }

  /** Of the neighbours that were named. With a link go its neighbours, and they come back with it. */
  #neighbourNews(named: ReadonlySet<RowKey>, news: ReadonlySet<RowKey>): RowKey[] {
    const byLink = new Map<string, Set<string>>();
    for (const key of named) {
      const [, name = '', address = ''] = key.split('/');
      if (!news.has(`link/${name}` as RowKey)) byLink.set(name, (byLink.get(name) ?? new Set()).add(address));
    }
    return [...byLink].flatMap(([name, addresses]) => {
      const overlay = this.#context.overlays.get(name);
      return overlay === undefined ? [] : neighboursAmiss(this.#context, overlay, addresses);
    });
  }

  /** Before anybody looks at the link's row: where to listen is ours to follow, and no news. */
  #follow(): void {
    clearTimeout(this.#nextLook);
    const overlays = [...this.#context.overlays.values()];
    const waits = overlays.flatMap((overlay) => refreshSources(this.#context, overlay, performance.now()) ?? []);
    if (waits.length === 0) return;
    this.#nextLook = setTimeout(
      () => {
        this.#networkChanged = true;
        this.#schedule();
      },
      Math.min(...waits),
    );
  }

  #look(): Map<RowKey, string> {
    return new Map([...observeAll(this.#context, NETLINK_KINDS)].map(([key, found]) => [key, this.#textOf(found)]));
  }

  /** One fault may take another's place while the row stays as broken as it was. */
  #textOf({ row }: ObservedRow): string {
    return JSON.stringify(row.kind === 'link' ? [row, linkFaults(this.#context, row.interface)] : row);
  }

  /** Routes may change while we look, and are followed before what they ask for is taken for a fault of the link's. */
  #settledNews(networkChanged: boolean): Set<RowKey> {
    const before = this.#seen;
    if (networkChanged) this.#follow();
    const keys = this.#news();
    if (![...keys].some((key) => key.startsWith('link/'))) return keys;
    this.#seen = before;
    this.#follow();
    return this.#news();
  }

  #news(): Set<RowKey> {
    const before = this.#seen;
    this.#seen = this.#look();
    const keys = new Set<RowKey>();
    for (const key of new Set([...before.keys(), ...this.#seen.keys()])) {
      if (before.get(key) !== this.#seen.get(key)) keys.add(key);
    }
    return keys;
  }
}
