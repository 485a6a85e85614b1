import type { Cause } from '../../reconcile/dataplane.ts';
import type { RowKey } from '../../reconcile/rows.ts';
import { canonicalAddress } from './addresses.ts';
import type { LinkNotification } from './calls.ts';
import { pidOfPort, programOf } from './process.ts';
import { addressProtocol, OUR_PROTOCOL, routeProtocol } from './protocols.ts';
import { canonicalCidr } from './route.ts';

/** What one notification said of a row. */
interface Saying {
  readonly deleted: boolean;
  readonly cause: Cause;
}

/** More rows than a person reads about; the rest is told without a name. */
const MAX_ROWS = 256;

/**
 * Who changed which row, by the notifications since the last look. The process is looked up when the notification
 * arrives: `ip` has mostly ended a millisecond later.
 */
export class Causes {
  readonly #said = new Map<RowKey, Saying[]>();
  readonly #programs = new Map<number, string | undefined>();
  readonly #ownPid: number;
  readonly #programOf: (pid: number) => string | undefined;

  constructor(ownPid = process.pid, lookUp = programOf) {
    this.#ownPid = ownPid;
    this.#programOf = lookUp;
  }

  /** `names`: the interfaces that the notification may concern; for a route that took the place of ours, any. */
  note(notification: LinkNotification, names: readonly string[]): void {
    const { deleted } = notification;
    const keys = names.flatMap((name) => keyOf(notification, name) ?? []);
    if (keys.length === 0 || this.#said.size >= MAX_ROWS) return;
    const cause = this.#causeOf(notification);
    if (cause === undefined) return;
    for (const key of keys) this.#said.set(key, [...(this.#said.get(key) ?? []).slice(-1), { deleted, cause }]);
  }

  /** What is known of rows that turned out to be different, and forgets the rest. `isThere`: whether a row is there now. */
  take(keys: Iterable<RowKey>, isThere: (key: RowKey) => boolean): ReadonlyMap<RowKey, Cause> {
    const causes = new Map<RowKey, Cause>();
    for (const key of keys) {
      const cause = this.#bestOf(key, isThere(key)) ?? (isThere(key) ? undefined : this.#tookAlong(key));
      if (cause !== undefined) causes.set(key, cause);
    }
    this.#said.clear();
    this.#programs.clear();
    return causes;
  }

  /** Of a row that is gone: who deleted it, else who put something in its place. Of one that is there: who made it. */
  #bestOf(key: RowKey, isThere: boolean): Cause | undefined {
    const sayings = this.#said.get(key) ?? [];
    return (sayings.findLast(({ deleted }) => deleted !== isThere) ?? sayings.at(-1))?.cause;
  }

  /** The kernel drops the routes of a link that goes down, or that loses its last address, without a word. */
  #tookAlong(key: RowKey): Cause | undefined {
    const [kind, name] = key.split('/');
    if (kind !== 'route') return undefined;
    const link = this.#said.get(`link/${name}` as RowKey)?.at(-1);
    if (link !== undefined) return link.cause;
    for (const [other, sayings] of this.#said) {
      const removal = sayings.findLast(({ deleted }) => deleted);
      if (removal !== undefined && other.startsWith(`address/${name}/`)) return removal.cause;
    }
    return undefined;
  }

  #causeOf(notification: LinkNotification): Cause | undefined {
    const pid = pidOfPort(notification.port);
    if (pid === this.#ownPid) return undefined;
    const protocol = protocolOf(notification);
    if (pid === undefined) return protocol === undefined ? undefined : { protocol };
    if (!this.#programs.has(pid)) this.#programs.set(pid, this.#programOf(pid));
    const program = this.#programs.get(pid);
    return { pid, ...(program === undefined ? {} : { program }), ...(protocol === undefined ? {} : { protocol }) };
  }
}

function keyOf({ type, object }: LinkNotification, name: string): RowKey | undefined {
  if (object === '' && type !== 'filter') return undefined;
  switch (type) {
    case 'link':
    case 'filter':
      return `link/${name}` as RowKey;
    case 'address':
      return `address/${name}/${canonicalAddress(object)}` as RowKey;
    case 'route':
      return `route/${name}/${canonicalCidr(object)}` as RowKey;
    case 'neighbour':
      return `neighbour/${name}/${canonicalAddress(object)}` as RowKey;
    case 'overrun':
      return undefined;
  }
}

/** What took a row's place says where it is from; what was deleted was ours. */
function protocolOf({ type, deleted, protocol }: LinkNotification): string | undefined {
  if (deleted || protocol === 0 || protocol === OUR_PROTOCOL) return undefined;
  if (type === 'route') return routeProtocol(protocol);
  return type === 'address' ? addressProtocol(protocol) : undefined;
}
