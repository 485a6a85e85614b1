import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { loadNative, requireAddon } from '../../../src/dataplane/kernel/native.ts';
import { OmniError } from '../../../src/errors.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'omni-addon-'));
});
afterEach(() => rmSync(folder, { recursive: true }));

function failureOf(action: () => unknown): OmniError {
  try {
    action();
  } catch (error) {
    if (error instanceof OmniError) return error;
    throw error;
  }
  throw new Error('nothing was thrown');
}

describe('the addon', () => {
  it('is loaded once', () => {
    expect(loadNative()).toBe(loadNative());
    expect(loadNative().bootTimeNs()).toBeGreaterThan(0n);
  });

  it('says how to build it where it is missing', () => {
    const path = join(folder, 'omni_native.node');
    const error = failureOf(() => requireAddon(path));
    expect(error).toMatchObject({
      code: 'native-missing',
      class: 'stall',
      fix: 'Run `npm run setup && npm run build`.',
    });
    expect(error.message).toContain(path);
  });

  it('says why it cannot be loaded, and keeps the cause', () => {
    const path = join(folder, 'omni_native.node');
    writeFileSync(path, 'no shared object');
    const error = failureOf(() => requireAddon(path));
    expect(error).toMatchObject({ code: 'native-unloadable', class: 'stall' });
    expect(error.cause).toBeInstanceOf(Error);
  });
});
