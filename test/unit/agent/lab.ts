import { createSocket } from 'node:dgram';
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { runAgent } from '../../../src/agent/agent.ts';
import type { Json, ObjectStatus, Status } from '../../../src/agent/api.ts';
import { type AgentClient, connectAgent } from '../../../src/agent/client.ts';
import type { AgentConfig, SourceConfig } from '../../../src/agent/config.ts';
import { createMemoryDataPlane } from '../../../src/dataplane/memory/plane.ts';
import { createIdentity, type Identity, writeIdentity } from '../../../src/session/identity.ts';
import { SANDBOX } from '../source/lab.ts';

/** What a test changes of a node's configuration; `source` is a folder or a URL, as `--source` has it. */
export interface Changes extends Partial<Omit<AgentConfig, 'source'>> {
  readonly source?: string;
}

function sourceOf(source: string): SourceConfig {
  return existsSync(source) ? { kind: 'directory', path: source } : { kind: 'git', remotes: [{ url: source }] };
}

/** One node of a test: its folder, its identity, and agents on the memory engine. */
export class Node {
  readonly folder = mkdtempSync(join(tmpdir(), 'omni-agent-'));
  readonly stateDir = join(this.folder, 'state');
  readonly socket = join(this.folder, 'omni.sock');
  readonly fleet = join(this.folder, 'fleet');
  readonly identity: Identity = createIdentity();
  readonly client: AgentClient = connectAgent({ socket: this.socket, timeoutMs: 5_000 });
  readonly log: string[] = [];
  readonly port: number;
  #running: { stop: AbortController; ended: Promise<void> } | undefined;

  private constructor(port: number) {
    this.port = port;
    mkdirSync(this.stateDir, { mode: 0o700 });
    mkdirSync(this.fleet);
    writeIdentity(join(this.stateDir, 'identity.key'), this.identity);
    this.write('cluster.yaml', clusterText(port));
    this.write('self.yaml', peerText('robot-1', this.identity.publicKey) + vipText('robot-1', '10.77.0.1'));
  }

  static async make(): Promise<Node> {
    return new Node(await freeUdpPort());
  }

  write(name: string, text: string): void {
    writeFileSync(join(this.fleet, name), text);
  }

  config({ source = this.fleet, ...changes }: Changes = {}): AgentConfig {
    return {
      source: sourceOf(source),
      ref: 'main',
      path: '',
      intervalMs: 60_000,
      stateDir: this.stateDir,
      socket: this.socket,
      bpffs: join(this.folder, 'bpf'),
      identity: join(this.stateDir, 'identity.key'),
      objects: '',
      sandbox: SANDBOX,
      logFormat: 'json',
      teardown: false,
      version: '0.0.0-test',
      writeLog: (line) => this.log.push(line),
      ...changes,
    };
  }

  /** Runs an agent until `stop`; resolves once its socket answers, rejects if it ends before. */
  start(changes: Changes = {}): Promise<void> {
    return this.startWith(this.config(changes));
  }

  async startWith(config: AgentConfig): Promise<void> {
    const stop = new AbortController();
    const ended = runAgent(config, stop.signal, () => createMemoryDataPlane());
    this.#running = { stop, ended };
    let failure: unknown;
    ended.catch((error: unknown) => {
      failure = error;
    });
    await until('the agent answers', async () => {
      if (failure !== undefined) throw failure;
      await this.client.status();
      return true;
    });
  }

  async stop(): Promise<void> {
    const running = this.#running;
    this.#running = undefined;
    running?.stop.abort();
    await running?.ended;
  }

  status(): Promise<Json<Status>> {
    return this.client.status();
  }

  async objects(): Promise<ReadonlyMap<string, Json<ObjectStatus>>> {
    return new Map((await this.client.objects()).map((object) => [object.object, object]));
  }

  async rowKeys(): Promise<readonly string[]> {
    const { observed } = await this.client.rows();
    return observed.map(({ row }) => {
      const name = 'address' in row ? row.address : 'publicKey' in row ? row.publicKey : row.kind;
      return `${row.kind}/${name}`;
    });
  }

  async condition(type: string): Promise<Json<Status>['conditions'][number] | undefined> {
    return (await this.status()).conditions.find((condition) => condition.type === type);
  }

  ready(): Promise<void> {
    return until('Ready', async () => (await this.condition('Ready'))?.status === 'True');
  }

  async close(): Promise<void> {
    await this.stop().catch(() => undefined);
    rmSync(this.folder, { recursive: true, force: true });
  }
}

/** Polls until `holds`; its last exception is the failure's reason. */
export async function until(what: string, holds: () => Promise<boolean>, timeoutMs = 5_000): Promise<void> {
  const deadline = Date.now() + timeoutMs;
  let reason: unknown;
  while (Date.now() < deadline) {
    try {
      if (await holds()) return;
    } catch (error) {
      reason = error;
    }
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  throw new Error(`not within ${timeoutMs} ms: ${what}`, { cause: reason });
}

export function clusterText(port: number): string {
  return `apiVersion: omni.io/v1alpha1
kind: Cluster
metadata: { name: warehouse }
spec: { subnets: [10.77.0.0/16], port: ${port} }
`;
}

export function peerText(name: string, publicKey: string, endpoint?: string): string {
  const endpoints = endpoint === undefined ? '' : `, endpoints: ["${endpoint}"]`;
  return `---
apiVersion: omni.io/v1alpha1
kind: Peer
metadata: { name: ${name}, labels: { site: munich } }
spec: { clusters: [warehouse], publicKey: ${publicKey}${endpoints} }
`;
}

export function vipText(peer: string, address: string): string {
  return `---
apiVersion: omni.io/v1alpha1
kind: VIP
metadata: { name: ${peer} }
spec: { cluster: warehouse, address: ${address}, peer: ${peer} }
`;
}

function freeUdpPort(): Promise<number> {
  return new Promise((resolve) => {
    const socket = createSocket('udp4');
    socket.bind(0, '127.0.0.1', () => {
      const { port } = socket.address();
      socket.close(() => resolve(port));
    });
  });
}
