import { createHash } from 'node:crypto';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gunzipSync, gzipSync } from 'node:zlib';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { openRolloutStore } from '../../../src/agent/rollout-store.ts';
import { OmniError } from '../../../src/errors.ts';
import type { ManifestFile, PublicKey } from '../../../src/manifest/model.ts';
import { emptyRecord, type RolloutRecord } from '../../../src/reconcile/rollout/record.ts';
import type { KeptRevision } from '../../../src/reconcile/rollout/store.ts';
import { failingDisk } from './failing-disk.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'omni-store-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const AT = '2026-03-01T12:00:00.000Z';
const signature = { format: 'ssh', signer: 'ada@example.org', key: 'SHA256:abc' } as const;
const revision = { id: 'sha1:a', label: 'main@sha1:a', subject: 'add a robot', author: 'Ada', time: AT, signature };

const full: RolloutRecord = {
  version: 1,
  lastKnownGood: { ...revision, since: AT },
  trial: {
    revision: { id: 'sha1:b', label: 'main@sha1:b' },
    startedAt: AT,
    bootId: '8a6f',
    baseline: ['peer/robot-2', 'source'],
    confirmWithinMs: 30_000,
    stopped: true,
  },
  quarantined: [{ revision, reason: 'ProbationFailed', message: 'peer/robot-2: no answer', at: AT }],
  history: [{ revision, outcome: 'good', message: '', at: AT, tookMs: 12.5 }],
  revoked: [{ publicKey: Buffer.alloc(32, 7).toString('base64') as PublicKey, name: 'robot-9', revision: 'main@x' }],
  hold: { reason: 'mission', since: AT, until: AT },
  suspension: { reason: 'by hand', since: AT },
  confirmed: { id: 'sha1:b', allowPartition: false },
};
const other: RolloutRecord = { ...emptyRecord, hold: { reason: 'another', since: AT } };

function file(path: string, content: string | Uint8Array): ManifestFile {
  const bytes = Buffer.from(content);
  return { path, blob: createHash('sha1').update(bytes).digest('hex'), size: bytes.length, read: async () => bytes };
}

function keptOf(id: string, files: readonly ManifestFile[]): KeptRevision {
  return { revision: { ...revision, id }, files };
}

async function contents(kept: KeptRevision | undefined): Promise<unknown> {
  if (kept === undefined) return undefined;
  const files = await Promise.all(
    kept.files.map(async ({ path, blob, size, read }) => ({
      path,
      blob,
      size,
      hex: Buffer.from(await read()).toString('hex'),
    })),
  );
  return { revision: kept.revision, files };
}

async function failure(work: Promise<unknown>): Promise<OmniError> {
  const error = await work.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (error instanceof OmniError) return error;
  throw new Error(`no OmniError: ${String(error)}`);
}

const recordPath = (): string => join(folder, 'rollout.json');
const revisionPath = (id: string): string =>
  join(folder, 'revisions', `${createHash('sha256').update(id).digest('hex')}.gz`);

describe('the record', () => {
  it('is empty on a new node, and comes back as it was saved, readable by its owner alone', async () => {
    expect(await openRolloutStore(folder).load()).toEqual({ record: emptyRecord });
    await openRolloutStore(folder).save(full);
    expect(await openRolloutStore(folder).load()).toEqual({ record: full });
    expect(statSync(recordPath()).mode & 0o777).toBe(0o600);
    expect(readdirSync(folder)).toEqual(['rollout.json']);
  });

  it('is what was saved last, whoever waits for which', async () => {
    const store = openRolloutStore(folder);
    const saves = Array.from({ length: 20 }, (_, index) =>
      store.save({ ...emptyRecord, hold: { reason: String(index), since: AT } }),
    );
    await Promise.all(saves);
    expect((await store.load()).record.hold?.reason).toBe('19');
  });

  it.each([
    ['cut short', (text: string) => text.slice(0, text.length / 2), /JSON/],
    ['empty', () => '', /JSON/],
    ['of another version', (text: string) => text.replace('"version":1', '"version":2'), /of version 2, not 1/],
    ['of no version', (text: string) => text.replace('"version":1,', ''), /of version undefined/],
    ['a list', () => '[]', /is not an object/],
    [
      'with a list that is none',
      (text: string) => text.replace('"quarantined":[', '"quarantined":{},"x":['),
      /quarantined/,
    ],
    ['with a word that nobody knows', (text: string) => text.replace('"good"', '"fine"'), /history\[0\]\.outcome/],
    ['with a number that is none', (text: string) => text.replace('30000', '"30000"'), /trial\.confirmWithinMs/],
    ['with a key that is none', (text: string) => text.replace('BwcH', '####'), /revoked\[0\]\.publicKey/],
    ['with a time that is none', (text: string) => text.replaceAll(AT, 'soon'), /since is not a time/],
  ])('%s is set aside, and said', async (_, damage, reason) => {
    const store = openRolloutStore(folder);
    await store.save(full);
    const damaged = damage(readFileSync(recordPath(), 'utf8'));
    writeFileSync(recordPath(), damaged);
    const { record, problem } = await store.load();
    expect(record).toEqual(emptyRecord);
    expect(problem).toMatch(reason);
    expect(problem).toContain(`${recordPath()}.damaged-1`);
    expect(readFileSync(`${recordPath()}.damaged-1`, 'utf8')).toBe(damaged);
    expect(await store.load()).toEqual({ record: emptyRecord });
  });

  it('that is damaged again and again leaves three of them', async () => {
    const store = openRolloutStore(folder);
    for (const text of ['a', 'b', 'c', 'd', 'e']) {
      writeFileSync(recordPath(), text);
      expect((await store.load()).problem).toContain('rollout.json.damaged-');
    }
    expect(readdirSync(folder).sort()).toEqual([1, 2, 3].map((n) => `rollout.json.damaged-${n}`));
    expect(readFileSync(`${recordPath()}.damaged-3`, 'utf8')).toBe('e');
  });

  it('is bounded in what it lists, newest last', async () => {
    const many = <T>(count: number, one: T): T[] => Array.from({ length: count }, () => one);
    const [entry] = full.history;
    const [bad] = full.quarantined;
    if (entry === undefined || bad === undefined) throw new Error('the record of this test has both');
    const record = {
      ...full,
      history: [...many(60, entry), { ...entry, message: 'newest' }],
      quarantined: [...many(120, bad), { ...bad, message: 'newest' }],
    };
    const store = openRolloutStore(folder);
    await store.save(record);
    const { history, quarantined } = (await store.load()).record;
    expect([history.length, history.at(-1)?.message]).toEqual([50, 'newest']);
    expect([quarantined.length, quarantined.at(-1)?.message]).toEqual([100, 'newest']);
  });

  it('keeps nothing that it does not know, and lets no member of a prototype in', async () => {
    const text = JSON.stringify(full).replace('"hold":{', '"hold":{"colour":"red","__proto__":{"until":"x"},');
    writeFileSync(recordPath(), text);
    const { record, problem } = await openRolloutStore(folder).load();
    expect(problem).toBeUndefined();
    expect(record).toEqual(full);
  });
});

describe('a kept revision', () => {
  const files = [
    file('a.yaml', 'kind: Peer\n'),
    file('sub/empty.yaml', ''),
    file('b"\\\n.yaml', '\uFEFFmä: 😀\n'),
    file('bytes.yaml', Uint8Array.from([0, 255, 10, 128])),
  ];

  it('comes back byte by byte, with the names that its source gave it', async () => {
    const store = openRolloutStore(folder);
    await store.keep(keptOf('sha1:a', files));
    expect(await contents(await openRolloutStore(folder).kept('sha1:a'))).toEqual(
      await contents(keptOf('sha1:a', files)),
    );
    expect(await store.kept('sha1:b')).toBeUndefined();
    expect(statSync(revisionPath('sha1:a')).mode & 0o777).toBe(0o600);
  });

  it('has a name on disk that no id can choose', async () => {
    const store = openRolloutStore(folder);
    const id = '../../../etc/cron.d/x';
    await store.keep(keptOf(id, files));
    expect((await store.kept(id))?.revision.id).toBe(id);
    expect(readdirSync(join(folder, 'revisions'))).toEqual([expect.stringMatching(/^[0-9a-f]{64}\.gz$/)]);
  });

  it('stays as long as somebody wants it', async () => {
    const store = openRolloutStore(folder);
    await store.forget([]);
    for (const id of ['1', '2', '3']) await store.keep(keptOf(id, files));
    writeFileSync(join(folder, 'revisions', 'half.gz.new'), 'half');
    await store.forget(['2', '7']);
    expect(readdirSync(join(folder, 'revisions'))).toEqual([revisionPath('2').split('/').at(-1)]);
    expect((await store.kept('2'))?.files).toHaveLength(4);
  });

  it('takes what its source says of a file that is gone, and keeps nothing', async () => {
    const gone = new OmniError('gone', { code: 'source-damaged', class: 'stall' });
    const store = openRolloutStore(folder);
    const broken: ManifestFile = { path: 'x', blob: 'x', size: 1, read: () => Promise.reject(gone) };
    expect(await failure(store.keep(keptOf('1', [...files, broken])))).toBe(gone);
    expect(await store.kept('1')).toBeUndefined();
    await store.keep(keptOf('1', files));
    expect((await store.kept('1'))?.files).toHaveLength(4);
  });

  const damages: readonly (readonly [string, (packed: Buffer) => Uint8Array])[] = [
    ['cut short', (packed) => packed.subarray(0, packed.length - 9)],
    ['empty', () => Buffer.alloc(0)],
    ['no gzip', () => Buffer.from('omni-revision 1\n')],
    ['with a bit turned', (packed) => packed.map((byte, at) => (at === packed.length >> 1 ? byte ^ 4 : byte))],
    ['with another content', (packed) => repacked(packed, (text) => text.replace('kind: Peer', 'kind: Pear'))],
    ['with another hash', (packed) => repacked(packed, (text) => text.replace(/1 [0-9a-f]{8}/, '1 00000000'))],
    ['of another version', (packed) => repacked(packed, (text) => text.replace('revision 1', 'revision 2'))],
    ['without a line', () => gzipSync('omni-revision 1')],
    ['with a list that does not fit', (packed) => relisted(packed, (text) => text.replace('"size":11', '"size":12'))],
    ['with a list that is none', (packed) => relisted(packed, (text) => text.replace('"files":[', '"files":0,"x":['))],
    ['a bomb', () => gzipSync(Buffer.alloc(129 * 1024 * 1024))],
  ];

  function repacked(packed: Buffer, change: (text: string) => string): Buffer {
    return gzipSync(Buffer.from(change(gunzipSync(packed).toString('latin1')), 'latin1'));
  }

  /** With a hash that matches again. */
  function relisted(packed: Buffer, change: (text: string) => string): Buffer {
    const text = gunzipSync(packed).toString('latin1');
    const body = Buffer.from(change(text.slice(text.indexOf('\n') + 1)), 'latin1');
    const head = `omni-revision 1 ${createHash('sha256').update(body).digest('hex')}\n`;
    return gzipSync(Buffer.concat([Buffer.from(head), body]));
  }

  it.each(damages)('%s is an error that a person reads, until it is kept again', async (_, damage) => {
    const store = openRolloutStore(folder);
    await store.keep(keptOf('sha1:a', files));
    const path = revisionPath('sha1:a');
    const before = readFileSync(path);
    writeFileSync(path, damage(before));
    expect(readFileSync(path).equals(before)).toBe(false);
    const error = await failure(store.kept('sha1:a'));
    expect(error).toMatchObject({ code: 'kept-revision-damaged', class: 'stall' });
    expect(error.message).toContain(path);
    await store.keep(keptOf('sha1:a', files));
    expect((await store.kept('sha1:a'))?.files).toHaveLength(4);
  });

  it('under the name of another is not that other', async () => {
    const store = openRolloutStore(folder);
    await store.keep(keptOf('1', files));
    writeFileSync(revisionPath('2'), readFileSync(revisionPath('1')));
    expect(await failure(store.kept('2'))).toMatchObject({ code: 'kept-revision-damaged' });
  });

  it('of 10,000 files holds nobody up', async () => {
    const many = Array.from({ length: 10_000 }, (_, index) => file(`peers/${index}.yaml`, `${index}`.padEnd(500, 'x')));
    const store = openRolloutStore(folder);
    let longest = 0;
    let last = performance.now();
    const watch = setInterval(() => {
      longest = Math.max(longest, performance.now() - last);
      last = performance.now();
    }, 1);
    await store.keep(keptOf('1', many));
    const read = await store.kept('1');
    clearInterval(watch);
    expect(read?.files).toHaveLength(10_000);
    expect(Buffer.from((await read?.files[9_999]?.read()) ?? []).toString()).toBe('9999'.padEnd(500, 'x'));
    expect(longest).toBeLessThan(1_000);
  });
});

describe('a crash between any two steps', () => {
  /** The steps that a write takes when nothing fails. */
  async function stepsOf(
    write: (store: ReturnType<typeof openRolloutStore>) => Promise<void>,
  ): Promise<readonly string[]> {
    const disk = failingDisk(() => false);
    await write(openRolloutStore(folder, disk));
    return disk.asked;
  }

  it('leaves the record that was there, or the new one, and the next save goes through', async () => {
    const steps = await stepsOf((store) => store.save(full));
    expect(steps).toEqual(['open', 'write', 'sync', 'rename', 'open', 'sync']);
    for (const [crash] of steps.entries()) {
      await openRolloutStore(folder).save(full);
      const error = await failure(
        openRolloutStore(
          folder,
          failingDisk((step) => step >= crash),
        ).save(other),
      );
      expect(error).toMatchObject({ code: 'state-not-saved', class: 'retry' });
      const { record, problem } = await openRolloutStore(folder).load();
      expect(problem).toBeUndefined();
      expect(record, `crash at ${crash}`).toEqual(crash <= steps.indexOf('rename') ? full : other);
      await openRolloutStore(folder).save(other);
      expect(await openRolloutStore(folder).load()).toEqual({ record: other });
      expect(readdirSync(folder)).toEqual(['rollout.json']);
    }
  });

  it('leaves the kept revision that was there, or the new one', async () => {
    const before = keptOf('1', [file('a', 'before')]);
    const after = keptOf('1', [file('a', 'after'), file('b', 'after')]);
    const first = await stepsOf((store) => store.keep(before));
    expect(first.slice(0, 2), 'the new folder is there after a power cut').toEqual(['open', 'sync']);
    const steps = await stepsOf((store) => store.keep(before));
    for (const [crash] of steps.entries()) {
      await openRolloutStore(folder).keep(before);
      await failure(
        openRolloutStore(
          folder,
          failingDisk((step) => step >= crash),
        ).keep(after),
      );
      const store = openRolloutStore(folder);
      const found = await contents(await store.kept('1'));
      expect(found, `crash at ${crash}`).toEqual(await contents(crash <= steps.indexOf('rename') ? before : after));
      await store.forget(['1']);
      expect(readdirSync(join(folder, 'revisions'))).toHaveLength(1);
    }
  });

  it('a single failure leaves the old, no temporary file, and a reason', async () => {
    await openRolloutStore(folder).save(full);
    for (const [at, code] of [
      [0, 'EROFS'],
      [1, 'ENOSPC'],
      [2, 'EIO'],
      [3, 'EDQUOT'],
    ] as const) {
      const error = await failure(
        openRolloutStore(
          folder,
          failingDisk((step) => step === at, code),
        ).save(other),
      );
      expect(error.message).toContain(code);
      expect(error.fix).not.toBe('');
      expect(readdirSync(folder)).toEqual(['rollout.json']);
      expect(await openRolloutStore(folder).load()).toEqual({ record: full });
    }
  });

  it('a file system that offers no fsync of folders is good enough', async () => {
    const store = openRolloutStore(
      folder,
      failingDisk((step) => step === 5, 'EINVAL'),
    );
    await store.save(full);
    expect(await store.load()).toEqual({ record: full });
  });
});

it('a record that cannot be read at all is not taken for a damaged one', async () => {
  const missing = openRolloutStore(join(folder, 'file', 'state'));
  writeFileSync(join(folder, 'file'), '');
  expect(await failure(missing.load())).toMatchObject({ code: 'state-not-readable', class: 'stall', exitCode: 2 });
  mkdirSync(recordPath());
  expect((await openRolloutStore(folder).load()).problem).toContain('EISDIR');
});
