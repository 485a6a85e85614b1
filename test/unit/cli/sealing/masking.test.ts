import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { objectStatuses } from '../../../../src/agent/objects.ts';
import { createFleetReader, filesFromTexts } from '../../../../src/manifest/load.ts';
import { sealPsk } from '../../../../src/secrets/seal.ts';
import { freshPsk, nodes } from '../../secrets/age.ts';
import { CLUSTER, keyOf, manifests } from '../fixture.ts';
import { omni } from '../run.ts';

/* Keys, sealed or by mistake in plain text, in what people and logs get to see. */

const block = (field: string, sealed: string) => `  ${field}: |\n${sealed.trimEnd().replace(/^/gm, '    ')}\n`;
const shown = /BEGIN AGE|YWdlLWVuY3J5cHRpb24/; // the armor, and how every age file begins inside it

let repo: string;
beforeAll(async () => {
  repo = mkdtempSync(join(tmpdir(), 'omni-cli-masking-'));
  const members = nodes(3).map(({ member }) => member);
  const [old, next] = [await sealPsk(freshPsk(), members), await sealPsk(freshPsk(), members)];
  git('init', '-q', '-b', 'main');
  mkdirSync(join(repo, 'fleet'));
  for (const [path, text] of Object.entries(manifests([1, 2, 3]))) writeFileSync(join(repo, 'fleet', path), text);
  commit('none', CLUSTER);
  commit('first', CLUSTER + block('psk', old));
  commit('added', CLUSTER + block('psk', old) + block('nextPsk', next));
  commit('swapped', CLUSTER + block('psk', next) + block('nextPsk', old));
  commit('dropped', CLUSTER + block('psk', next));
});
afterAll(() => rmSync(repo, { recursive: true, force: true }));

function git(...argv: string[]): void {
  const settings = ['-c', 'user.name=test', '-c', 'user.email=test@example.org', '-c', 'commit.gpgsign=false'];
  const { status, stderr } = spawnSync('git', [...settings, ...argv], { cwd: repo, encoding: 'utf8' });
  if (status !== 0) throw new Error(stderr);
}
function commit(tag: string, cluster: string): void {
  writeFileSync(join(repo, 'fleet/warehouse.yaml'), cluster);
  git('add', '.');
  git('commit', '-q', '-m', tag);
  git('tag', tag);
}

describe('omni diff', () => {
  const diff = (range: string, ...argv: string[]) =>
    omni(['diff', '--rev', range, '--path', 'fleet', ...argv], { cwd: repo });

  test.each([
    ['none..first', [/psk \(sealed\) set/]],
    ['first..added', [/nextPsk \(sealed\) set/]],
    ['added..swapped', [/psk \(sealed\) changed/, /nextPsk \(sealed\) changed/]],
    ['swapped..dropped', [/nextPsk \(sealed\) taken out/]],
  ])('%s says that a key changed, and nothing of it', async (range, words) => {
    for (const format of ['table', 'wide', 'json', 'yaml']) {
      const { code, stdout, stderr } = await diff(range, '-o', format);
      expect(code, stderr).toBe(1);
      expect(stdout + stderr).not.toMatch(shown);
      if (format === 'table') for (const word of words) expect(stdout).toMatch(word);
    }
  });
});

describe('a key in plain text', () => {
  const key = Buffer.from(freshPsk()).toString('base64');
  const tail = key.slice(4, 20);

  test.each([
    ['where a sealed one belongs', `${CLUSTER}  psk: ${key}\n`],
    ['in a list', `${CLUSTER}  psk: [${key}]\n`],
    [
      'between the lines of an armor',
      CLUSTER + block('psk', `-----BEGIN AGE ENCRYPTED FILE-----\n${key}!\n-----END AGE ENCRYPTED FILE-----`),
    ],
    ['under a name that is none', `${CLUSTER}  preSharedKey: ${key}\n`],
  ])('%s is refused and never repeated', async (_, text) => {
    for (const format of ['table', 'json']) {
      const { code, stdout, stderr } = await omni(['validate', '-f', '-', '-o', format], { stdin: text });
      expect(code).toBe(2);
      expect(stdout + stderr).toMatch(/psk/i);
      expect(stdout + stderr).not.toContain(tail);
    }
  });
});

test('what the agent says of a cluster is how many keys its key is sealed for', async () => {
  const psk = await sealPsk(
    freshPsk(),
    nodes(3).map(({ member }) => member),
  );
  const read = await createFleetReader().read(
    filesFromTexts([{ path: 'warehouse.yaml', text: CLUSTER + block('psk', psk) }]),
  );
  if (!read.ok) throw new Error('an invalid fleet');
  const report = { object: 'cluster/warehouse', revision: 'r' } as never;
  const none = {
    currentSessions: new Map(),
    endpoints: new Map(),
    contacts: new Map(),
    refused: new Map(),
    node: { publicKey: keyOf(1) },
  };
  const statuses = objectStatuses({ reports: [report], fleetAt: () => read.fleet, ...none });
  expect(statuses[0]?.detail.psk).toBe('sealed for 3 keys');
  expect(JSON.stringify(statuses)).not.toMatch(shown);
});
