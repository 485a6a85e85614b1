import * as fs from 'node:fs/promises';
import type { Disk } from '../../../src/durable.ts';

export interface FailingDisk extends Disk {
  /** What was asked of the disk, in order. */
  readonly asked: string[];
}

function diskError(code: string, syscall: string): NodeJS.ErrnoException {
  return Object.assign(new Error(`${code}: it was told to fail, ${syscall}`), { code, syscall });
}

/**
 * The real disk but for the calls that `fails` picks by their number (from 0): those do nothing, or half of what they
 * should, and reject.
 */
export function failingDisk(fails: (step: number) => boolean, code = 'EIO'): FailingDisk {
  const asked: string[] = [];
  const step = async <T>(name: string, work: () => Promise<T>, half?: () => Promise<unknown>): Promise<T> => {
    asked.push(name);
    if (!fails(asked.length - 1)) return work();
    await half?.();
    throw diskError(code, name);
  };
  const handleOf = (file: fs.FileHandle): fs.FileHandle =>
    new Proxy(file, {
      get(target, name) {
        if (name === 'close') return () => target.close();
        if (name === 'sync') return () => step('sync', () => target.sync());
        if (name === 'writeFile') {
          return (content: string | Uint8Array) => {
            const half = content.slice(0, content.length / 2);
            const write = (part: string | Uint8Array): Promise<void> => target.writeFile(part);
            return step(
              'write',
              () => write(content),
              () => write(half),
            );
          };
        }
        return undefined;
      },
    });
  return {
    asked,
    open: (path, flags, mode) => step('open', async () => handleOf(await fs.open(path, flags, mode))),
    rename: (from, to) => step('rename', () => fs.rename(from, to)),
    unlink: (path) => step('unlink', () => fs.unlink(path)),
  };
}
