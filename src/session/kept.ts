import { readFile } from 'node:fs/promises';
import { replaceFile } from '../durable.ts';

/** A small text that outlives the process. */
export interface KeptText {
  /** For messages. */
  readonly path: string;
  /** Undefined: there is none yet. */
  read(): Promise<string | undefined>;
  /** All or nothing, and there after a power cut. */
  write(text: string): Promise<void>;
}

/** A file of mode 0600 that is replaced as a whole. */
export function keptFile(path: string): KeptText {
  return {
    path,
    async read() {
      try {
        return await readFile(path, 'utf8');
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
        throw error;
      }
    },
    write: (text) => replaceFile(path, text),
  };
}
