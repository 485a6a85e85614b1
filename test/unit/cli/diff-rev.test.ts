import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { displayWidth } from '../../../src/cli/text.ts';
import { CLUSTER, keyOf, manifests, robot } from './fixture.ts';
import { type Outcome, omni, type RunOptions } from './run.ts';

/* `omni diff --rev` on a real repository: tags name the states of a fleet. */

const ROBOTS = Array.from({ length: 20 }, (_, index) => index + 1);
let repo: string;

function git(...argv: readonly string[]): void {
  const date = '2026-03-01T11:00:00Z';
  const env = { ...process.env, GIT_AUTHOR_DATE: date, GIT_COMMITTER_DATE: date, GIT_CONFIG_GLOBAL: '/dev/null' };
  const identity = ['-c', 'user.name=Ada', '-c', 'user.email=ada@example.com', '-c', 'commit.gpgsign=false'];
  execFileSync('git', ['-C', repo, ...identity, ...argv], { env, stdio: 'pipe' });
}

function commit(tag: string, texts: Readonly<Record<string, string>>): void {
  rmSync(join(repo, 'fleet'), { recursive: true, force: true });
  mkdirSync(join(repo, 'fleet'));
  for (const [path, text] of Object.entries(texts)) writeFileSync(join(repo, 'fleet', path), text);
  git('add', '--all');
  git('commit', '--quiet', '--allow-empty', '-m', tag);
  git('tag', tag);
}

beforeAll(() => {
  repo = mkdtempSync(join(tmpdir(), 'omni-cli-diff-'));
  execFileSync('git', ['init', '--quiet', '--initial-branch=main', repo]);
  git('commit', '--quiet', '--allow-empty', '-m', 'start');
  git('tag', 'start');
  commit('three', manifests([1, 2, 3]));
  commit('four', manifests([1, 2, 3, 4]));
  commit('same', manifests([1, 2, 3, 4]));
  commit('moved', { ...manifests([1, 3, 4]), 'robot-3.yaml': robot(3, '203.0.113.99:51820') });
  commit('relabelled', { ...manifests([1, 2, 3]), 'robot-1.yaml': robot(1).replace('munich', 'hamburg') });
  commit('broken', { ...manifests([1, 2]), 'robot-2.yaml': robot(2).replace('10.77.0.2', '10.99.0.2') });
  const withKeys = (keys: string) => ({
    ...manifests([1, 2, 3]),
    'robot-2.yaml': robot(2).replace(/publicKey: .*/, `publicKey: ${keys}`),
  });
  commit('both-keys', withKeys(`${keyOf(2)}\n  nextPublicKey: ${keyOf(12)}`));
  commit('swapped-keys', withKeys(`${keyOf(12)}\n  nextPublicKey: ${keyOf(2)}`));
  commit('next-key', withKeys(keyOf(12)));
  const revoking = (...numbers: readonly number[]) =>
    `${CLUSTER}  revokedKeys: [${numbers.map((number) => keyOf(number)).join(', ')}]\n`;
  commit('rekeyed', { ...withKeys(keyOf(12)), 'warehouse.yaml': revoking(2) });
  commit('many', manifests(ROBOTS));
  commit('stolen', { ...manifests(ROBOTS.slice(7)), 'warehouse.yaml': revoking(...ROBOTS.slice(0, 7)) });
  const trusting = (cluster: string, roles: string) => ({
    ...manifests([1, 2, 3]),
    'warehouse.yaml': `${CLUSTER}${cluster}`,
    'robot-2.yaml': robot(2).replace(/publicKey: .*/, (line) => `${line}\n  roles: [${roles}]`),
  });
  commit('trusting', trusting('  foreignSources: allow\n  etherTypes: ["0x8892"]\n', 'router'));
  commit('typo', { ...manifests([1, 2, 3]), 'warehouse.yaml': revoking(19) });
  commit('renamed', { ...manifests(ROBOTS), 'warehouse.yaml': `${CLUSTER}  interface: omni7\n` });
}, 60_000);
afterAll(() => rmSync(repo, { recursive: true }));

/** Without commit ids, which depend on git's version. */
async function diff(range: string, argv: readonly string[] = [], options: RunOptions = {}): Promise<Outcome> {
  const outcome = await omni(['diff', '--rev', range, ...argv], { cwd: repo, ...options });
  return { ...outcome, stdout: outcome.stdout.replace(/sha1:[0-9a-f]{8,40}/g, 'sha1:ID') };
}

describe('diff --rev', () => {
  it.each([
    ['a robot comes', 'three..four', 'added'],
    ['a robot goes and another moves', 'four..moved', 'moved'],
    ['twenty robots get another interface', 'many..renamed', 'renamed'],
    ['seventeen robots come', 'three..many', 'many'],
    ['most of a fleet goes', 'many..four', 'gone'],
    ['a robot may have a second key', 'three..both-keys', 'both-keys'],
    ['a robot changes its key', 'both-keys..swapped-keys', 'swapped-keys'],
    ['a robot gives up its old key', 'swapped-keys..next-key', 'next-key'],
    ['the key of a robot is replaced outright', 'three..next-key', 'replaced-key'],
    ['the key of a robot leaked', 'three..rekeyed', 'leaked-key'],
    ['a third of a fleet is revoked', 'many..stolen', 'stolen'],
  ])('%s', async (_what, range, name) => {
    const outcome = await diff(range);
    expect(outcome).toMatchObject({ code: 1, stderr: '' });
    await expect(outcome.stdout).toMatchFileSnapshot(`golden/diff-rev-${name}.txt`);
  });

  it.each([
    ['a robot goes and another moves', 'four..moved', 'moved'],
    ['twenty robots get another interface', 'many..renamed', 'renamed'],
    ['most of a fleet goes', 'many..four', 'gone'],
    ['nothing differs', 'four..same', 'same'],
  ])('%s, as a comment', async (_what, range, name) => {
    const outcome = await diff(range, ['-o', 'markdown']);
    expect(outcome).toMatchObject({ code: name === 'same' ? 0 : 1, stderr: '' });
    await expect(outcome.stdout).toMatchFileSnapshot(`golden/diff-rev-${name}.md`);
  });

  it('begins with a commit that has no folder of manifests yet; a folder that neither has is an error', async () => {
    const first = await diff('start..three', ['--path', 'fleet']);
    expect(first).toMatchObject({ code: 1, stderr: '' });
    expect(first.stdout).toMatch(/\+ cluster\/warehouse +fleet\/warehouse\.yaml:1:1/);
    expect(first.stdout).toMatch(/7 added, 0 changed, 0 removed/);
    expect(await diff('start..three', ['--path', 'flet'])).toMatchObject({ code: 3, stdout: '' });
  });

  it('is no comment without two commits', async () => {
    const outcome = await omni(['diff', '-o', 'markdown'], { cwd: repo });
    expect(outcome).toMatchObject({ code: 2, stdout: '' });
    expect(outcome.stderr).toMatch(/--rev/);
  });

  it('every operation of nodes that do the same to different rows: what they share once', async () => {
    const { stdout } = await diff('many..renamed', ['-o', 'wide']);
    expect(stdout.match(/each does this, but for what is about itself:/g)).toHaveLength(1);
    expect(stdout.match(/talk to robot-7 /g)).toHaveLength(1);
    expect(stdout.match(/give omni7 the address 10\.77\.0\.7 /g)).toHaveLength(1);
  });

  it('one node in full', async () => {
    const outcome = await diff('many..renamed', ['--node', 'robot-7']);
    expect(outcome.code).toBe(1);
    expect(outcome.stdout.match(/^ {2}\+ talk to robot-\d+/gm)).toHaveLength(ROBOTS.length - 1);
    expect(outcome.stdout).toMatch(/sessions cut: robot-1, robot-2, .*robot-20\n/);
    expect(outcome.stdout).not.toContain('more peers');
  });

  it('nodes by their labels', async () => {
    const { nodes } = JSON.parse((await diff('three..four', ['-l', 'site=berlin', '-o', 'json'])).stdout);
    expect(nodes.map((node: { node: string }) => node.node)).toEqual(['robot-2', 'robot-4']);
  });

  it('a label alone: a difference that no node has to act on', async () => {
    const outcome = await diff('three..relabelled');
    expect(outcome.code).toBe(1);
    expect(outcome.stdout).toContain('metadata.labels.site munich → hamburg');
    expect(outcome.stdout).toContain('0 operations on 0 nodes');
  });

  it('nothing differs: exit 0', async () => {
    expect(await diff('four..same')).toEqual({
      code: 0,
      stdout: 'no difference between four@sha1:ID and same@sha1:ID\n',
      stderr: '',
    });
  });

  it('one commit alone: against what lies in the checkout, committed or not', async () => {
    expect(await diff('renamed')).toMatchObject({
      code: 0,
      stdout: 'no difference between renamed@sha1:ID and work tree\n',
    });
    const path = join(repo, 'fleet', 'robot-99.yaml');
    writeFileSync(path, robot(99));
    try {
      const outcome = await diff('renamed');
      expect(outcome.code).toBe(1);
      expect(outcome.stdout).toContain('2 manifests changed, renamed@sha1:ID → work tree\n');
      expect(outcome.stdout).toContain('+ peer/robot-99  fleet/robot-99.yaml:1:1');
    } finally {
      rmSync(path);
    }
    expect((await diff('renamed..')).code).toBe(0);
  });

  it('as JSON: manifests with their places, operations per node, sessions cut', async () => {
    const report = JSON.parse((await diff('four..moved', ['-o', 'json'])).stdout);
    expect(report).toMatchObject({
      apiVersion: 'omni.io/v1alpha1',
      kind: 'Diff',
      summary: { changed: true, added: 0, changedManifests: 1, removed: 2, nodes: 3 },
    });
    expect(report.manifests).toContainEqual(
      expect.objectContaining({
        op: 'changed',
        object: 'peer/robot-3',
        position: { file: 'fleet/robot-3.yaml', line: 1, column: 1 },
      }),
    );
    expect(report.common).toMatchObject([
      { id: 0, fromCluster: 'warehouse', toCluster: 'warehouse', sessionsCut: { count: 1, names: ['robot-2'] } },
    ]);
    const [{ changes }] = report.common;
    expect(changes.map(({ op }: { op: string }) => op)).toEqual(['delete', 'update', 'delete', 'delete']);
    const one = report.nodes.find((node: { node: string }) => node.node === 'robot-1');
    expect(one).toEqual({
      node: 'robot-1',
      common: 0,
      except: [],
      changes: [],
      sessionsCut: { count: 1, every: false },
    });
    const moved = report.nodes.find((node: { node: string }) => node.node === 'robot-3');
    expect(moved).toMatchObject({ common: 0, except: [`peer/omni0/${keyOf(3)}`], changes: [] });
    expect(report).toMatchObject({
      pathLosses: [{ nodes: ['robot-1', 'robot-3', 'robot-4'], peers: ['robot-2'], isolated: false }],
      refusals: [],
      addresses: [{ cluster: 'warehouse', address: '10.77.0.2', from: 'robot-2' }],
      keys: [],
    });
  });

  it('as JSON, one node: its whole list', async () => {
    const report = JSON.parse((await diff('four..moved', ['-o', 'json', '--node', 'robot-1'])).stdout);
    expect(report.common).toEqual([]);
    const [one] = report.nodes;
    expect(one.changes).toHaveLength(4);
    expect(one.changes).toContainEqual(expect.objectContaining({ op: 'update', fields: ['endpoint'] }));
    expect(one.sessionsCut).toEqual({ count: 1, every: false, names: ['robot-2'] });
  });

  it('works from a folder below, with --path, and fits a narrow terminal', async () => {
    const below = await diff('three..four', ['--path', 'fleet'], { cwd: join(repo, 'fleet') });
    expect(below.code).toBe(1);
    expect(below.stdout).toContain('fleet/robot-4.yaml:1:1');
    const narrow = await diff('four..moved', ['--color', 'never'], { columns: 80 });
    for (const line of narrow.stdout.split('\n')) expect(displayWidth(line), line).toBeLessThanOrEqual(80);
  });

  it.each([
    ['an unknown revision', 'nowhere..four', [], 3, /nowhere/],
    ['an option in place of a revision', '--output=x..four', [], 3, /error: /],
    ['an unknown folder', 'three..four', ['--path', 'elsewhere'], 3, /elsewhere/],
    ['an unknown node', 'three..four', ['--node', 'robot-99'], 2, /robot-99/],
    ['no repository', 'three..four', ['--repo', '/'], 3, /not a git repository/],
    ['a revision with errors', 'three..broken', [], 2, /^fleet\/robot-2\.yaml:12:38: error: 10\.99\.0\.2/],
  ])('%s', async (_what, range, argv, code, message) => {
    const outcome = await diff(range, argv);
    expect(outcome).toMatchObject({ code, stdout: '' });
    expect(outcome.stderr).toMatch(message);
    expect(outcome.stderr).toMatch(/\n {2,4}fix: /);
  });
});

describe('what nodes believe from then on', () => {
  it('names foreign sources, EtherTypes and roles that a commit lets in', async () => {
    const { stdout } = await diff('three..trusting');
    expect(stdout).toContain('members of cluster/warehouse may send from addresses outside its subnets');
    expect(stdout).toContain('members of cluster/warehouse may send 0x8892');
    expect(stdout).toContain('peer/robot-2 becomes router');
    expect((await diff('trusting..three')).stdout).not.toContain('⚠ members');
  });

  it('doubts a revoked key that no Peer had', async () => {
    expect((await diff('three..typo')).stdout).toContain('no Peer had it: nothing is cut by it');
  });
});
