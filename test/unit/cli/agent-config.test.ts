import { chmodSync, chownSync, existsSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { AgentConfig } from '../../../src/agent/config.ts';
import { agentConfig } from '../../../src/cli/agent-config.ts';
import { readConfigFile } from '../../../src/cli/config-file.ts';
import type { Io } from '../../../src/cli/io.ts';
import { applyEnvironment } from '../../../src/cli/options.ts';
import { agentCommand } from '../../../src/cli/verbs/agent.ts';
import { NOW_MS, neverInterrupted, omni } from './run.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'omni-cli-config-'));
});
afterEach(() => rmSync(folder, { recursive: true }));

interface Given {
  /** The `spec` of the file, indented by two; absent: there is no file. */
  readonly spec?: string;
  readonly argv?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
}

/** What an agent would be started with. */
async function configured({ spec, argv = [], env = {} }: Given): Promise<AgentConfig> {
  const silent = { write: () => undefined, isTTY: false, columns: undefined };
  const io: Io = {
    stdin: (async function* () {})(),
    stdout: silent,
    stderr: silent,
    env,
    cwd: '/home/ada',
    signal: neverInterrupted,
    stdoutClosed: neverInterrupted,
    now: () => NOW_MS,
    sleep: async () => undefined,
  };
  const path = join(folder, 'agent.yaml');
  if (spec !== undefined) writeFileSync(path, `apiVersion: omni.io/v1alpha1\nkind: AgentConfig\nspec:\n${spec}`);
  const command = agentCommand({ io, exitCode: 0 }).action(() => undefined);
  command.exitOverride().parse([...argv], { from: 'user' });
  applyEnvironment(command, env);
  return agentConfig(command, await readConfigFile(path, false), io);
}

describe('what an agent is started with', () => {
  it('is the defaults, where nobody says anything', async () => {
    const { objects: _, sandbox: ____, writeLog: __, version: ___, ...config } = await configured({});
    expect(config).toEqual({
      insecureSource: false,
      ref: 'main',
      path: '',
      intervalMs: 30_000,
      stateDir: '/var/lib/omni',
      socket: '/run/omni/omni.sock',
      bpffs: '/sys/fs/bpf',
      identity: '/var/lib/omni/identity.key',
      xdpMode: 'auto',
      receiveCpus: 'auto',
      logFormat: 'text',
      logLevel: 'info',
      teardown: false,
    });
  });

  const spec = `  source: { directory: /srv/fleet, insecure: false, ref: file, path: file, interval: 7s }
  rollout: { pruneLimit: 7 }
  node:
    underlay: [eth7, eth8]
    xdpMode: native
    receiveCpus: 7
    identity: /file/key
    pskFile: /file/psk
    stateDir: /file/state
    bpffs: /file/bpf
  control: { socket: /file/socket, metrics: "127.0.0.1:7" }
  log: { format: json, level: debug }
`;
  const file = {
    source: { kind: 'directory', path: '/srv/fleet' },
    insecureSource: false,
    ref: 'file',
    path: 'file',
    intervalMs: 7_000,
    pruneLimit: { objects: 7, percent: 0 },
    underlay: ['eth7', 'eth8'],
    xdpMode: 'native',
    receiveCpus: [7],
    identity: '/file/key',
    pskFile: '/file/psk',
    stateDir: '/file/state',
    bpffs: '/file/bpf',
    socket: '/file/socket',
    metrics: '127.0.0.1:7',
    logFormat: 'json',
    logLevel: 'debug',
  };
  const argv = [
    ...['--source', 'here', '--ref', 'flag', '--path', 'flag', '--interval', '30s', '--prune-limit', '30%'],
    ...[
      '--underlay',
      'eth0, eth1',
      '--xdp-mode',
      'auto',
      '--receive-cpus',
      '2-3,6',
      '--identity',
      'key',
      '--psk-file',
      'psk',
    ],
    ...['--state-dir', 'state', '--bpffs', 'bpf', '--socket', 'socket', '--metrics', '127.0.0.1:9'],
    ...['--log-format', 'text', '--log-level', 'info', '--insecure-source'],
  ];
  const flags = {
    source: { kind: 'directory', path: '/home/ada/here' },
    insecureSource: true,
    ref: 'flag',
    path: 'flag',
    intervalMs: 30_000,
    pruneLimit: { objects: 5, percent: 30 },
    underlay: ['eth0', 'eth1'],
    xdpMode: 'auto',
    receiveCpus: [2, 3, 6],
    identity: '/home/ada/key',
    pskFile: '/home/ada/psk',
    stateDir: '/home/ada/state',
    bpffs: '/home/ada/bpf',
    socket: '/home/ada/socket',
    metrics: '127.0.0.1:9',
    logFormat: 'text',
    logLevel: 'info',
  };

  it('is what the file says', async () => {
    expect(await configured({ spec })).toMatchObject(file);
  });

  it('is what a flag says against the file, though it be the default', async () => {
    expect(await configured({ spec, argv })).toMatchObject(flags);
  });

  it('is what a variable says against the file, and a flag against the variable', async () => {
    const env = { OMNI_REF: 'env', OMNI_STATE_DIR: '/env', OMNI_INTERVAL: '9s', OMNI_SOURCE: '/env/fleet' };
    const config = await configured({ spec, env, argv: ['--ref', 'flag'] });
    expect(config).toMatchObject({ ref: 'flag', stateDir: '/env', intervalMs: 9_000, identity: '/file/key' });
    expect(config.source).toEqual({ kind: 'directory', path: '/env/fleet' });
  });

  it('has its key in the state folder, whoever names that', async () => {
    const { identity } = await configured({ spec: '  node: { stateDir: /file/state }\n' });
    expect(identity).toBe('/file/state/identity.key');
  });

  it('follows what --source names; a remote that the file knows keeps its credentials', async () => {
    const remotes = `  source:
    remotes:
      - { url: "ssh://git@a/x.git", sshKeyFile: /k }
      - { url: "https://b/x.git", tokenFile: /t }
`;
    const argv = ['--source', 'https://c/x.git', '--source', 'https://b/x.git'];
    expect((await configured({ spec: remotes, argv })).source).toEqual({
      kind: 'git',
      remotes: [{ url: 'https://c/x.git' }, { url: 'https://b/x.git', tokenFile: '/t' }],
    });
    await expect(configured({ argv: ['--source', 'a', '--source', 'b'] })).rejects.toMatchObject({ exitCode: 2 });
  });

  it('is refused where a limit is none', async () => {
    await expect(configured({ argv: ['--prune-limit', '200%'] })).rejects.toMatchObject({ exitCode: 2 });
  });
});

describe('the configuration file', () => {
  it('may be absent unless somebody named it', async () => {
    expect(await readConfigFile(join(folder, 'absent.yaml'), false)).toEqual({});
    const missing = await omni(['agent', '--config', 'absent.yaml'], { cwd: folder });
    expect(missing).toMatchObject({ code: 2, stdout: '' });
    expect(missing.stderr).toContain(`${folder}/absent.yaml cannot be read: ENOENT`);
  });

  it.each([
    ['a folder', 'sub/', /cannot be read: EISDIR/],
    ['larger than any', 'large', /larger than 64 KiB/],
  ])('is refused where it is %s', async (_, name, message) => {
    if (name === 'large') writeFileSync(join(folder, name), ' '.repeat(64 * 1024 + 1));
    const path = name === 'large' ? join(folder, name) : folder;
    await expect(readConfigFile(path, false)).rejects.toMatchObject({
      code: 'invalid-config',
      exitCode: 2,
      message: expect.stringMatching(message),
    });
  });

  it('that was cut short starts no agent with less than it should have', async () => {
    writeFileSync(join(folder, 'a.yaml'), '');
    const { code, stderr } = await omni(['agent', '--config', 'a.yaml'], { cwd: folder });
    expect(code).toBe(2);
    expect(stderr).toContain('the file holds 0 documents, and must hold one [config-count]');
  });

  it('says all its errors at once, each with its place and what to do, exit 2', async () => {
    const text = `apiVersion: omni.io/v1alpha1
kind: AgentConfig
spec:
  source: { reff: main }
  log: { level: loud }
`;
    writeFileSync(join(folder, 'a.yaml'), text);
    const { code, stdout, stderr } = await omni(['agent', '--config', 'a.yaml'], { cwd: folder });
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr.replaceAll(`${folder}/`, '')).toBe(
      `a.yaml:4:13: error: spec.source has no field "reff" [field-unknown]
    fix: Did you mean "ref"?
a.yaml:5:17: error: spec.log.level is the text "loud", and must be \`debug\` or \`info\` or \`warn\` or \`error\` [field-value]
    fix: Give \`debug\` or \`info\` or \`warn\` or \`error\`.
error: the configuration a.yaml has 2 errors; the agent does not start
  fix: Mend the file as said above; docs/configuration.md has its form.
`,
    );
  });

  const exposures: readonly [string, () => void, RegExp][] = [
    ['others may write', () => chmodSync(join(folder, 'etc', 'a.yaml'), 0o646), /a\.yaml has mode 0646/],
    ['a group may write', () => chmodSync(join(folder, 'etc', 'a.yaml'), 0o664), /a\.yaml has mode 0664/],
    [
      'lies in a folder that others may write',
      () => chmodSync(join(folder, 'etc'), 0o777),
      /etc, which .*a\.yaml lies in/,
    ],
    ['lies below a folder that others may write', () => chmodSync(folder, 0o775), /has mode 0775/],
    [
      'a link names from where others may write',
      () => {
        mkdirSync(join(folder, 'open'));
        symlinkSync(join(folder, 'etc', 'a.yaml'), join(folder, 'open', 'b.yaml'));
        chmodSync(join(folder, 'open'), 0o777);
      },
      /open, which .*b\.yaml lies in, has mode 0777/,
    ],
  ];
  it.each(exposures)('that %s is not read, for it names what the agent runs: exit 2', async (_, expose, words) => {
    mkdirSync(join(folder, 'etc'));
    writeFileSync(join(folder, 'etc', 'a.yaml'), 'apiVersion: omni.io/v1alpha1\nkind: AgentConfig\nspec: {}\n');
    const path = () =>
      existsSync(join(folder, 'open')) ? join(folder, 'open', 'b.yaml') : join(folder, 'etc', 'a.yaml');
    expect(await readConfigFile(path(), true)).toEqual({});
    expose();
    const { code, stderr } = await omni(['agent', '--config', path()], { cwd: folder });
    expect(code, stderr).toBe(2);
    expect(stderr).toMatch(words);
    expect(stderr).toContain('chmod go-w');
  });

  it.skipIf(process.getuid?.() !== 0)('that belongs to somebody else is not read', async () => {
    const path = join(folder, 'a.yaml');
    writeFileSync(path, 'apiVersion: omni.io/v1alpha1\nkind: AgentConfig\nspec: {}\n');
    chownSync(path, 65_534, 65_534);
    const { code, stderr } = await omni(['agent', '--config', path], { cwd: folder });
    expect(code, stderr).toBe(2);
    expect(stderr).toContain('belongs to user id 65534');
  });

  it('in the form of version 0.1 says how each line is written now', async () => {
    writeFileSync(join(folder, 'a.yaml'), 'source: https://a/x.git\nstate-dir: /x\n');
    const { code, stderr } = await omni(['agent', '--config', 'a.yaml'], { cwd: folder });
    expect(code).toBe(2);
    expect(stderr).toContain('a.yaml:1:1: error: "source" is a flag, not a setting [config-flag]');
    expect(stderr).toContain('a.yaml:2:1: error: "state-dir" is a flag, not a setting [config-flag]');
    expect(stderr).toContain('fix: Write `spec.node.stateDir`, below `apiVersion: omni.io/v1alpha1`');
  });
});
