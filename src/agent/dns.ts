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
  /** Names whose address changed, or became known. */
  readonly onChange: (hosts: ReadonlySet<string>) => void;
}

interface Entry {
  address: IpAddress | undefined;
  failures: number;
  cancel: () => void;
}

const REFRESH_MS = 60_000;
const RETRY_MS = 1_000;
/** getaddrinfo blocks a thread of the pool that reads files too: never all four. */
const CONCURRENT = 2;

/** The system's resolver: /etc/hosts, mDNS and DNS as nsswitch has them. IPv4 before IPv6, for the underlay is IPv4. */
export async function systemLookup(host: string): Promise<readonly string[]> {
  const found = await lookup(host, { all: true, verbatim: false });
  return found.map(({ address }) => address);
}

/**
 * Addresses of the DNS names that manifests give as endpoints, asked again every minute, sooner after a failure. An
 * address that was known stays in use while the name cannot be resolved.
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

  resolve(host: string): IpAddress | undefined {
    return isIP(host) > 0 ? (host as IpAddress) : this.#entries.get(host)?.address;
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
      this.#entries.set(host, { address: undefined, failures: 0, cancel: () => undefined });
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
    const found = await this.#options.lookup(host).catch(() => undefined);
    const address = found?.find((candidate) => isIP(candidate) === 4) ?? found?.[0];
    if (this.#stopped || this.#entries.get(host) !== entry) return;
    entry.failures = address === undefined ? entry.failures + 1 : 0;
    const base =
      address === undefined ? Math.min(RETRY_MS * 2 ** Math.min(entry.failures, 10), REFRESH_MS) : REFRESH_MS;
    entry.cancel = this.#options.after(base * (0.9 + 0.2 * this.#options.random()), () => this.#ask(host));
    if (address === undefined || address === entry.address) return;
    entry.address = address as IpAddress;
    this.#options.onChange(new Set([host]));
  }
}
