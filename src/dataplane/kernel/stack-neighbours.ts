import { existsSync } from 'node:fs';
import type { IpAddress, MacAddress } from '../../manifest/model.ts';
import { addressBytes, canonicalAddress, macBytes } from './addresses.ts';
import type { Calls } from './calls.ts';
import { failedWith } from './errors.ts';
import type { NeighbourInfo, NeighbourTable } from './native.ts';
import { OUR_PROTOCOL } from './protocols.ts';

/** NUD_PERMANENT of linux/neighbour.h: no ARP, ND or time-out changes such an entry, and garbage collection does not count it. */
export const NUD_PERMANENT = 0x80;

/** Above this many addresses one dump of the table costs less than a query for each. */
const MAX_QUERIES = 128;

/** An end of a veth pair that the stack resolves addresses on. */
export interface StackLink {
  readonly name: string;
  readonly ifindex: number;
}

export interface Resolution {
  readonly address: IpAddress;
  readonly mac: MacAddress;
}

/**
 * The kernel's own neighbour tables. Everything is written through one netlink socket, whose port the watcher leaves out
 * of what it is told. Entries carry OUR_PROTOCOL, by which those of a deleted row are found after a crash.
 */
export class StackNeighbours {
  readonly #calls: Calls;
  #table: NeighbourTable | undefined;

  constructor(calls: Calls) {
    this.#calls = calls;
  }

  /** The netlink port that writes come from. */
  get port(): number {
    return this.#open().port;
  }

  /** A kernel without IPv6, or with IPv6 off on this interface for good, keeps no table of that family. */
  holds({ name }: StackLink, address: string): boolean {
    return !address.includes(':') || existsSync(`/proc/sys/net/ipv6/conf/${name}`);
  }

  /** Entries by address: of `addresses`, or all of the link. */
  read(link: StackLink, addresses: ReadonlySet<string> | undefined): ReadonlyMap<string, NeighbourInfo> {
    const object = `neighbours of ${link.name}`;
    const { ifindex } = link;
    const found =
      addresses === undefined || addresses.size > MAX_QUERIES
        ? this.#calls.read(object, (native) => native.neighbours({ ifindex }))
        : [...addresses].flatMap(
            (address) => this.#calls.read(object, (native) => native.neighbour({ ifindex, address })) ?? [],
          );
    return new Map(found.map((entry) => [canonicalAddress(entry.address), entry]));
  }

  /** Makes the entries permanent and ours; false: the interface vanished meanwhile, and its link row differs. */
  put(link: StackLink, entries: readonly Resolution[]): boolean {
    const kept = entries.filter(({ address }) => this.holds(link, address));
    if (kept.length === 0) return true;
    const options = {
      ifindex: link.ifindex,
      addresses: Buffer.concat(kept.map(({ address }) => addressBytes(address))),
      macs: Buffer.concat(kept.map(({ mac }) => macBytes(mac))),
      state: NUD_PERMANENT,
      protocol: OUR_PROTOCOL,
    };
    try {
      this.#calls.write(`neighbours of ${link.name}`, () => this.#open().put(options));
      return true;
    } catch (error) {
      if (!failedWith(error, 'ENODEV')) throw error;
      return false;
    }
  }

  delete({ name, ifindex }: StackLink, address: IpAddress): void {
    try {
      this.#calls.erase(`neighbour/${name}/${address}`, () => this.#open().delete({ ifindex, address }));
    } catch (error) {
      if (!failedWith(error, 'ENODEV', 'EAFNOSUPPORT')) throw error;
    }
  }

  close(): void {
    this.#table?.close();
    this.#table = undefined;
  }

  #open(): NeighbourTable {
    this.#table ??= this.#calls.read('netlink', (native) => new native.NeighbourTable({}));
    return this.#table;
  }
}
