import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { readIdentity } from '../../../src/session/identity.ts';
import { CLUSTER } from './fixture.ts';
import { omni } from './run.ts';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'omni-cli-init-'));
});
afterEach(() => rm(folder, { recursive: true }));

const documents = ['--name', 'robot-17', '--cluster', 'warehouse', '--address'];

describe('init', () => {
  it('makes identity.key, mode 0600, below the state folder, and prints the public key alone', async () => {
    const outcome = await omni(['init', '--state-dir', 'new/state'], { cwd: folder });
    const path = join(folder, 'new/state/identity.key');
    expect(outcome.code).toBe(0);
    expect(outcome.stdout).toBe(`${readIdentity(path).publicKey}\n`);
    expect((await stat(path)).mode & 0o777).toBe(0o600);
    expect(outcome.stderr).toContain(`made ${path}`);
    expect(outcome.stderr).not.toContain((await readFile(path, 'utf8')).trim());
  });

  it('never overwrites a key, and says how to print it again', async () => {
    const argv = ['init', '--identity', join(folder, 'a.key')];
    const first = await omni(argv);
    const before = await readFile(join(folder, 'a.key'), 'utf8');
    const second = await omni(argv);
    expect(second).toMatchObject({ code: 2, stdout: '' });
    expect(second.stderr).toContain('omni init --existing');
    expect(await readFile(join(folder, 'a.key'), 'utf8')).toBe(before);
    expect((await omni([...argv, '--existing'])).stdout).toBe(first.stdout);
  });

  it('prints documents that validate beside the cluster', async () => {
    const argv = [...documents, '10.77.0.17,10.77.0.18', '--address', '10.77.1.1', '--keepalive', '25s'];
    const more = ['--endpoint', '203.0.113.7:51820,[2001:db8::7]:51820', '--labels', 'site=munich,role=amr'];
    const outcome = await omni(['init', '--identity', 'robot.key', ...argv, ...more], { cwd: folder });
    expect(outcome.code, outcome.stderr).toBe(0);
    const { publicKey } = readIdentity(join(folder, 'robot.key'));
    await expect(outcome.stdout.replace(publicKey, 'PUBLIC_KEY')).toMatchFileSnapshot('golden/init.yaml');
    await writeFile(join(folder, 'robot-17.yaml'), outcome.stdout);
    await writeFile(join(folder, 'warehouse.yaml'), CLUSTER);
    expect(await omni(['validate', '-f', folder, '-o', 'name'])).toMatchObject({
      code: 0,
      stdout: 'cluster/warehouse\npeer/robot-17\nvip/robot-17\nvip/robot-17-2\nvip/robot-17-3\n',
    });
  });

  it.each([
    ['a name', ['--name', 'Robot 17', '--cluster', 'w', '--address', '10.0.0.1'], /Robot 17/],
    ['an address', [...documents, '10.77.0.300'], /10\.77\.0\.300/],
    ['an endpoint without a port', [...documents, '10.77.0.1', '--endpoint', 'robot.lan'], /has no port/],
    ['a keepalive without a unit', [...documents, '10.77.0.1', '--keepalive', '25'], /no unit/],
    ['a label without a value', [...documents, '10.77.0.1', '--labels', 'site'], /label 'site'/],
    ['a name alone', ['--name', 'robot-17'], /need --cluster and --address/],
    ['a missing key', ['--existing'], /does not exist/],
  ])('refuses %s before any key is made', async (_what, argv, message) => {
    const outcome = await omni(['init', '--identity', join(folder, 'x.key'), ...argv]);
    expect(outcome).toMatchObject({ code: 2, stdout: '' });
    expect(outcome.stderr).toMatch(message);
    expect(outcome.stderr).toMatch(/\n {2}fix: /);
    await expect(stat(join(folder, 'x.key'))).rejects.toMatchObject({ code: 'ENOENT' });
  });
});
