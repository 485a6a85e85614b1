import { closeSync, fsyncSync, mkdirSync, openSync, readFileSync, renameSync, rmSync, writeSync } from 'node:fs';
import { join } from 'node:path';

/** Why XDP runs in generic mode although native was wanted. */
export interface Fallback {
  /** The interface that could not, and what it was like then. */
  readonly interface: string;
  readonly conditions: string;
  /** For people. */
  readonly reason: string;
}

interface Entry {
  /** Addresses that we added, where the kernel cannot mark them (before 5.18: no IFA_PROTO). */
  addresses: string[];
  /** For status, and for going back, after a restart. */
  fallbacks: readonly Fallback[];
}

function parseFallback(value: unknown): Fallback | undefined {
  if (typeof value !== 'object' || value === null) return undefined;
  const { interface: name, conditions, reason } = value as Record<string, unknown>;
  if (typeof name !== 'string' || typeof conditions !== 'string' || typeof reason !== 'string') return undefined;
  return { interface: name, conditions, reason };
}

/** undefined: not what an agent writes. */
function parse(text: string): Map<string, Entry> | undefined {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return undefined;
  const entries = new Map<string, Entry>();
  for (const [name, entry] of Object.entries(value)) {
    if (typeof entry !== 'object' || entry === null) return undefined;
    const { addresses, fallbacks: noted } = entry as Record<string, unknown>;
    if (!Array.isArray(addresses) || !addresses.every((item) => typeof item === 'string')) return undefined;
    const fallbacks = Array.isArray(noted) ? noted.flatMap((item) => parseFallback(item) ?? []) : [];
    entries.set(name, { addresses, fallbacks });
  }
  return entries;
}

/** What the kernel cannot remember for us: `<state-dir>/inventory.json`, replaced atomically. */
export class Inventory {
  readonly #path: string;
  readonly #warn: (message: string) => void;
  #entries: Map<string, Entry> | undefined;

  constructor(stateDir: string, warn: (message: string) => void) {
    this.#path = join(stateDir, 'inventory.json');
    this.#warn = warn;
  }

  hasAddress(interfaceName: string, address: string): boolean {
    return this.#load().get(interfaceName)?.addresses.includes(address) ?? false;
  }

  addAddress(interfaceName: string, address: string): void {
    if (this.hasAddress(interfaceName, address)) return;
    this.#of(interfaceName).addresses.push(address);
    this.#save();
  }

  removeAddress(interfaceName: string, address: string): void {
    if (!this.hasAddress(interfaceName, address)) return;
    const entry = this.#of(interfaceName);
    entry.addresses = entry.addresses.filter((item) => item !== address);
    this.#save();
  }

  /** Interfaces that an overlay's programs run on in generic mode although native was wanted. */
  fallbacks(interfaceName: string): readonly Fallback[] {
    return this.#load().get(interfaceName)?.fallbacks ?? [];
  }

  setFallbacks(interfaceName: string, fallbacks: readonly Fallback[]): void {
    if (JSON.stringify(this.fallbacks(interfaceName)) === JSON.stringify(fallbacks)) return;
    this.#of(interfaceName).fallbacks = fallbacks;
    this.#save();
  }

  forget(interfaceName: string): void {
    if (this.#load().delete(interfaceName)) this.#save();
  }

  #of(interfaceName: string): Entry {
    const entries = this.#load();
    const entry = entries.get(interfaceName) ?? { addresses: [], fallbacks: [] };
    entries.set(interfaceName, entry);
    return entry;
  }

  #load(): Map<string, Entry> {
    if (this.#entries !== undefined) return this.#entries;
    let text: string | undefined;
    try {
      text = readFileSync(this.#path, 'utf8');
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    }
    const entries = text === undefined ? new Map<string, Entry>() : parse(text);
    // Forgetting errs on the safe side: what is not listed is not ours, and is left alone.
    if (entries === undefined) this.#warn(`${this.#path} is damaged: starting an empty one`);
    this.#entries = entries ?? new Map();
    return this.#entries;
  }

  #save(): void {
    const entries = this.#load();
    if (entries.size === 0) {
      rmSync(this.#path, { force: true });
      return;
    }
    mkdirSync(join(this.#path, '..'), { recursive: true, mode: 0o700 });
    const temporary = `${this.#path}.new`;
    const file = openSync(temporary, 'w', 0o600);
    try {
      writeSync(file, `${JSON.stringify(Object.fromEntries(entries), undefined, 2)}\n`);
      fsyncSync(file);
    } finally {
      closeSync(file);
    }
    renameSync(temporary, this.#path);
  }
}
