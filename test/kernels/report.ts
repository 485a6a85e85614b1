/** What a kernel said of itself, in one line of JSON on its console; made by guest/main.ts. */
export interface KernelReport {
  /** As `uname -r`. */
  readonly kernel: string;
  readonly cpus: number;
  /** What `src/agent/kernel-needs.ts` says that this kernel lacks, by the names of the addon's probe. */
  readonly lacks: readonly string[];
  readonly programs: readonly ProgramStatistics[];
  readonly selftest: { readonly vectors: number; readonly wrong: readonly string[] };
  readonly traffic: readonly TrafficReport[];
  readonly doctor: CommandReport | undefined;
  /** Run where the kernel lacks something that an agent needs. */
  readonly agent: AgentReport | undefined;
  /** What threw, step by step; the others went on. */
  readonly failures: readonly { readonly step: string; readonly message: string }[];
  /** Since the guest's script started, on the guest's own clock. */
  readonly tookMs: number;
}

export interface ProgramStatistics {
  readonly name: string;
  /** After the verifier rewrote them; each is 8 bytes. */
  readonly instructions: number;
  /** Machine code; 0: no JIT. */
  readonly jitedBytes: number;
  /** What the verifier walked through, of at most a million. */
  readonly verifiedInstructions: number;
  /** Bytes of each function's frame, the program's own first; at most 512 along any chain of calls. */
  readonly stackBytes: readonly number[];
  /** The verifier's own time, on this kernel's clock. */
  readonly verifierMs: number;
}

export interface PingResult {
  /** Version of IP that the datagrams went by. */
  readonly underlay: 4 | 6;
  readonly from: string;
  readonly to: string;
  /** Bytes of ICMP payload. */
  readonly size: number;
  readonly sent: number;
  readonly received: number;
}

export interface TrafficReport {
  readonly mode: 'native' | 'generic';
  /** Mode of each interface that runs a program, as the kernel has it. */
  readonly interfaces: readonly string[];
  readonly pings: readonly PingResult[];
  /** Datagrams that one end sealed and the other opened, both ways. */
  readonly sealed: { readonly tx: number; readonly rx: number };
  /** Reasons with a count; empty: nothing was dropped. */
  readonly drops: Readonly<Record<string, number>>;
}

/** A command that ended. */
export interface CommandReport {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface AgentReport extends CommandReport {
  /** What was on the node after it and not before, or the other way round: links, addresses, routes, pins, files. */
  readonly changed: readonly string[];
}

const MARK = 'omni-kernel-report ';

/** The line that carries a report. */
export function reportLine(report: KernelReport): string {
  return MARK + JSON.stringify(report);
}

/** The report in what a console showed; undefined: there is none. */
export function reportIn(console: string): KernelReport | undefined {
  const line = console.split(/\r?\n/).find((text) => text.startsWith(MARK));
  return line === undefined ? undefined : (JSON.parse(line.slice(MARK.length)) as KernelReport);
}
