import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, rmdirSync, unlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { openRolloutStore } from '../../src/agent/rollout-store.ts';
import type { ManifestFile } from '../../src/manifest/model.ts';
import { emptyRecord, type RolloutRecord } from '../../src/reconcile/rollout/record.ts';
import type { KeptRevision } from '../../src/reconcile/rollout/store.ts';

/* The store on a real file system that is full, and on one that is read-only. */

let folder: string;

function mount(...args: readonly string[]): void {
  const { status, stderr } = spawnSync('mount', [...args, folder], { encoding: 'utf8' });
  if (status !== 0) throw new Error(stderr);
}

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'omni-disk-'));
  mount('-t', 'tmpfs', '-o', 'size=256k,mode=0700', 'omni-test');
});
afterEach(() => {
  expect(spawnSync('umount', [folder]).status).toBe(0);
  rmdirSync(folder);
});

const AT = '2026-03-01T12:00:00.000Z';
const held = (reason: string): RolloutRecord => ({ ...emptyRecord, hold: { reason, since: AT } });

/** Bytes that do not pack. */
function noise(length: number): Uint8Array {
  let state = 1;
  return Uint8Array.from({ length }, () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state >>> 24;
  });
}

function keptOf(id: string, length: number): KeptRevision {
  const bytes = noise(length);
  const file: ManifestFile = { path: 'a.yaml', blob: id, size: length, read: async () => bytes };
  return { revision: { id, label: id }, files: [file] };
}

function fill(): void {
  const ballast = join(folder, 'ballast');
  for (let size = 256 * 1024; size > 0; size -= 4096) {
    try {
      writeFileSync(ballast, Buffer.alloc(size));
      return;
    } catch {
      unlinkSync(ballast); // not that much fits
    }
  }
}

it('a full disk loses nothing, and works again once there is space', async () => {
  const store = openRolloutStore(folder);
  await store.save(held('before'));
  await store.keep(keptOf('good', 20_000));
  fill();
  await expect(store.save(held('x'.repeat(8_192)))).rejects.toMatchObject({
    code: 'state-not-saved',
    class: 'retry',
    fix: expect.stringContaining('Free space'),
  });
  await expect(store.keep(keptOf('next', 20_000))).rejects.toMatchObject({ code: 'state-not-saved' });
  await expect(store.keep(keptOf('good', 40_000))).rejects.toMatchObject({ code: 'state-not-saved' });
  const again = openRolloutStore(folder);
  expect(await again.load()).toEqual({ record: held('before') });
  expect((await again.kept('good'))?.files[0]?.size).toBe(20_000);
  expect(await again.kept('next')).toBeUndefined();
  expect(readdirSync(folder).sort()).toEqual(['ballast', 'revisions', 'rollout.json']);
  expect(readdirSync(join(folder, 'revisions'))).toHaveLength(1);
  unlinkSync(join(folder, 'ballast'));
  await again.save(held('after'));
  await again.keep(keptOf('next', 20_000));
  expect(await again.load()).toEqual({ record: held('after') });
  expect((await again.kept('next'))?.files[0]?.size).toBe(20_000);
});

it('a read-only file system is read, and says what to do about it', async () => {
  const store = openRolloutStore(folder);
  await store.save(held('before'));
  await store.keep(keptOf('good', 1_000));
  mount('-o', 'remount,ro');
  for (const write of [store.save(held('x')), store.keep(keptOf('next', 10)), store.forget([])]) {
    await expect(write).rejects.toMatchObject({
      code: 'state-not-saved',
      class: 'retry',
      fix: expect.stringContaining('remount,rw'),
    });
  }
  expect(await store.load()).toEqual({ record: held('before') });
  expect((await store.kept('good'))?.files).toHaveLength(1);
  mount('-o', 'remount,rw');
  writeFileSync(join(folder, 'rollout.json'), 'damaged');
  mount('-o', 'remount,ro');
  const { record, problem } = await store.load();
  expect(record).toEqual(emptyRecord);
  expect(problem).toContain('could not be set aside');
});
