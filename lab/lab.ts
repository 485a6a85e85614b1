import { mkdir, mkdtemp, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Background, type CommandResult, must, type RunOptions, run, sleep, until } from './shell.ts';

/**
 * A fleet on one machine: every host is a network namespace on one underlay.
 *
 *     <lab>-net:   br0 ── alpha.p ── beta.p ── gamma.p ── git.p
 *                          │           │          │         │
 *     <lab>-alpha: eth0 ───┘   eth0 ───┘  eth0 ───┘   eth0 ─┘  git daemon, 192.0.2.250
 *                  192.0.2.1   192.0.2.2  192.0.2.3
 *
 * Addresses are TEST-NET-1 (RFC 5737); nothing leaves the namespaces. Each host has its own bpffs, state folder and
 * control socket below one temporary folder. `close()` removes all of it.
 */
export interface LabOptions {
  /** Prefix of the namespaces' names; at most 8 characters. */
  readonly name: string;
  readonly hosts: readonly string[];
  /** Adds a host that serves git repositories. */
  readonly git?: boolean;
  readonly underlayMtu?: number;
  /** Exactly two hosts, joined by one veth pair without a bridge between them. */
  readonly direct?: boolean;
}

export class Host {
  readonly name: string;
  readonly address: string;
  readonly namespace: string;
  /** Folder of this host's files: `state/`, `bpf/` (a bpffs), `omni.sock`. */
  readonly folder: string;
  private agentProcess: Background | undefined;

  constructor(name: string, address: string, namespace: string, folder: string) {
    this.name = name;
    this.address = address;
    this.namespace = namespace;
    this.folder = folder;
  }

  get socket(): string {
    return join(this.folder, 'omni.sock');
  }
  get identity(): string {
    return join(this.folder, 'state', 'identity.key');
  }
  get agent(): Background | undefined {
    return this.agentProcess;
  }

  inside(argv: readonly string[]): string[] {
    return ['ip', 'netns', 'exec', this.namespace, ...argv];
  }
  exec(argv: readonly string[], options: RunOptions = {}): Promise<CommandResult> {
    return run(this.inside(argv), options);
  }
  must(argv: readonly string[], options: RunOptions = {}): Promise<string> {
    return must(this.inside(argv), options);
  }
  background(argv: readonly string[]): Background {
    return new Background(this.inside(argv));
  }

  /** Runs `omni` as a user on this host would. */
  omni(argv: readonly string[], options: RunOptions = {}): Promise<CommandResult> {
    return this.exec([omniBinary, ...argv], { ...options, env: { ...this.environment(), ...options.env } });
  }
  mustOmni(argv: readonly string[], options: RunOptions = {}): Promise<string> {
    return this.must([omniBinary, ...argv], { ...options, env: { ...this.environment(), ...options.env } });
  }
  private environment(): Record<string, string> {
    return { OMNI_SOCKET: this.socket, OMNI_STATE_DIR: join(this.folder, 'state'), NO_COLOR: '1' };
  }

  /**
   * Arguments that keep this host's agent apart from the others on the machine. git daemon speaks git:// alone, and nobody
   * else is on a wire between namespaces: unsigned sources are followed.
   */
  agentArguments(): string[] {
    return [
      '--state-dir',
      join(this.folder, 'state'),
      '--socket',
      this.socket,
      '--bpffs',
      join(this.folder, 'bpf'),
      '--underlay',
      'eth0',
      '--insecure-source',
    ];
  }

  /** `launcher`: what becomes the agent by exec, such as `taskset -c 1`. */
  startAgent(argv: readonly string[], launcher: readonly string[] = []): Background {
    if (this.agentProcess?.running) throw new Error(`${this.name}: an agent is running`);
    // node itself in the end: a signal to this pid is a signal to the agent.
    const agent = [process.execPath, omniMain, 'agent', ...this.agentArguments(), ...argv];
    this.agentProcess = this.background([...launcher, ...agent]);
    return this.agentProcess;
  }

  async stopAgent(signal: NodeJS.Signals = 'SIGTERM'): Promise<number | undefined> {
    const agent = this.agentProcess;
    this.agentProcess = undefined;
    return agent?.stop(signal);
  }
}

export class Lab {
  readonly folder: string;
  readonly hosts: ReadonlyMap<string, Host>;
  readonly gitHost: Host | undefined;
  private readonly name: string;
  private daemon: Background | undefined;

  private constructor(name: string, folder: string, hosts: ReadonlyMap<string, Host>, gitHost: Host | undefined) {
    this.name = name;
    this.folder = folder;
    this.hosts = hosts;
    this.gitHost = gitHost;
  }

  static async open(options: LabOptions): Promise<Lab> {
    if (process.getuid?.() !== 0) throw new Error('a lab makes network namespaces: run as root');
    const folder = await mkdtemp(join(tmpdir(), `omni-lab-${options.name}-`));
    const names = options.git ? [...options.hosts, 'git'] : options.hosts;
    const hosts = new Map<string, Host>();
    let index = 1;
    for (const name of names) {
      const address = name === 'git' ? '192.0.2.250' : `192.0.2.${index++}`;
      hosts.set(name, new Host(name, address, `${options.name}-${name}`, join(folder, name)));
    }
    const gitHost = hosts.get('git');
    if (options.git) hosts.delete('git');
    const lab = new Lab(options.name, folder, hosts, gitHost);
    try {
      await lab.build(options.underlayMtu ?? 1500, options.direct ?? false);
      return lab;
    } catch (error) {
      await lab.close();
      throw error;
    }
  }

  host(name: string): Host {
    const host = this.hosts.get(name);
    if (host === undefined) throw new Error(`no host ${name} in lab ${this.name}`);
    return host;
  }

  private get everyHost(): readonly Host[] {
    return this.gitHost ? [...this.hosts.values(), this.gitHost] : [...this.hosts.values()];
  }
  get underlayNamespace(): string {
    return `${this.name}-net`;
  }

  /** `argv` where the hosts' wires end: `<host>.p` is the other end of a host's eth0. */
  onUnderlay(argv: readonly string[]): string[] {
    return ['ip', 'netns', 'exec', this.underlayNamespace, ...argv];
  }

  private async build(mtu: number, direct: boolean): Promise<void> {
    await this.removeNamespaces();
    if (direct) {
      await this.joinDirectly(mtu);
      return;
    }
    const net = this.underlayNamespace;
    await must(['ip', 'netns', 'add', net]);
    await must(['ip', '-n', net, 'link', 'add', 'br0', 'mtu', String(mtu), 'type', 'bridge']);
    await must(['ip', '-n', net, 'link', 'set', 'br0', 'up']);
    for (const host of this.everyHost) await this.addHost(host, mtu);
  }

  private async addHost(host: Host, mtu: number): Promise<void> {
    const net = this.underlayNamespace;
    const port = `${host.name}.p`;
    await this.prepareHost(host);
    const veth = ['link', 'add', port, 'mtu', String(mtu), 'type', 'veth', 'peer', 'name', 'eth0', 'mtu', String(mtu)];
    await must(['ip', '-n', net, ...veth, 'netns', host.namespace]);
    await must(['ip', '-n', net, 'link', 'set', port, 'master', 'br0', 'up']);
    // A native XDP redirect into a veth needs NAPI on its far end; GRO turns it on.
    await must(['ip', 'netns', 'exec', net, 'ethtool', '-K', port, 'gro', 'on']);
    await this.addressHost(host);
    await must(['ip', '-n', host.namespace, 'route', 'add', 'default', 'via', '192.0.2.254']);
  }

  private async joinDirectly(mtu: number): Promise<void> {
    const [a, b] = this.everyHost;
    if (a === undefined || b === undefined) throw new Error('a direct lab has two hosts');
    await this.prepareHost(a);
    await this.prepareHost(b);
    const end = ['name', 'eth0', 'mtu', String(mtu), 'netns', b.namespace];
    await must(['ip', '-n', a.namespace, 'link', 'add', 'eth0', 'mtu', String(mtu), 'type', 'veth', 'peer', ...end]);
    for (const host of [a, b]) await host.must(['ethtool', '-K', 'eth0', 'gro', 'on']);
    await this.addressHost(a);
    await this.addressHost(b);
  }

  private async prepareHost(host: Host): Promise<void> {
    await mkdir(join(host.folder, 'state'), { recursive: true, mode: 0o700 });
    await mkdir(join(host.folder, 'bpf'));
    await must(['mount', '-t', 'bpf', 'bpf', join(host.folder, 'bpf')]);
    await must(['ip', 'netns', 'add', host.namespace]);
  }

  private async addressHost(host: Host): Promise<void> {
    await must(['ip', '-n', host.namespace, 'link', 'set', 'lo', 'up']);
    await must(['ip', '-n', host.namespace, 'address', 'add', `${host.address}/24`, 'dev', 'eth0']);
    await must(['ip', '-n', host.namespace, 'link', 'set', 'eth0', 'up']);
  }

  /** Serves `<folder>/repos/*.git` on the git host; returns the URL of a fresh bare repository. */
  async serveGit(repository: string): Promise<{ readonly url: string; readonly bare: string }> {
    const host = this.gitHost;
    if (host === undefined) throw new Error('this lab has no git host');
    const base = join(this.folder, 'repos');
    const bare = join(base, `${repository}.git`);
    await must(['git', 'init', '--quiet', '--bare', '--initial-branch=main', bare]);
    this.startGit();
    const url = `git://${host.address}/${repository}.git`;
    await until('the git daemon answers', async () => (await host.exec(['git', 'ls-remote', url])).status === 0);
    return { url, bare };
  }

  /** Serves the repositories (again); does nothing while they are served. */
  startGit(): void {
    const host = this.gitHost;
    if (host === undefined || this.daemon !== undefined) return;
    const base = join(this.folder, 'repos');
    // --informative-errors: "repository not found" instead of a bare hang-up, as hosted git services answer.
    const options = ['--export-all', '--reuseaddr', '--informative-errors', `--listen=${host.address}`];
    this.daemon = host.background(['git', 'daemon', ...options, `--base-path=${base}`, base]);
  }

  async stopGit(): Promise<void> {
    await this.daemon?.stop();
    this.daemon = undefined;
  }

  /**
   * What goes over the wire of one host while `during` runs: raw pcap bytes. Taken on the underlay's side: frames that
   * XDP redirects never pass a tap on the host's own device.
   */
  async capture(host: Host, during: () => Promise<void>): Promise<Buffer> {
    const file = join(host.folder, 'capture.pcap');
    const tcpdump = ['tcpdump', '-i', `${host.name}.p`, '-U', '--immediate-mode', '-w', file];
    const dump = new Background(this.onUnderlay(tcpdump));
    await until('tcpdump listens', () => dump.text.includes('listening on'));
    await during();
    await written(file);
    await dump.stop('SIGINT');
    return readFile(file);
  }

  /** Ends what runs here and removes namespaces, mounts and files. Idempotent. */
  async close(): Promise<void> {
    await Promise.all([...this.hosts.values()].map((host) => host.stopAgent()));
    await this.stopGit();
    await this.removeNamespaces();
    for (const host of this.everyHost) await run(['umount', join(host.folder, 'bpf')]);
    await rm(this.folder, { recursive: true, force: true });
  }

  private async removeNamespaces(): Promise<void> {
    for (const namespace of [...this.everyHost.map((host) => host.namespace), this.underlayNamespace]) {
      const pids = await run(['ip', 'netns', 'pids', namespace]);
      if (pids.status !== 0) continue;
      // Only processes inside a namespace of this lab's own.
      for (const pid of pids.stdout.split('\n').filter(Boolean)) await run(['kill', '-9', pid]);
      await run(['ip', 'netns', 'delete', namespace]);
    }
  }
}

/** Waits until a file that another process writes stands still; at most two seconds. A dump ends without its backlog. */
async function written(file: string): Promise<void> {
  let size = -1;
  for (let looks = 0; looks < 20; looks++) {
    const now = (await stat(file)).size;
    if (now === size) return;
    size = now;
    await sleep(100);
  }
}

const root = ((): string => {
  // From lab/ (tests) or dist/lab/ (demo, bench): the folder that holds package.json.
  const here = dirname(fileURLToPath(import.meta.url));
  return here.endsWith('/dist/lab') ? join(here, '..', '..') : join(here, '..');
})();
export const projectRoot = root;
export const omniBinary = join(root, 'bin', 'omni');
const omniMain = join(root, 'dist', 'src', 'cli', 'main.js');
