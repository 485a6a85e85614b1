import { chmod, lstat, mkdir, mkdtemp, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { createFleetReader, filesFromPaths } from '../../../../src/manifest/load.ts';
import type { Cluster } from '../../../../src/manifest/model.ts';
import { countRecipients } from '../../../../src/secrets/census.ts';
import { openPsk } from '../../../../src/secrets/open.ts';
import { createIdentity, type Identity, writeIdentity } from '../../../../src/session/identity.ts';
import { omni } from '../run.ts';

const CLUSTER = `# Munich
apiVersion: omni.io/v1alpha1
kind: Cluster
metadata: { name: warehouse }
spec:
  subnets: [10.77.0.0/16]   # VIPs
`;

let folder: string;
let robots: Identity[];
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'omni-cli-seal-'));
  robots = [];
  await mkdir(join(folder, 'fleet'));
  await writeFile(join(folder, 'fleet/warehouse.yaml'), CLUSTER);
  for (const name of ['robot-1', 'robot-2', 'robot-3']) await join1(name);
});
afterEach(() => rm(folder, { recursive: true }));

/** A new member, and its identity in a file. */
async function join1(name: string): Promise<Identity> {
  const identity = createIdentity();
  robots.push(identity);
  writeIdentity(join(folder, `${name}.key`), identity);
  const spec = `{ clusters: [warehouse], publicKey: ${identity.publicKey} }`;
  const text = `apiVersion: omni.io/v1alpha1\nkind: Peer\nmetadata: { name: ${name} }\nspec: ${spec}\n`;
  await writeFile(join(folder, `fleet/${name}.yaml`), text);
  return identity;
}

const run = (argv: readonly string[], stdin = '') => omni([...argv, '-f', 'fleet'], { cwd: folder, stdin });
const file = () => readFile(join(folder, 'fleet/warehouse.yaml'), 'utf8');

async function cluster(): Promise<Cluster> {
  const files = await filesFromPaths([join(folder, 'fleet')], { stdin: (async function* () {})() });
  const read = await createFleetReader().read(files);
  const found = read.ok ? read.fleet.clusters.get('warehouse') : undefined;
  if (found === undefined) throw new Error(JSON.stringify(read));
  return found;
}

/** What every member finds in a field; they must agree. */
async function keyIn(field: 'psk' | 'nextPsk', members = robots): Promise<string> {
  const sealed = (await cluster())[field] ?? '';
  const keys = await Promise.all(
    members.map(({ keyPair }) => openPsk(sealed, [keyPair], { cluster: 'warehouse', field })),
  );
  const texts = new Set(keys.map((key) => Buffer.from(key).toString('base64')));
  expect(texts.size).toBe(1);
  return [...texts][0] ?? '';
}

/** The lines of a printed fragment under the file's own spec, as a person would paste them. */
function pasted(fragment: string): string {
  expect(fragment.startsWith('spec:\n')).toBe(true);
  return CLUSTER + fragment.slice('spec:\n'.length);
}

const ZEROS = Buffer.alloc(32).toString('base64');
const KEY = Buffer.alloc(32, 7).toString('base64');

describe('omni seal', () => {
  test('prints a key that all members can open, and changes nothing', async () => {
    const { code, stdout, stderr } = await run(['seal']);
    expect({ code, text: await file() }).toEqual({ code: 0, text: CLUSTER });
    expect(stderr).toContain('sealed a new key for 3 keys of robot-1, robot-2, robot-3');
    await writeFile(join(folder, 'fleet/warehouse.yaml'), pasted(stdout));
    const key = await keyIn('psk');
    expect(key).not.toBe(ZEROS);
    expect(stdout + stderr).not.toContain(key);
  });

  test('--write puts it into the file, beside what people wrote there', async () => {
    await chmod(join(folder, 'fleet/warehouse.yaml'), 0o640);
    const { code, stdout, stderr } = await run(['seal', '--cluster', 'warehouse', '--write']);
    expect({ code, stdout }).toEqual({ code: 0, stdout: 'cluster/warehouse configured\n' });
    expect(stderr).toContain('wrote fleet/warehouse.yaml');
    expect((await file()).startsWith(`${CLUSTER}  psk: |\n    -----BEGIN AGE ENCRYPTED FILE-----\n`)).toBe(true);
    expect((await stat(join(folder, 'fleet/warehouse.yaml'))).mode & 0o777).toBe(0o640);
    await keyIn('psk');
    expect(await run(['validate'])).toMatchObject({ code: 0, stdout: '4 objects valid\n', stderr: '' });
  });

  test('makes another key each time', async () => {
    await run(['seal', '--write']);
    const first = await keyIn('psk');
    await writeFile(join(folder, 'fleet/warehouse.yaml'), CLUSTER);
    await run(['seal', '--write']);
    expect(await keyIn('psk')).not.toBe(first);
  });

  test.each(['file', 'stdin'])('takes the key of a %s', async (from) => {
    await writeFile(join(folder, 'cluster.psk'), `${KEY}\n`, { mode: 0o600 });
    const path = from === 'file' ? 'cluster.psk' : '-';
    const { code, stdout, stderr } = await run(['seal', '--psk-file', path, '--write'], `${KEY}\n`);
    expect(code).toBe(0);
    expect(stdout + stderr).not.toContain(KEY.slice(0, 8));
    expect(await keyIn('psk')).toBe(KEY);
  });

  test.each([
    ['a file that others may read', 'open.psk', /mode 0644/],
    ['no such file', 'none.psk', /does not exist/],
    ['stdin that holds no key', '-', /stdin holds no key/],
  ])('refuses %s', async (_, path, message) => {
    await writeFile(join(folder, 'open.psk'), `${KEY}\n`, { mode: 0o644 });
    const outcome = await run(['seal', '--psk-file', path], 'SECRETSECRET');
    expect(outcome).toMatchObject({ code: 2, stdout: '', stderr: expect.stringMatching(message) });
    expect(outcome.stderr).not.toMatch(/SECRET|Bwc/);
  });

  test.each([
    ['an unknown cluster', ['--cluster', 'office'], /no cluster\/office .*\n.*warehouse/],
    ['a second first key', [], /has a key already/, 'psk'],
    ['a swap without a second key', ['--rotate', 'swap'], /nothing to swap/, 'psk'],
    ['a drop without a second key', ['--rotate', 'drop'], /nothing to drop/, 'psk'],
    ['a third key', ['--rotate', 'add'], /has a second key already/, 'nextPsk'],
    ['a key for a step that takes none', ['--rotate', 'drop', '--psk-file', '-'], /takes no key/, 'nextPsk'],
    ['two steps at once', ['--next', '--rotate', 'drop'], /different steps/],
    ['recipients and a key', ['--recipients', '--write'], /seals nothing/],
  ] as const)('refuses %s, and changes nothing', async (_, argv, message, has?: 'psk' | 'nextPsk') => {
    if (has !== undefined) await run(['seal', '--write', ...(has === 'nextPsk' ? ['--next'] : [])]);
    const before = await file();
    expect(await run(['seal', ...argv, '--write'], KEY)).toMatchObject({
      code: 2,
      stdout: '',
      stderr: expect.stringMatching(message),
    });
    expect(await file()).toBe(before);
  });

  test('refuses a fleet with errors, and a file that it cannot edit', async () => {
    await writeFile(join(folder, 'fleet/broken.yaml'), 'kind: Peer\n');
    expect(await run(['seal', '--write'])).toMatchObject({ code: 2, stdout: '' });
    await rm(join(folder, 'fleet/broken.yaml'));
    const text = await file();
    const piped = await omni(['seal', '--write', '-f', '-'], {
      cwd: folder,
      stdin: `${text}---\n${await readFile(join(folder, 'fleet/robot-1.yaml'), 'utf8')}`,
    });
    expect(piped).toMatchObject({ code: 2, stderr: expect.stringContaining('Leave --write away') });
  });

  test('follows a link to the file, and leaves it one', async () => {
    await writeFile(join(folder, 'elsewhere.yaml'), CLUSTER);
    await rm(join(folder, 'fleet/warehouse.yaml'));
    await symlink('../elsewhere.yaml', join(folder, 'fleet/warehouse.yaml'));
    expect((await run(['seal', '--write'])).code).toBe(0);
    expect((await lstat(join(folder, 'fleet/warehouse.yaml'))).isSymbolicLink()).toBe(true);
    await keyIn('psk');
  });

  test('--recipients prints what age -R reads', async () => {
    const { code, stdout } = await run(['seal', '--recipients']);
    expect(code).toBe(0);
    expect(stdout.replace(/age1[02-9ac-hj-np-z]{58}/g, 'KEY')).toBe(
      '# peer/robot-1\nKEY\n# peer/robot-2\nKEY\n# peer/robot-3\nKEY\n',
    );
    const own = await omni(['init', '--existing', '--identity', 'robot-2.key', '--age', 'recipient'], { cwd: folder });
    expect(stdout.split('\n')[3]).toBe(own.stdout.trim());
  });
});

describe('a rotation', () => {
  test('goes from one key to another in three commits, and says where it is', async () => {
    await run(['seal', '--write']);
    const old = await keyIn('psk');
    const one = await run(['seal', '--rotate', 'add', '--write']);
    expect(one.stderr).toMatch(/step 1 of 3.*\n.*omni seal --rotate swap/);
    const fresh = await keyIn('nextPsk');
    expect([await keyIn('psk'), fresh === old]).toEqual([old, false]);
    const two = await run(['seal', '--rotate', 'swap', '--write']);
    expect(two.stderr).toMatch(/step 2 of 3.*\n.*omni seal --rotate drop/);
    expect([await keyIn('psk'), await keyIn('nextPsk')]).toEqual([fresh, old]);
    const three = await run(['seal', '--rotate', 'drop', '--write']);
    expect(three.stderr).toMatch(/step 3 of 3/);
    expect(await keyIn('psk')).toBe(fresh);
    expect((await cluster()).nextPsk).toBeUndefined();
    expect((await file()).startsWith(CLUSTER)).toBe(true);
  });

  test.each([
    ['none', []],
    ['that of --psk-file', ['--psk-file', 'cluster.psk']],
  ])('leads a cluster whose key is %s to its first sealed one', async (name, flags) => {
    await writeFile(join(folder, 'cluster.psk'), `${KEY}\n`, { mode: 0o600 });
    await run(['seal', '--next', '--write']);
    expect((await cluster()).psk).toBeUndefined();
    const fresh = await keyIn('nextPsk');
    await run(['seal', '--rotate', 'swap', ...flags, '--write']);
    expect([await keyIn('psk'), await keyIn('nextPsk')]).toEqual([fresh, name === 'none' ? ZEROS : KEY]);
    await run(['seal', '--rotate', 'drop', '--write']);
    expect(await keyIn('psk')).toBe(fresh);
  });

  test('prints its steps without --write', async () => {
    await run(['seal', '--write']);
    await run(['seal', '--next', '--write']);
    const before = await cluster();
    const swap = await run(['seal', '--rotate', 'swap']);
    await writeFile(join(folder, 'fleet/warehouse.yaml'), pasted(swap.stdout));
    expect(await cluster()).toMatchObject({ psk: before.nextPsk, nextPsk: before.psk });
    expect((await run(['seal', '--rotate', 'drop'])).stdout).toBe('spec:\n  # nextPsk goes\n');
  });
});

describe('omni reseal', () => {
  beforeEach(async () => {
    await run(['seal', '--write']);
    await run(['seal', '--next', '--write']);
  });

  test('seals the same keys for the members that there are now, with a node’s identity', async () => {
    const keys = [await keyIn('psk'), await keyIn('nextPsk')];
    await join1('robot-4');
    expect((await run(['validate'])).stderr).toMatch(/warning: spec\.psk .* sealed for 3 keys, .* 4 keys/);
    const { code, stdout, stderr } = await run(['reseal', '--identity', 'robot-1.key', '--write']);
    expect({ code, stdout }).toEqual({ code: 0, stdout: 'cluster/warehouse configured\n' });
    expect(stderr).toContain(
      'spec.psk: sealed for 4 keys of robot-1, robot-2, robot-3, robot-4; it was for 3 keys before',
    );
    expect([await keyIn('psk'), await keyIn('nextPsk')]).toEqual(keys);
    for (const key of keys) expect(stdout + stderr).not.toContain(key);
    expect((await run(['validate'])).stderr).toBe('');
  });

  test('leaves out who left', async () => {
    await rm(join(folder, 'fleet/robot-3.yaml'));
    await run(['reseal', '--identity', 'robot-1.key', '--write']);
    await keyIn('psk', robots.slice(0, 2));
    await expect(keyIn('psk', robots.slice(2))).rejects.toMatchObject({ code: 'psk-not-sealed-for-this-node' });
    expect(countRecipients((await cluster()).psk ?? '')).toBe(2);
  });

  test('takes the key of spec.psk from a file where no identity is at hand', async () => {
    await writeFile(join(folder, 'cluster.psk'), `${KEY}\n`, { mode: 0o600 });
    const next = (await cluster()).nextPsk;
    const { code, stderr } = await run(['reseal', '--psk-file', 'cluster.psk', '--write']);
    expect({ code, stderr }).toMatchObject({ code: 0, stderr: expect.stringContaining('spec.nextPsk stays as it is') });
    expect(await keyIn('psk')).toBe(KEY);
    expect((await cluster()).nextPsk).toBe(next);
  });

  test('a stranger is told that it cannot, and what to do', async () => {
    writeIdentity(join(folder, 'stranger.key'), createIdentity());
    const before = await file();
    const outcome = await run(['reseal', '--identity', 'stranger.key', '--write']);
    expect(outcome).toMatchObject({
      code: 1,
      stdout: '',
      stderr: expect.stringMatching(/not sealed for this node's key.*\n.*omni reseal/),
    });
    expect(await file()).toBe(before);
  });

  test('a cluster without a sealed key has nothing to seal again', async () => {
    await writeFile(join(folder, 'fleet/warehouse.yaml'), CLUSTER);
    expect(await run(['reseal', '--identity', 'robot-1.key'])).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('omni seal'),
    });
  });
});

describe('omni validate', () => {
  test('warns of a key that is not for just the members, and still says valid', async () => {
    await run(['seal', '--write']);
    await join1('robot-4');
    const outcome = await run(['validate']);
    expect(outcome).toMatchObject({ code: 0, stdout: '5 objects valid, 1 warning\n' });
    expect(outcome.stderr).toMatch(
      /^fleet\/warehouse\.yaml:2:1: warning: .*\[secret-not-sealed-for-all\]\n.*omni reseal/,
    );
    const json = await run(['validate', '-o', 'json']);
    expect(JSON.parse(json.stdout)).toMatchObject({
      valid: true,
      diagnostics: [{ severity: 'warning', rule: 'secret-not-sealed-for-all' }],
    });
  });
});

describe('omni init --age', () => {
  test('prints the secret form only where it is asked for', async () => {
    const argv = ['init', '--existing', '--identity', 'robot-1.key'];
    const [plain, recipient, identity] = [
      await omni(argv, { cwd: folder }),
      await omni([...argv, '--age', 'recipient'], { cwd: folder }),
      await omni([...argv, '--age', 'identity'], { cwd: folder }),
    ];
    expect(recipient).toMatchObject({ code: 0, stdout: expect.stringMatching(/^age1\w{58}\n$/), stderr: '' });
    expect(identity).toMatchObject({
      code: 0,
      stdout: expect.stringMatching(/^AGE-SECRET-KEY-1\w{58}\n$/),
      stderr: '',
    });
    expect(plain.stdout + recipient.stdout).not.toContain('SECRET');
    const documents = await omni(
      [...argv, '--age', 'recipient', '--name', 'a', '--cluster', 'b', '--address', '10.0.0.1'],
      {
        cwd: folder,
      },
    );
    expect(documents).toMatchObject({ code: 2, stdout: '' });
  });
});
