import { Command } from 'commander';
import { describe, expect, it } from 'vitest';
import type { AgentSettings } from '../../../src/agent/config-settings.ts';
import type { Finding } from '../../../src/cli/doctor/finding.ts';
import type { FileFacts, Host } from '../../../src/cli/doctor/host.ts';
import { kernelFindings } from '../../../src/cli/doctor/kernel.ts';
import { machineFindings } from '../../../src/cli/doctor/machine.ts';
import { type NetworkQuestion, networkFindings } from '../../../src/cli/doctor/network.ts';
import { trustFindings } from '../../../src/cli/doctor/trust.ts';
import { installationRoot } from '../../../src/cli/package.ts';
import { doctorCommand } from '../../../src/cli/verbs/doctor.ts';
import type { LinkInfo, Native, RouteInfo } from '../../../src/dataplane/kernel/native.ts';
import { FEATURES } from '../../../src/dataplane/kernel/needs.ts';
import { OmniError } from '../../../src/errors.ts';
import type { RemoteOptions } from '../../../src/source/git-remotes.ts';
import { sandboxHidesFiles } from '../../../src/source/sandbox.ts';
import { atLeast } from '../../../src/versions.ts';
import { NOW_MS, omni } from './run.ts';

const ALL = ['CAP_NET_ADMIN', 'CAP_BPF', 'CAP_PERFMON', 'CAP_NET_RAW', 'CAP_SYS_ADMIN'];

interface Machine {
  readonly capabilities?: readonly string[];
  readonly probe?: Partial<ReturnType<Native['probe']>>;
  readonly bpffs?: boolean;
  readonly links?: readonly Partial<LinkInfo>[];
  readonly defaultRouteOver?: number;
  readonly xdpFeatures?: number;
  readonly files?: Readonly<Record<string, Partial<FileFacts>>>;
}

const ETH0: Partial<LinkInfo> = {
  ifindex: 2,
  name: 'eth0',
  kind: '',
  mtu: 1500,
  up: true,
  xdpProgramId: 0,
  xdpMode: 'none',
};

function native(machine: Machine): Native {
  const probe: ReturnType<Native['probe']> = {
    kernel: '6.1.0',
    btf: true,
    bpf: true,
    xdpProgram: true,
    xdpLink: true,
    atomics: true,
    schedClsProgram: true,
    ringbuf: true,
    spinLock: true,
    jit: true,
    bootTime: true,
    log: '',
    ...machine.probe,
  };
  const answers: Partial<Native> = {
    capabilities: () => [...(machine.capabilities ?? ALL)],
    probe: () => probe,
    isBpffs: () => machine.bpffs ?? true,
    links: () => (machine.links ?? [ETH0]) as LinkInfo[],
    xdpFeatures: () => machine.xdpFeatures,
    routes: () => [{ destination: '0.0.0.0/0', oif: machine.defaultRouteOver ?? 2 } as RouteInfo],
  };
  return answers as Native;
}

const THERE: FileFacts = {
  exists: true,
  isFolder: true,
  mode: 0o600,
  readable: true,
  writable: true,
  modifiedMs: NOW_MS - 1_000,
  creatable: false,
};

function host(machine: Machine = {}, overrides: Partial<Host> = {}): Host {
  return {
    nodeVersion: '20.19.0',
    kernelRelease: '6.1.0-13-amd64',
    isRoot: true,
    native: () => native(machine),
    versionOf: async () => 'git version 2.39.5',
    has: async () => true,
    text: async () => undefined,
    names: async () => undefined,
    file: async (path) => ({ ...THERE, ...machine.files?.[path] }),
    kernelOptions: async () => new Set(['CONFIG_VETH', 'CONFIG_NET_SCH_INGRESS', 'CONFIG_NET_CLS_BPF']),
    driverOf: async () => 'ixgbe',
    bindUdp: async () => undefined,
    agentAt: async () => undefined,
    settings: async () => ({}),
    exposureOf: async () => undefined,
    sandboxHidesFiles: async () => true,
    ...overrides,
  };
}

const absent: Partial<FileFacts> = { exists: false, isFolder: false, readable: false, writable: false, modifiedMs: 0 };
const machineQuestion = { stateDir: '/state', identity: '/state/identity.key', nowMs: NOW_MS };
const networkQuestion: NetworkQuestion = { underlay: undefined, port: 51820, agentPid: undefined };

async function all(
  one: Host,
  network: Parameters<typeof networkFindings>[1] = networkQuestion,
): Promise<readonly Finding[]> {
  return [
    ...(await kernelFindings(one, '/sys/fs/bpf')),
    ...(await networkFindings(one, network)),
    ...(await machineFindings(one, machineQuestion)),
    ...(await trustFindings(one, { config: '/etc/omni/agent.yaml', agent: await one.agentAt('') })),
  ];
}

async function statusOf(check: string, one: Host, network = networkQuestion): Promise<Finding> {
  const found = (await all(one, network)).filter((finding) => finding.check === check);
  const [worst] = [...found].sort((a, b) => SEVERITY.indexOf(b.status) - SEVERITY.indexOf(a.status));
  if (worst === undefined) throw new Error(`nothing was said of ${check}`);
  return worst;
}
const SEVERITY = ['ok', 'unknown', 'warning', 'failure'];

describe('doctor', () => {
  it('finds nothing wrong with a sound machine', async () => {
    expect((await all(host())).filter(({ status }) => status !== 'ok')).toEqual([]);
  });

  it.each<[string, readonly string[], Finding['status']]>([
    ['tells', ['VMGENCTR:00', 'bind', 'uevent', 'unbind'], 'ok'],
    ['has a driver without a device', ['bind', 'uevent', 'unbind', 'module'], 'warning'],
  ])('a virtual machine whose kernel %s of snapshots', async (_, names, status) => {
    const one = host(
      {},
      {
        text: async () => 'processor : 0\nflags : fpu hypervisor',
        names: async (path) => (path.startsWith('/sys/bus/platform/') ? names : undefined),
      },
    );
    expect(await statusOf('snapshots', one)).toMatchObject({ status });
  });

  const unbuilt = () => {
    throw new OmniError('not built', { code: 'native-missing', class: 'stall', fix: 'Build it.' });
  };
  const refused = (message: string) =>
    new OmniError(message, { code: 'invalid-config', class: 'stall', fix: 'Run chmod go-w.' });
  const following = (remotes: readonly RemoteOptions[], settings: AgentSettings = {}) =>
    host({}, { settings: async () => ({ source: { kind: 'git', remotes }, ...settings }) });
  const sysctlLess: Partial<ReturnType<Native['probe']>> = { ringbuf: false, log: 'ringbuf: EINVAL' };

  it.each<[string, string, Host, RegExp]>([
    ['node', 'an old Node.js', host({}, { nodeVersion: '18.20.1' }), /18\.20\.1 is older than 20\.19/],
    ['addon', 'an addon that is not built', host({}, { native: unbuilt }), /not built/],
    [
      'bpf',
      'a kernel without a feature',
      host({ probe: sysctlLess }),
      /refuses ring buffers \(EINVAL\), .* since 5\.8/,
    ],
    [
      'capabilities',
      'root without a capability',
      host({ capabilities: ['CAP_SYS_ADMIN', 'CAP_NET_RAW'] }),
      /CAP_NET_ADMIN/,
    ],
    [
      'bpffs',
      'no bpffs, and no right to mount one',
      host({ bpffs: false, capabilities: ALL.slice(0, 4) }),
      /no BPF file/,
    ],
    ['git', 'no git', host({}, { versionOf: async () => undefined }), /git is not installed/],
    ['timeout', 'no timeout', host({}, { has: async () => false }), /timeout is not installed.*hangs/],
    [
      'prlimit',
      'no prlimit',
      host({}, { has: async (name) => name !== 'prlimit' }),
      /prlimit is not installed.*memory/,
    ],
    ['sandbox', 'no sandbox', host({}, { sandboxHidesFiles: () => sandboxHidesFiles('/nowhere') }), /does not run/],
    [
      'config',
      'a configuration that others may write',
      host({}, { settings: () => Promise.reject(refused('x has mode 0666')) }),
      /0666/,
    ],
    ['source', 'git:// without a word', following([{ url: 'git://a/x' }]), /^git:\/\/a\/x is followed without/],
    ['git', 'an old git', host({}, { versionOf: async () => 'git version 2.20.1' }), /2\.20\.1 is older/],
    ['underlay', 'an underlay that is down', host({ links: [{ ...ETH0, up: false }] }), /eth0 is down/],
    ['port', 'a port in use', host({}, { bindUdp: async () => 'EADDRINUSE' }), /51820 is in use/],
    ['state-dir', 'a read-only state folder', host({ files: { '/state': { writable: false } } }), /not writable/],
    [
      'identity',
      'a key that others can read',
      host({ files: { '/state/identity.key': { mode: 0o644 } } }),
      /mode 0644/,
    ],
  ])('%s: %s stands in the way', async (check, _what, one, message) => {
    const finding = await statusOf(check, one);
    expect(finding).toMatchObject({ status: 'failure', message: expect.stringMatching(message) });
    expect(finding.fix).toMatch(/\w/);
  });

  const installed = `${installationRoot()}/package.json`;
  it.each<[string, string, Host, RegExp]>([
    ...(['ssh', 'ssh-keygen', 'gpg', 'ping'].map((program) => [
      'programs',
      `no ${program}`,
      host({}, { has: async (command) => command !== program }),
      new RegExp(`^${program} is not installed: an agent cannot `),
    ]) as [string, string, Host, RegExp][]),
    ['sandbox', 'no Landlock', host({}, { sandboxHidesFiles: async () => false }), /no Landlock/],
    ['source', 'git:// with a word', following([{ url: 'git://a/x' }], { insecureSource: true }), /^git:\/\/a\/x is/],
    [
      'source',
      'what the running agent says of its source',
      host({}, { agentAt: async () => ({ pid: 1, sourceWarnings: ['a folder that others may write'] }) }),
      /^a folder that others may write$/,
    ],
    [
      'source',
      'a folder that others may write',
      host(
        {},
        {
          settings: async () => ({ source: { kind: 'directory', path: '/srv' } }),
          exposureOf: async (path) => `${path} is open`,
        },
      ),
      /\/srv is open/,
    ],
    [
      'webhook',
      'a webhook that others reach',
      host({}, { settings: async () => ({ webhook: { listen: '0.0.0.0:9587', secretFile: '/s' } }) }),
      /0\.0\.0\.0:9587/,
    ],
    ['kernel', 'an old kernel', host({}, { kernelRelease: '5.10.0-30' }), /5\.10.* older than 5\.15/],
    ['bpf-jit', 'no JIT', host({ probe: { jit: false, log: 'jit: off\n' } }), /no machine code.*\(off\).*interpreter/],
    ['btf', 'no BTF', host({ files: { '/sys/kernel/btf/vmlinux': absent } }), /no BTF/],
    ['identity', 'no key yet', host({ files: { '/state/identity.key': absent } }), /no key/],
    ['underlay', 'no default route', host({ defaultRouteOver: 9 }), /no interface has a default route/],
    ['underlay-mtu', 'a small MTU', host({ links: [{ ...ETH0, mtu: 1300 }] }), /1300/],
    ['xdp', 'somebody else’s XDP program', host({ links: [{ ...ETH0, xdpProgramId: 7, xdpMode: 'native' }] }), /id 7/],
    ['xdp', 'an MTU beyond one page', host({ links: [{ ...ETH0, mtu: 9000 }] }), /generic XDP only/],
    ['xdp', 'a driver that tells of no native XDP', host({ xdpFeatures: 0 }), /does not run native/],
    [
      'xdp',
      'a veth that takes no redirected frames',
      host({ xdpFeatures: 3, links: [{ ...ETH0, kind: 'veth' }] }),
      /takes no frames/,
    ],
    ['xdp', 'a driver without native XDP', host({}, { driverOf: async () => 'e1000e' }), /e1000e/],
    ...(
      [
        ['a hypervisor that tells of no snapshots', undefined, 'flags\t\t: fpu hypervisor lahf_lm', /nothing tells/],
        ['a kernel that keeps them to itself', '/sys/bus/acpi/drivers/vmgenid', 'flags : hypervisor', /tells nobody/],
      ] as const
    ).map(([what, driver, cpuinfo, message]): [string, string, Host, RegExp] => [
      'snapshots',
      what,
      host(
        {},
        {
          text: async (path) => (path === '/proc/cpuinfo' ? cpuinfo : undefined),
          names: async (path) => (path === driver ? ['VMGENCTR:00', 'bind', 'uevent'] : undefined),
        },
      ),
      message,
    ]),
    [
      'clock',
      'a clock before the installation',
      host({ files: { [installed]: { modifiedMs: NOW_MS * 2 } } }),
      /before/,
    ],
  ])('%s: %s is worth a warning', async (check, _what, one, message) => {
    expect(await statusOf(check, one)).toMatchObject({ status: 'warning', message: expect.stringMatching(message) });
  });

  it('believes the driver that tells of native XDP, known or not', async () => {
    const one = host({ xdpFeatures: 3 }, { driverOf: async () => 'brand-new' });
    expect(await statusOf('xdp', one)).toMatchObject({ status: 'ok' });
  });

  const unloaded = Object.fromEntries(
    ['veth', 'sch_ingress', 'cls_bpf'].map((name) => [`/sys/module/${name}`, absent]),
  );

  it.each([
    ['veth', 'CONFIG_VETH'],
    ['sch_ingress', 'CONFIG_NET_SCH_INGRESS'],
    ['cls_bpf', 'CONFIG_NET_CLS_BPF'],
  ])('modules: a kernel without %s stands in the way', async (name, option) => {
    const options = ['CONFIG_VETH', 'CONFIG_NET_SCH_INGRESS', 'CONFIG_NET_CLS_BPF'].filter((one) => one !== option);
    const one = host({ files: unloaded }, { kernelOptions: async () => new Set(options) });
    expect((await all(one)).filter(({ status }) => status !== 'ok')).toEqual([
      expect.objectContaining({
        check: 'modules',
        status: 'failure',
        message: expect.stringContaining(`has no ${name}:`),
        fix: expect.stringContaining(option),
      }),
    ]);
  });

  it('modules: believes in what is loaded, and says what it cannot know', async () => {
    const silent = { kernelOptions: async () => undefined };
    expect(await statusOf('modules', host({}, silent))).toMatchObject({ status: 'ok' });
    const { '/sys/module/veth': veth = {} } = unloaded;
    expect(await statusOf('modules', host({ files: { '/sys/module/veth': veth } }, silent))).toMatchObject({
      status: 'unknown',
      message: expect.stringMatching(/^veth /),
    });
  });

  const NEEDED = FEATURES.filter(({ need }) => need === 'needed');
  it.each(NEEDED)('bpf: a kernel that refuses $what is told from one that is too old', async (feature) => {
    const refusing = (kernel: string) => {
      const probe = { kernel, [feature.field]: false, log: `${feature.field}: EINVAL\n` };
      return host({ probe }, { kernelRelease: kernel });
    };
    const expected = { check: 'bpf', status: 'failure', message: expect.stringContaining(`${feature.what} (EINVAL)`) };
    expect((await all(refusing('6.1.0'))).filter(({ status }) => status !== 'ok')).toEqual([
      { ...expected, fix: feature.fix },
    ]);
    const old = await all(refusing('3.2.0'));
    expect(old).toContainEqual({ ...expected, fix: 'Boot Linux 5.15 or later.' });
  });

  it('names each feature that an old kernel lacks, a line each', async () => {
    const log = 'ringbuf: EINVAL\natomics: EINVAL\n';
    const findings = await all(host({ probe: { ringbuf: false, atomics: false, log } }));
    const failures = findings.filter(({ status }) => status === 'failure').map(({ message }) => message);
    expect(failures).toHaveLength(2);
    expect(failures[0]).toContain('ring buffers');
    expect(failures[1]).toContain('atomic operations');
  });

  it('has nothing against a source that is signed, or authenticated, and no say in a file that it cannot read', async () => {
    const verify = { commits: 'head', tag: false, allowedSignersFile: '/s' } as const;
    for (const one of [following([{ url: 'git://a/x' }], { verify }), following([{ url: 'https://a/x' }])]) {
      expect((await all(one)).filter(({ check }) => check === 'source')).toEqual([]);
    }
    const settings = () => Promise.reject(refused('cannot be read: EACCES'));
    expect(await statusOf('config', host({}, { settings, isRoot: false }))).toMatchObject({ status: 'unknown' });
  });

  it('takes the port and the hook of our own agent for granted', async () => {
    const one = host(
      { links: [{ ...ETH0, xdpProgramId: 7, xdpMode: 'native' }] },
      { bindUdp: async () => 'EADDRINUSE' },
    );
    for (const check of ['port', 'xdp']) {
      expect(await statusOf(check, one, { ...networkQuestion, agentPid: 4711 })).toMatchObject({ status: 'ok' });
    }
  });

  it('looks at the interfaces that were named', async () => {
    const question = { ...networkQuestion, underlay: ['eth0', 'eth9'] };
    const findings = await networkFindings(host(), question);
    expect(findings).toContainEqual(expect.objectContaining({ status: 'ok', message: 'eth0 is up, MTU 1500' }));
    expect(findings).toContainEqual(
      expect.objectContaining({ status: 'failure', message: 'there is no interface eth9' }),
    );
  });

  it('without root says what it could not check, and fails nothing for that', async () => {
    const denied = { bpf: false, xdpProgram: false, spinLock: false, log: 'bpf: EPERM' };
    const locked = { '/state': { ...absent, creatable: false } };
    const one = host({ capabilities: [], probe: denied, bpffs: false, files: locked }, { isRoot: false });
    const findings = await all(one);
    expect(findings.filter(({ status }) => status === 'failure')).toEqual([]);
    const unknown = findings.filter(({ status }) => status === 'unknown').map(({ check }) => check);
    expect(unknown).toEqual(['capabilities', 'bpf', 'bpffs', 'state-dir']);
  });

  it('compares versions by their numbers', () => {
    expect(atLeast('5.15.0-91-generic', '5.15')).toBe(true);
    expect(atLeast('6.1', '5.15')).toBe(true);
    expect(atLeast('5.9', '5.15')).toBe(false);
    expect(atLeast('20.9.0', '20.19')).toBe(false);
  });
});

describe('omni doctor', () => {
  async function run(one: Host, argv: readonly string[]): Promise<{ code: number; stdout: string }> {
    const chunks: string[] = [];
    const stdout = { write: (text: string) => void chunks.push(text), isTTY: false, columns: undefined };
    const never = new AbortController().signal;
    const cli = {
      io: {
        stdin: (async function* () {})(),
        stdout,
        stderr: stdout,
        env: { LANG: 'C.UTF-8' },
        cwd: '/',
        signal: never,
        stdoutClosed: never,
        now: () => NOW_MS,
        sleep: async () => undefined,
      },
      exitCode: -1,
    };
    const program = new Command().option('--color <when>', '', 'never').addCommand(doctorCommand(cli, () => one));
    await program.parseAsync(['doctor', '--state-dir', '/state', ...argv], { from: 'user' });
    return { code: cli.exitCode, stdout: chunks.join('') };
  }

  it('prints a line per finding, fixes below, the verdict last; exit 1 where something stands in the way', async () => {
    const one = host({ probe: { jit: false } }, { versionOf: async () => undefined });
    const outcome = await run(one, []);
    expect(outcome.code).toBe(1);
    await expect(outcome.stdout).toMatchFileSnapshot('golden/doctor.txt');
  });

  it('as JSON; exit 0 where nothing does', async () => {
    const outcome = await run(host({ probe: { jit: false } }), ['-o', 'json']);
    expect(outcome.code).toBe(0);
    const report = JSON.parse(outcome.stdout);
    expect(report).toMatchObject({ kind: 'DoctorReport', healthy: true });
    expect(report.findings).toContainEqual(expect.objectContaining({ check: 'bpf-jit', status: 'warning' }));
  });

  it('examines this machine without root', async () => {
    const outcome = await omni([
      'doctor',
      '-o',
      'json',
      '--state-dir',
      '/nonexistent/state',
      '--socket',
      '/nonexistent',
    ]);
    expect([0, 1]).toContain(outcome.code);
    const checks = JSON.parse(outcome.stdout).findings.map((finding: Finding) => finding.check);
    expect(checks).toEqual(expect.arrayContaining(['node', 'kernel', 'addon', 'git', 'port', 'clock', 'identity']));
  });
});
