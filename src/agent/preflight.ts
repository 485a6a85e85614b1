import { loadNative } from '../dataplane/kernel/native.ts';
import { ExitCode, OmniError } from '../errors.ts';
import { openUdp } from '../session/transport.ts';
import type { AgentConfig } from './config.ts';

/** What the kernel engine does, each with the capability that the kernel asks for it. */
const CAPABILITIES = ['CAP_NET_ADMIN', 'CAP_BPF', 'CAP_PERFMON', 'CAP_NET_RAW'];
/** Until 5.8, and in every kernel since, this one implies those two. */
const IMPLIED_BY_SYS_ADMIN = ['CAP_BPF', 'CAP_PERFMON'];

/** What the programs need of the kernel, by the names of `probe()`. */
const FEATURES = [
  { field: 'bpf', what: 'the bpf() system call' },
  { field: 'xdpProgram', what: 'XDP programs' },
  { field: 'schedClsProgram', what: 'traffic control programs' },
  { field: 'ringbuf', what: 'BPF ring buffers' },
  { field: 'spinLock', what: 'BPF spin locks' },
  { field: 'bootTime', what: 'CLOCK_BOOTTIME in BPF' },
] as const;

/** What this kernel refuses of what the kernel engine cannot do without, in words. */
export function kernelShortcomings(probed: Readonly<Record<(typeof FEATURES)[number]['field'], boolean>>): string[] {
  return FEATURES.filter(({ field }) => !probed[field]).map(({ what }) => what);
}

/** Refuses to start where the kernel engine could not work, before anything is touched. Exit code 2. */
export function checkKernel(config: AgentConfig): void {
  const native = loadNative();
  const held = new Set(native.capabilities());
  if (held.has('CAP_SYS_ADMIN')) for (const name of IMPLIED_BY_SYS_ADMIN) held.add(name);
  const lacking = CAPABILITIES.filter((name) => !held.has(name));
  if (lacking.length > 0) {
    throw refusal(`the agent lacks ${lacking.join(', ')}`, 'not-permitted', 'Run it as root, or grant them to it.');
  }
  const probed = native.probe();
  const shortcomings = kernelShortcomings(probed);
  if (shortcomings.length > 0) {
    throw refusal(
      `kernel ${probed.kernel} refuses ${shortcomings.join(', ')}`,
      'kernel-unsuitable',
      'Boot Linux 5.15 or newer with the options that `omni doctor` names.',
    );
  }
  // An interface that is gone is a reason to tear down, not to refuse it.
  if (config.teardown) return;
  const present = new Set(native.links({}).map(({ name }) => name));
  const missing = config.underlay?.find((name) => !present.has(name));
  if (missing !== undefined) {
    throw refusal(
      `there is no interface ${missing} on this node`,
      'underlay-missing',
      'Name the interfaces that reach the other nodes with --underlay; ip link shows them.',
    );
  }
}

/** Throws `port-in-use` where somebody else has the cluster's UDP port. Exit code 2. */
export async function checkPort(port: number): Promise<void> {
  const transport = await openUdp({ port, onDatagram: () => undefined, onError: () => undefined });
  await transport.close();
}

export function refusal(message: string, code: string, fix: string | undefined): OmniError {
  return new OmniError(message, {
    code,
    class: 'stall',
    exitCode: ExitCode.usage,
    ...(fix === undefined ? {} : { fix }),
  });
}
