import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, expect, test } from 'vitest';
import { readSettings } from '../../src/agent/config-settings.ts';
import { parseRecord } from '../../src/agent/rollout-record.ts';
import { openRolloutStore } from '../../src/agent/rollout-store.ts';
import { OmniError } from '../../src/errors.ts';
import { renderDiagnostic } from '../../src/manifest/diagnostic.ts';
import type { RolloutRecord } from '../../src/reconcile/rollout/record.ts';

/* What an agent reads from its own disk: by hand, by another version, by a disk that fails. */

const RUNS = Number(process.env.OMNI_FUZZ_RUNS ?? 3000);
const folder = mkdtempSync(join(tmpdir(), 'omni-fuzz-'));
afterAll(() => rmSync(folder, { recursive: true }));

const page = readFileSync(join(import.meta.dirname, '../../docs/configuration.md'), 'utf8');
const example = /```yaml\n(.*?)```/s.exec(page)?.[1] ?? '';

/** A text with a few of its bytes written over, cut out, or put in twice. */
function damaged(original: Buffer): fc.Arbitrary<Buffer> {
  const place = fc.nat({ max: original.length });
  const slip = fc.tuple(fc.constantFrom('over', 'out', 'twice'), place, fc.uint8Array({ minLength: 1, maxLength: 8 }));
  return fc.array(slip, { minLength: 1, maxLength: 4 }).map((slips) => {
    let text = original;
    for (const [kind, at, bytes] of slips) {
      const rest = text.subarray(
        kind === 'twice' ? Math.max(0, at - bytes.length) : Math.min(text.length, at + bytes.length),
      );
      text = Buffer.concat([text.subarray(0, at), kind === 'over' ? bytes : Buffer.alloc(0), rest]);
    }
    return text;
  });
}

test('a configuration is read or refused with reasons, whatever is in it', () => {
  expect(readSettings(Buffer.from(example), 'a.yaml').ok).toBe(true);
  const words = fc.constantFrom(...example.split(/\s+/), ':', '-', '{', '}', '[', ']', '\n', '\n  ', '&a', '*a', '<<');
  const texts = fc.oneof(
    damaged(Buffer.from(example)),
    fc
      .array(words, { maxLength: 40 })
      .map((parts) => Buffer.from(`apiVersion: omni.io/v1alpha1\nkind: AgentConfig\nspec: ${parts.join(' ')}`)),
    fc.uint8Array({ maxLength: 200 }).map((bytes) => Buffer.from(bytes)),
  );
  fc.assert(
    fc.property(texts, (bytes) => {
      const result = readSettings(bytes, 'a.yaml');
      if (result.ok) return;
      expect(result.diagnostics.length).toBeGreaterThan(0);
      for (const diagnostic of result.diagnostics) {
        expect(diagnostic.position.line).toBeLessThanOrEqual(bytes.toString().split('\n').length);
        // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
        expect(renderDiagnostic(diagnostic)).not.toMatch(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f]/);
      }
    }),
    { numRuns: RUNS },
  );
});

const AT = '2026-03-01T12:00:00.000Z';
const revision = { id: 'sha1:a', label: 'main@sha1:a', subject: 'add', author: 'Ada', time: AT };
const record: Omit<RolloutRecord, 'revoked'> & { readonly revoked: readonly unknown[] } = {
  version: 1,
  lastKnownGood: { ...revision, since: AT },
  trial: { revision, startedAt: AT, bootId: 'b', baseline: ['source'], confirmWithinMs: 30_000, stopped: true },
  quarantined: [
    { revision, reason: 'Interrupted', message: 'm', at: AT },
    {
      revision,
      reason: 'ProbationFailed',
      message: 'm',
      at: AT,
      until: AT,
      recheck: { probes: ['peer/a'], withinMs: 30_000 },
    },
  ],
  retried: [{ id: 'sha1:b', discounted: ['peer/a'], lapsed: true }],
  history: [{ revision, outcome: 'preempted', message: 'm', at: AT, tookMs: 1.5 }],
  revoked: [{ publicKey: Buffer.alloc(32, 7).toString('base64'), name: 'robot-9', revision: 'main', during: 'sha1:b' }],
  hold: { reason: 'r', since: AT, until: AT },
  suspension: { reason: 'r', since: AT },
  confirmed: { id: 'sha1:a', allowPartition: true },
};

test('a record is what it says, or not read at all', () => {
  const original = Buffer.from(JSON.stringify(record));
  expect(parseRecord(original.toString())).toEqual(record);
  fc.assert(
    fc.property(damaged(original), (bytes) => {
      let read: RolloutRecord;
      try {
        read = parseRecord(bytes.toString());
      } catch (error) {
        expect(error instanceof TypeError || error instanceof SyntaxError, String(error)).toBe(true);
        return;
      }
      // What was read is written and read again the same: nothing of another type slipped through.
      expect(parseRecord(JSON.stringify(read))).toEqual(read);
    }),
    { numRuns: RUNS },
  );
});

test('a kept revision comes back byte by byte, or not at all', async () => {
  const store = openRolloutStore(folder);
  const contents = ['kind: Peer\n', 'kind: VIP\n'].map((text) => Buffer.from(text));
  const files = contents.map((bytes, at) => ({
    path: `${at}`,
    blob: `${at}`,
    size: bytes.length,
    read: async () => bytes,
  }));
  await store.keep({ revision, files });
  const path = join(folder, 'revisions', `${createHash('sha256').update(revision.id).digest('hex')}.gz`);
  const original = readFileSync(path);
  await fc.assert(
    fc.asyncProperty(damaged(original), async (bytes) => {
      writeFileSync(path, bytes);
      try {
        const kept = await store.kept(revision.id);
        expect(await Promise.all(kept?.files.map((file) => file.read()) ?? [])).toEqual(contents);
      } catch (error) {
        expect(error instanceof OmniError && error.code, String(error)).toBe('kept-revision-damaged');
      }
    }),
    { numRuns: Math.ceil(RUNS / 4) },
  );
});
