import { toOmniError } from './errors.ts';
import type { Native } from './native.ts';

export type { BpfMap, LinkInfo, LinkNotification } from './native.ts';

/**
 * Every call into the kernel passes here: failures become `OmniError`s naming `object`, and writes are counted
 * once they succeeded. Nothing in this folder calls the addon without it.
 */
export class Calls {
  readonly native: Native;
  #writes = 0;

  constructor(native: Native) {
    this.native = native;
  }

  get writes(): number {
    return this.#writes;
  }

  read<T>(object: string, action: (native: Native) => T): T {
    try {
      return action(this.native);
    } catch (error) {
      throw toOmniError(error, object);
    }
  }

  write<T>(object: string, action: (native: Native) => T): T {
    const result = this.read(object, action);
    this.#writes += 1;
    return result;
  }

  /** A deletion by key: no write if it was not there. */
  erase(object: string, action: (native: Native) => boolean): boolean {
    const erased = this.read(object, action);
    if (erased) this.#writes += 1;
    return erased;
  }

  /** One more write that went through `read`. */
  counted(): void {
    this.#writes += 1;
  }

  async writeAsync<T>(object: string, action: (native: Native) => Promise<T>): Promise<T> {
    try {
      const result = await action(this.native);
      this.#writes += 1;
      return result;
    } catch (error) {
      throw toOmniError(error, object);
    }
  }
}
