import type { SourceLimits } from '../source/limits.ts';
import type { LogLevel } from './log.ts';

/** What an agent is started with: flags, environment and file, parsed. Paths are absolute. */
export interface AgentConfig {
  /** A git URL or a folder; absent: sets are handed over by `omni apply`. */
  readonly source?: string;
  /** Branch or tag. */
  readonly ref: string;
  /** Folder of the manifests inside the repository; '' is its root. */
  readonly path: string;
  readonly intervalMs: number;
  /** Interfaces that datagrams come in on; absent: those that hold a default route. */
  readonly underlay?: readonly string[];
  readonly stateDir: string;
  /** The control API. */
  readonly socket: string;
  readonly bpffs: string;
  /** `host:port` of the metrics; absent: only on the control socket. */
  readonly metrics?: string;
  /** The node's key. */
  readonly identity: string;
  readonly pskFile?: string;
  readonly engine: 'kernel' | 'memory';
  /** Of the kernel engine: `auto` is native where every interface can. */
  readonly xdpMode?: 'auto' | 'native' | 'generic';
  /** Folder of the compiled BPF programs: `build/bpf` of the installation. */
  readonly objects: string;
  readonly logFormat: 'json' | 'text';
  readonly logLevel?: LogLevel;
  /** Remove everything of ours from this node, and end. */
  readonly teardown: boolean;
  /** Of this program, for status and metrics. */
  readonly version: string;
  readonly limits?: Partial<SourceLimits>;
  /** Where the log goes, a line at a time; stderr unless set. */
  readonly writeLog?: (line: string) => void;
}
