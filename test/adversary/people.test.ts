import { chmod, mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { clusterDocument } from '../../lab/fleet.ts';
import { type Host, Lab, projectRoot } from '../../lab/lab.ts';
import { must, run } from '../../lab/shell.ts';
import type { Endpoint, SessionId } from '../../src/reconcile/dataplane.ts';
import { createIdentity } from '../../src/session/identity.ts';
import { isUsedTwice, observeKeyUse, usedOnce } from '../../src/session/key-use.ts';

/*
 * What is no packet: commits, keys, sources and files, by the command line of a machine that has nothing but them.
 */
let lab: Lab;
let host: Host;
let folders = 0;

beforeAll(async () => {
  lab = await Lab.open({ name: 'omnippl', hosts: ['node'] });
  host = lab.host('node');
  await host.mustOmni(['init']);
});
afterAll(() => lab?.close());

const peer = (name: string, key: string, more = '') =>
  `apiVersion: omni.io/v1alpha1\nkind: Peer\nmetadata: { name: ${name} }\nspec: { clusters: [warehouse], publicKey: "${key}"${more} }\n`;
const keyOf = () => createIdentity().publicKey;

/** The Ed25519 key whose X25519 image is the same: bit 255 is the sign of x. */
function negative(key: string): string {
  const bytes = Buffer.from(key, 'base64');
  bytes[31] = (bytes[31] ?? 0) ^ 0x80;
  return bytes.toString('base64');
}

async function folderOf(files: Readonly<Record<string, string>>): Promise<string> {
  const folder = join(lab.folder, `manifests-${folders++}`);
  await mkdir(folder);
  for (const [name, text] of Object.entries(files)) await writeFile(join(folder, name), text);
  return folder;
}

describe('S17: a key and its negative', () => {
  it('S17: are one key, which no two peers have', async () => {
    const key = keyOf();
    const folder = await folderOf({
      'cluster.yaml': clusterDocument(),
      'a.yaml': peer('a', key),
      'b.yaml': peer('b', negative(key)),
    });
    const result = await host.omni(['validate', '-f', folder]);
    expect(result.status, result.stdout).not.toBe(0);
  });

  it('S17: and are both revoked where one is', async () => {
    const key = keyOf();
    const spec = `  revokedKeys: ["${key}"]\n`;
    const folder = await folderOf({ 'cluster.yaml': clusterDocument({ spec }), 'a.yaml': peer('a', negative(key)) });
    const result = await host.omni(['validate', '-f', folder]);
    expect(result.status, result.stdout).not.toBe(0);
  });
});

// With agents and sessions: test/netns/revocation.test.ts.
describe('S6: a third of a fleet is stolen', () => {
  it('S6: the commit that revokes them waits for no human', async () => {
    const keys = Array.from({ length: 20 }, keyOf);
    const files = Object.fromEntries(keys.map((key, at) => [`r${at}.yaml`, peer(`r${at}`, key)]));
    const folder = await folderOf({ ...files, 'cluster.yaml': clusterDocument() });
    const git = (...argv: string[]) =>
      must(['git', '-C', folder, '-c', 'user.name=o', '-c', 'user.email=o@example.com', ...argv]);
    await git('init', '-q', '-b', 'main');
    await git('add', '-A');
    await git('commit', '-qm', 'twenty robots');
    const stolen = keys.slice(0, 6);
    for (const at of stolen.keys()) await git('rm', '-q', `r${at}.yaml`);
    const revoked = stolen.map((key, at) => `"${at % 2 === 0 ? key : negative(key)}"`);
    await writeFile(
      join(folder, 'cluster.yaml'),
      clusterDocument({ spec: `  revokedKeys: [${revoked.join(', ')}]\n` }),
    );
    await git('add', '-A');
    await git('commit', '-qm', 'six were stolen');
    const result = await host.omni(['diff', '--repo', folder, '--rev', 'HEAD~1..HEAD']);
    expect(`${result.stdout}${result.stderr}`).toMatch(/r0/);
    expect(`${result.stdout}${result.stderr}`).not.toMatch(/PruneBlocked|would not take this over/);
  });
});

// With transports that are served: test/unit/agent/open-source.test.ts, test/netns/sources.test.ts.
describe('S14: sources that nobody authenticates', () => {
  it.each(['http://192.0.2.250/fleet.git', 'git://192.0.2.250/fleet.git', 'HTTP://192.0.2.250/fleet.git'])(
    'S14: %s is not followed without signatures or a word',
    async (url) => {
      const own = host.agentArguments().filter((argument) => argument !== '--insecure-source');
      const result = await host.omni(['agent', ...own, '--source', url], { timeoutMs: 15_000 });
      // Killed after its time: it followed the source.
      expect(result.status, result.stderr).not.toBe(128);
      expect(result.stderr).toMatch(/signature|verify|insecure/i);
    },
  );
});

// What runs in the sandbox: test/unit/source/sandbox/sandbox.test.ts.
describe('S15: what a bug in git is worth', () => {
  it('S15: the unit leaves no core, no capability beyond those it names, and scores 2.0 or better', async () => {
    const unit = join(projectRoot, 'deploy/omni-agent.service');
    expect(await readFile(unit, 'utf8')).toMatch(/^LimitCORE=0$/m);
    const result = await run(['systemd-analyze', 'security', '--offline=true', unit]);
    const score = Number(/exposure level for \S+: ([\d.]+)/.exec(result.stdout)?.[1]);
    expect(score, result.stderr).toBeLessThanOrEqual(2);
  });
});

// Thorough: test/unit/cli/doctor.test.ts, test/netns/refusals.test.ts.
describe('S20.3: configuration that names a command', () => {
  it('S20.3: is not read where others may write it', async () => {
    const folder = await folderOf({});
    const file = join(folder, 'agent.yaml');
    await writeFile(
      file,
      `apiVersion: omni.io/v1alpha1\nkind: AgentConfig\nspec: { source: { remotes: [{ url: "${folder}" }] } }\n`,
    );
    const refusal = async () => {
      const result = await host.omni(['agent', '--config', file], { timeoutMs: 5_000 });
      return result.stderr;
    };
    await chmod(file, 0o666);
    expect(await refusal()).toMatch(/may write|writable|written by/i);
  });
});

// With sessions and agents: test/netns/clones.test.ts.
describe('S16: one key, two machines', () => {
  const [first, second] = [
    { address: '192.0.2.31', port: 51820 },
    { address: '192.0.2.32', port: 51820 },
  ] as unknown as readonly [Endpoint, Endpoint];

  /** Sessions from `places` in turn; data comes on the one before, too, where somebody is still there to send it. */
  function used(places: readonly Endpoint[], stillThere: boolean): boolean {
    let state = usedOnce;
    for (const [at, from] of places.entries()) {
      const sinceMs = at * 20_000;
      const nowMs = sinceMs + 15_000;
      const older = places[at - 1];
      const previous = older && {
        localId: BigInt(at) as SessionId,
        from: older,
        rxMs: stillThere ? nowMs - 100 : sinceMs - 100,
      };
      const current = { localId: BigInt(at + 1) as SessionId, from, rxMs: nowMs - 100, sinceMs };
      state = observeKeyUse(state, { nowMs, current, previous: previous ? [previous] : [] }).state;
    }
    return isUsedTwice(state, places.length * 20_000);
  }

  it('S16: are told apart from a robot that roams', () => {
    const turns = Array.from({ length: 8 }, (_, at) => (at % 2 === 0 ? first : second));
    expect(used(turns, true)).toBe(true);
    expect(used(turns, false)).toBe(false);
  });
});
