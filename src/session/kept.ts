import { open, readFile, rename } from 'node:fs/promises';

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
    async write(text) {
      const temporary = `${path}.new`;
      const file = await open(temporary, 'w', 0o600);
      try {
        await file.writeFile(text);
        await file.sync();
      } finally {
        await file.close();
      }
      await rename(temporary, path);
    },
  };
}
