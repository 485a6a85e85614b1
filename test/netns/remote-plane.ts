import { type ChildProcess, spawn } from 'node:child_process';
import { join } from 'node:path';
import { projectRoot } from '../../lab/lab.ts';
import type { KernelDataPlaneOptions } from '../../src/dataplane/kernel/plane.ts';
import { type ErrorClass, type ExitCode, OmniError } from '../../src/errors.ts';
import type { PublicKey } from '../../src/manifest/model.ts';
import type {
  AdoptReport,
  DataPlane,
  DataPlaneCounters,
  DataPlaneDescription,
  Endpoint,
  MessagePlane,
  NewSession,
  Path,
  PathMessage,
  PeerMessage,
  Refusal,
  SessionEvent,
  SessionId,
  SessionPlane,
  SessionState,
  Stop,
} from '../../src/reconcile/dataplane.ts';
import type { Change, ObservedRow, RowKey, RowSet } from '../../src/reconcile/rows.ts';

type Target = 'own' | 'plane' | 'sessions' | 'messages';
type Wake = ReadonlySet<RowKey> | 'unknown';
type RemoteOptions = Omit<KernelDataPlaneOptions, 'log'>;

interface Answer {
  readonly id?: number;
  readonly result?: unknown;
  readonly error?: { message: string; code?: string; class?: ErrorClass; fix?: string; exitCode?: ExitCode };
  readonly event?: 'wake' | 'session' | 'message' | 'log';
  readonly value?: unknown;
  readonly writes: number;
  readonly now: number;
}

interface Waiting {
  resolve(value: unknown): void;
  reject(error: Error): void;
}

const CHILD = 'test/netns/plane-child.mjs';

/** The kernel data plane of another network namespace: the shipped code in a process of its own, called by messages. */
export class RemotePlane implements DataPlane {
  readonly sessions: SessionPlane;
  readonly messages: MessagePlane;
  readonly log: unknown[] = [];
  readonly #child: ChildProcess;
  readonly #waiting = new Map<number, Waiting>();
  readonly #wakes = new Set<(keys: Wake) => void>();
  readonly #listeners = new Set<(event: SessionEvent) => void>();
  readonly #messageListeners = new Set<(message: PeerMessage) => void>();
  readonly #exited: Promise<void>;
  #id = 0;
  #writes = 0;
  #clock = { now: 0, at: 0 };

  private constructor(prefix: readonly string[], build: string) {
    const [command = process.execPath, ...rest] = [...prefix, process.execPath, join(build, CHILD)];
    this.#child = spawn(command, rest, { stdio: ['ignore', 'inherit', 'inherit', 'ipc'], serialization: 'advanced' });
    this.#child.on('message', (message) => this.#onAnswer(message as Answer));
    this.#exited = new Promise((resolve) => {
      this.#child.on('exit', () => {
        for (const { reject } of this.#waiting.values()) reject(new Error('the data plane process ended'));
        this.#waiting.clear();
        resolve();
      });
    });
    this.sessions = this.#sessionPlane();
    this.messages = this.#messagePlane();
  }

  /** `prefix` enters the namespace: `ip netns exec odp-a`. `build`: whose data plane it is; default: this one's. */
  static async start(prefix: readonly string[], options: RemoteOptions, build = projectRoot): Promise<RemotePlane> {
    const plane = new RemotePlane(prefix, build);
    await plane.#call('own', 'create', options);
    return plane;
  }

  get writes(): number {
    return this.#writes;
  }
  get pid(): number {
    return this.#child.pid ?? -1;
  }

  adopt(signal?: AbortSignal): Promise<AdoptReport> {
    return this.#call('plane', 'adopt', stateOf(signal)) as Promise<AdoptReport>;
  }
  observe(signal?: AbortSignal, keys?: ReadonlySet<RowKey>): Promise<RowSet<ObservedRow>> {
    return this.#call('plane', 'observe', stateOf(signal), keys) as Promise<RowSet<ObservedRow>>;
  }
  apply(change: Change, signal?: AbortSignal): Promise<void> {
    return this.#call('plane', 'apply', change, stateOf(signal)) as Promise<void>;
  }
  refusals(): Promise<readonly Refusal[]> {
    return this.#call('plane', 'refusals') as Promise<readonly Refusal[]>;
  }
  counters(): Promise<DataPlaneCounters> {
    return this.#call('plane', 'counters') as Promise<DataPlaneCounters>;
  }
  describe(): Promise<DataPlaneDescription> {
    return this.#call('plane', 'describe') as Promise<DataPlaneDescription>;
  }
  teardown(signal?: AbortSignal): Promise<void> {
    return this.#call('plane', 'teardown', stateOf(signal)) as Promise<void>;
  }

  watch(wake: (keys: Wake) => void): Stop {
    return this.#subscribe(this.#wakes, wake, 'watch');
  }

  /** Opens handshake sockets on the port, as an agent does. */
  async occupy(port: number): Promise<void> {
    await this.#call('own', 'occupy', port);
  }
  /** Datagrams that got into those sockets. */
  async received(): Promise<number> {
    return (await this.#call('own', 'received')) as number;
  }

  /** Ends the process as an agent ends: descriptors closed, traffic going on. */
  async close(): Promise<void> {
    if (this.#child.exitCode === null && this.#child.signalCode === null && this.#child.connected) {
      await this.#call('plane', 'close');
      this.#child.disconnect();
    }
    await this.#exited;
  }
  async kill(): Promise<void> {
    this.#child.kill('SIGKILL');
    await this.#exited;
  }

  #sessionPlane(): SessionPlane {
    const call = <T>(method: string, ...args: unknown[]) => this.#call('sessions', method, ...args) as Promise<T>;
    return {
      now: () => this.#clock.now + performance.now() - this.#clock.at,
      install: (session: NewSession) => call('install', session),
      remove: (id: SessionId) => call<SessionState | undefined>('remove', id),
      list: (ids?: readonly SessionId[]) => call<readonly SessionState[]>('list', ids),
      setEndpoint: (peer: PublicKey, endpoint: Endpoint) => call('setEndpoint', peer, endpoint),
      endpoint: (peer: PublicKey) => call('endpoint', peer),
      keepalive: (peer: PublicKey) => call('keepalive', peer),
      resend: (name: string, frame: Uint8Array) => call('resend', name, frame),
      setMac1Keys: (keys: readonly Uint8Array[]) => call('setMac1Keys', keys),
      setCookieSecrets: (secrets: readonly Uint8Array[]) => call('setCookieSecrets', secrets),
      expectAnswer: (id: SessionId, forMs: number) => call('expectAnswer', id, forMs),
      openWay: (to: Endpoint) => call('openWay', to),
      forgetAnswer: (id: SessionId) => call('forgetAnswer', id),
      sendOnPath: (peer: PublicKey, path: Path, message: PathMessage) => call('sendOnPath', peer, path, message),
      onEvent: (listener) => this.#subscribe(this.#listeners, listener, 'listen'),
    };
  }

  #messagePlane(): MessagePlane {
    return {
      capacity: (name) => this.#call('messages', 'capacity', name) as Promise<number>,
      send: (message) => this.#call('messages', 'send', message) as Promise<void>,
      onMessage: (listener) => this.#subscribe(this.#messageListeners, listener, 'receive'),
    };
  }

  /** The child listens while anybody does. */
  #subscribe<T>(listeners: Set<T>, listener: T, method: 'watch' | 'listen' | 'receive'): Stop {
    listeners.add(listener);
    const started = listeners.size === 1 ? this.#call('own', method) : Promise.resolve();
    return async () => {
      await started;
      listeners.delete(listener);
      if (listeners.size === 0) await this.#call('own', 'stop', method);
    };
  }

  #call(target: Target, method: string, ...args: unknown[]): Promise<unknown> {
    const id = ++this.#id;
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject });
      this.#child.send({ id, target, method, args }, (error) => {
        if (error === null) return;
        this.#waiting.delete(id);
        reject(error);
      });
    });
  }

  #onAnswer(answer: Answer): void {
    this.#writes = answer.writes;
    this.#clock = { now: answer.now, at: performance.now() };
    if (answer.event === 'log') this.log.push(answer.value);
    if (answer.event === 'wake') for (const wake of this.#wakes) wake(answer.value as Wake);
    if (answer.event === 'message') {
      for (const listener of this.#messageListeners) listener(answer.value as PeerMessage);
    }
    if (answer.event === 'session') for (const listener of this.#listeners) listener(answer.value as SessionEvent);
    if (answer.id === undefined) return;
    const waiting = this.#waiting.get(answer.id);
    this.#waiting.delete(answer.id);
    if (answer.error === undefined) waiting?.resolve(answer.result);
    else waiting?.reject(errorOf(answer.error));
  }
}

/** What the child makes a signal of: it can be cancelled before the call, not during it. */
function stateOf(signal: AbortSignal | undefined): object {
  return signal?.aborted ? { signal: 'aborted', reason: (signal.reason as Error).message } : { signal: 'idle' };
}

function errorOf(error: NonNullable<Answer['error']>): Error {
  const { message, code, class: kind, fix, exitCode } = error;
  if (code === undefined || kind === undefined) return new Error(message);
  return new OmniError(message, {
    code,
    class: kind,
    ...(fix !== undefined && { fix }),
    ...(exitCode !== undefined && { exitCode }),
  });
}
