import { mkdirSync, renameSync, rmSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { systemClock } from '../../../src/source/clock.ts';
import { openDirectorySource } from '../../../src/source/directory.ts';
import { defaultLimits, type SourceLimits } from '../../../src/source/limits.ts';
import type { Snapshot, Source } from '../../../src/source/source.ts';
import { Lab } from './lab.ts';

const lab = new Lab();
afterAll(() => lab.close());
const signal = new AbortController().signal;

function open(path: string, limits: SourceLimits = defaultLimits): Source {
  return openDirectorySource({ path, intervalMs: 60_000, limits, random: () => 0.5, clock: systemClock });
}

async function texts(snapshot: Snapshot): Promise<Record<string, string>> {
  const result: Record<string, string> = {};
  for (const file of snapshot.files) result[file.path] = Buffer.from(await file.read()).toString('utf8');
  return result;
}

/** Resolves at the first wake after the initial one. */
async function watching(source: Source): Promise<{ next: () => Promise<void>; stop: () => Promise<void> }> {
  let notify: () => void = () => undefined;
  let first: () => void = () => undefined;
  const started = new Promise<void>((resolve) => {
    first = resolve;
  });
  const stop = source.watch(() => {
    first();
    notify();
  });
  await started;
  await new Promise((resolve) => setTimeout(resolve, 150)); // chokidar says nothing of when its watches stand
  return {
    next: () =>
      new Promise<void>((resolve) => {
        notify = resolve;
      }),
    stop,
  };
}

it('is reachable while it can be listed, empty or not', async () => {
  const folder = lab.folder('reachable');
  const source = open(folder);
  await source.reachable(signal);
  rmSync(folder, { recursive: true });
  await expect(source.reachable(signal)).rejects.toMatchObject({ code: 'source-path-missing', exitCode: 3 });
  await expect(source.reachable(AbortSignal.abort(new Error('stop')))).rejects.toThrow('stop');
});

describe('reading', () => {
  it('names the content: same bytes, same revision; another name or byte, another', async () => {
    const folder = lab.folder('content');
    mkdirSync(join(folder, 'sub'));
    writeFileSync(join(folder, 'b.yaml'), 'b');
    writeFileSync(join(folder, 'sub', 'a.json'), 'a');
    writeFileSync(join(folder, 'note.txt'), 'no');
    writeFileSync(join(folder, '.hidden.yaml'), 'no');
    const source = open(folder);
    const one = await source.fetch(signal);
    expect(await texts(one)).toEqual({ 'b.yaml': 'b', 'sub/a.json': 'a' });
    expect(await texts(one)).toEqual({ 'b.yaml': 'b', 'sub/a.json': 'a' }); // and again, from the disk
    expect(one.revision.label).toBe(`dir@${one.revision.id}`);
    expect(one.revision.id).toMatch(/^sha256:[0-9a-f]{64}$/);
    expect(await source.fetch(signal)).toBe(one);
    expect((await open(folder).fetch(signal)).revision.id).toBe(one.revision.id);
    writeFileSync(join(folder, 'b.yaml'), 'c'); // same size, perhaps the same clock tick
    const two = await source.fetch(signal);
    expect(two.revision.id).not.toBe(one.revision.id);
    expect(two.files[1]?.blob).toBe(one.files[1]?.blob);
    renameSync(join(folder, 'b.yaml'), join(folder, 'd.yaml'));
    expect((await source.fetch(signal)).revision.id).not.toBe(two.revision.id);
  });

  it('does not read again what did not change', async () => {
    const folder = lab.folder('stable');
    writeFileSync(join(folder, 'a.yaml'), 'a');
    const old = new Date(Date.now() - 60_000);
    utimesSync(join(folder, 'a.yaml'), old, old);
    const source = open(folder);
    const one = await source.fetch(signal);
    writeFileSync(join(folder, 'b.yaml'), 'b');
    expect((await source.fetch(signal)).files[0]).toBe(one.files[0]);
  });

  it('refuses to hand out bytes that are not those of the snapshot', async () => {
    const folder = lab.folder('moving');
    writeFileSync(join(folder, 'a.yaml'), 'a');
    const [file] = (await open(folder).fetch(signal)).files;
    await file?.read();
    writeFileSync(join(folder, 'a.yaml'), 'b');
    await expect(file?.read()).rejects.toMatchObject({ code: 'source-changed', class: 'retry' });
  });

  it('reads links to files inside, as a mounted ConfigMap has them, and follows no other', async () => {
    const folder = lab.folder('links');
    mkdirSync(join(folder, '..2024_01'));
    writeFileSync(join(folder, '..2024_01', 'a.yaml'), 'mounted');
    symlinkSync('..2024_01', join(folder, '..data'));
    symlinkSync('..data/a.yaml', join(folder, 'a.yaml'));
    symlinkSync('/etc/hostname', join(folder, 'outside.yaml'));
    mkdirSync(join(folder, 'loop'));
    symlinkSync('..', join(folder, 'loop', 'up'));
    symlinkSync('self.yaml', join(folder, 'loop', 'target.yaml'));
    rmSync(join(folder, 'loop', 'target.yaml'));
    const snapshot = await open(folder).fetch(signal);
    expect(await texts(snapshot)).toEqual({ 'a.yaml': 'mounted' });
    expect(snapshot.notes).toEqual(['outside.yaml is no regular file inside the folder: skipped']);
  });

  it('says what is wrong', async () => {
    const folder = lab.folder('wrong');
    const cases: readonly [Source, string, RegExp][] = [
      [open(join(folder, 'nowhere')), 'source-path-missing', /no folder/],
      [open(folder), 'source-invalid', /no \.yaml/],
    ];
    for (const [source, code, words] of cases) {
      await expect(source.fetch(signal)).rejects.toMatchObject({
        code,
        exitCode: 3,
        message: expect.stringMatching(words),
      });
    }
    expect(await open(join(folder, 'nowhere')).cached(signal)).toBeUndefined();
    writeFileSync(join(folder, 'a.yaml'), 'x'.repeat(100));
    await expect(open(folder, { ...defaultLimits, fileBytes: 99 }).fetch(signal)).rejects.toMatchObject({
      code: 'source-too-large',
      message: expect.stringContaining('a.yaml'),
    });
    await expect(open(join(folder, 'a.yaml')).fetch(signal)).rejects.toMatchObject({ code: 'source-path-missing' });
    writeFileSync(join(folder, 'a\nb.yaml'), '');
    await expect(open(folder).fetch(signal)).rejects.toMatchObject({ code: 'source-invalid' });
  });
});

describe('watching', () => {
  it('wakes at once, after a write, after an editor that renames, and after a file in a new folder', async () => {
    const folder = lab.folder('watched');
    writeFileSync(join(folder, 'a.yaml'), '1');
    const source = open(folder);
    const { next, stop } = await watching(source);
    try {
      const before = await source.fetch(signal);
      const steps: readonly (() => void)[] = [
        () => writeFileSync(join(folder, 'a.yaml'), '2'),
        () => {
          writeFileSync(join(folder, '.a.yaml.swp'), '3');
          renameSync(join(folder, '.a.yaml.swp'), join(folder, 'a.yaml'));
        },
        () => {
          mkdirSync(join(folder, 'new'));
          writeFileSync(join(folder, 'new', 'b.yaml'), '4');
        },
        () => rmSync(join(folder, 'new', 'b.yaml')),
      ];
      let last = before.revision.id;
      for (const step of steps) {
        const woken = next();
        step();
        await woken;
        const { revision } = await source.fetch(signal);
        expect(revision.id).not.toBe(last);
        last = revision.id;
      }
    } finally {
      await stop();
    }
  });

  it('makes one wake of a burst', async () => {
    const folder = lab.folder('burst');
    writeFileSync(join(folder, 'a.yaml'), '1');
    const source = open(folder);
    let wakes = 0;
    const stop = source.watch(() => {
      wakes += 1;
    });
    await expect.poll(() => wakes).toBe(1);
    await new Promise((resolve) => setTimeout(resolve, 150));
    for (let index = 0; index < 100; index += 1) writeFileSync(join(folder, `p${index}.yaml`), 'x');
    await expect.poll(() => wakes).toBeGreaterThan(1);
    await new Promise((resolve) => setTimeout(resolve, 200));
    expect(wakes).toBeLessThanOrEqual(3);
    await stop();
  });
});
