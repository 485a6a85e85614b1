import type { PruneLimit } from '../reconcile/guards.ts';
import type { RemoteOptions } from '../source/git-remotes.ts';
import type { VerifyOptions } from '../source/git-verify.ts';
import type { SourceLimits } from '../source/limits.ts';
import type { BusyHook } from './busy.ts';
import type { LogLevel } from './log.ts';
import type { Window } from './windows.ts';

/** A folder of manifests, or remotes of one git repository that are tried in turn. */
export type SourceConfig =
  | { readonly kind: 'directory'; readonly path: string }
  | { readonly kind: 'git'; readonly remotes: readonly RemoteOptions[] };

export interface WebhookConfig {
  /** `host:port`, IPv6 in brackets. */
  readonly listen: string;
  readonly secretFile: string;
}

/** What an agent is started with: flags, environment and file, parsed. Paths are absolute. */
export interface AgentConfig {
  /** Absent: sets are handed over by `omni apply`. */
  readonly source?: SourceConfig;
  /** Branch or tag. */
  readonly ref: string;
  /** Folder of the manifests inside the repository; '' is its root. */
  readonly path: string;
  readonly intervalMs: number;
  /** Absent: signatures are not looked at. */
  readonly verify?: VerifyOptions;
  /** Remotes over `http` and `git` are followed without signatures. */
  readonly insecureSource?: boolean;
  /** Calls by a git server, to look now. */
  readonly webhook?: WebhookConfig;
  /** A revision that takes more away waits for a human (`parsePruneLimit`); absent: `DEFAULT_PRUNE_LIMIT`. */
  readonly pruneLimit?: PruneLimit;
  /** New revisions are adopted inside one of these only; absent: always. */
  readonly windows?: readonly Window[];
  /** Asked before a new revision is adopted. */
  readonly busy?: BusyHook;
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
  /** `auto` is native where every interface can. */
  readonly xdpMode?: 'auto' | 'native' | 'generic';
  /** CPUs that datagrams may be opened on while the one that they arrive on is busy. */
  readonly receiveCpus?: 'auto' | 'none' | readonly number[];
  /** Folder of the compiled BPF programs: `build/bpf` of the installation. */
  readonly objects: string;
  /** What git runs in: `build/omni-sandbox` of the installation. */
  readonly sandbox: string;
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
