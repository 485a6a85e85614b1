import { lookup } from 'node:dns/promises';
import { isIP } from 'node:net';
import type { IpAddress } from '../manifest/model.ts';

export interface ResolverOptions {
  /** Resolves with the addresses of a name, or rejects. */
  readonly lookup: (host: string) => Promise<readonly string[]>;
  /** Uniform in [0, 1). */
  readonly random: () => number;
  /** Calls `run` once, `delayMs` from now; returns what cancels it. */
  readonly after: (delayMs: number, run: () => void) => () => void;
  /** Names whose addresses changed, or became known. */
  readonly onChange: (hosts: ReadonlySet<string>) => void;
}

interface Entry {
  addresses: readonly IpAddress[];
  failures: number;
  cancel: () => void;
}

const REFRESH_MS = 60_000;
const RETRY_MS = 1_000;
/** A peer has no use for more. */
const MAX_ADDRESSES = 8;
/** getaddrinfo blocks a thread of the pool that reads files too: never all four. */
const CONCURRENT = 2;

/** The system's resolver: /etc/hosts, mDNS and DNS as nsswitch has them. */
export async function systemLookup(host: string): Promise<readonly string[]> {
  const found = await lookup(host, { all: true, verbatim: false });
  return found.map(({ address }) => address);
}

/**
 * Addresses of the DNS names that manifests give as endpoints, asked again every minute, sooner after a failure.
 * Addresses that were known stay in use while the name cannot be resolved, and in their places while it has them: servers
 * that answer in another order each time are no news.
 */
export class EndpointResolver {
  readonly #options: ResolverOptions;
  readonly #entries = new Map<string, Entry>();
  readonly #waiting: string[] = [];
  #running = 0;
  #stopped = false;

  constructor(options: ResolverOptions) {
    this.#options = options;
  }

  /** The first of its addresses. */
  resolve(host: string): IpAddress | undefined {
    return isIP(host) > 0 ? (host as IpAddress) : this.addresses(host)[0];
  }

  /** All of a name, IPv4 first, else in the order of the answer in which each was first found. */
  addresses(host: string): readonly IpAddress[] {
    return this.#entries.get(host)?.addresses ?? [];
  }

  /** The names that matter from now on; IP literals are passed over. */
  want(hosts: Iterable<string>): void {
    const wanted = new Set<string>();
    for (const host of hosts) if (isIP(host) === 0) wanted.add(host);
    for (const [host, entry] of this.#entries) {
      if (wanted.has(host)) continue;
      entry.cancel();
      this.#entries.delete(host);
    }
    for (const host of wanted) {
      if (this.#entries.has(host)) continue;
      this.#entries.set(host, { addresses: [], failures: 0, cancel: () => undefined });
      this.#ask(host);
    }
  }

  stop(): void {
    this.#stopped = true;
    for (const entry of this.#entries.values()) entry.cancel();
    this.#entries.clear();
  }

  #ask(host: string): void {
    this.#waiting.push(host);
    this.#next();
  }

  #next(): void {
    while (this.#running < CONCURRENT) {
      const host = this.#waiting.shift();
      if (host === undefined) return;
      const entry = this.#entries.get(host);
      if (entry === undefined) continue;
      this.#running += 1;
      void this.#look(host, entry).finally(() => {
        this.#running -= 1;
        this.#next();
      });
    }
  }

  async #look(host: string, entry: Entry): Promise<void> {
    const found = (await this.#options.lookup(host).catch(() => [])).filter((address) => isIP(address) > 0);
    if (this.#stopped || this.#entries.get(host) !== entry) return;
    const failed = found.length === 0;
    entry.failures = failed ? entry.failures + 1 : 0;
    const base = failed ? Math.min(RETRY_MS * 2 ** Math.min(entry.failures, 10), REFRESH_MS) : REFRESH_MS;
    entry.cancel = this.#options.after(base * (0.9 + 0.2 * this.#options.random()), () => this.#ask(host));
    const addresses = failed ? entry.addresses : inOrder(entry.addresses, found as IpAddress[]);
    if (addresses.join() === entry.addresses.join()) return;
    entry.addresses = addresses;
    this.#options.onChange(new Set([host]));
  }
}

/** What is known keeps its place within its family. */
function inOrder(known: readonly IpAddress[], found: readonly IpAddress[]): readonly IpAddress[] {
  const all = [...new Set([...known.filter((address) => found.includes(address)), ...found])];
  return [...all.filter((address) => isIP(address) === 4), ...all.filter((address) => isIP(address) === 6)].slice(
    0,
    MAX_ADDRESSES,
  );
}
