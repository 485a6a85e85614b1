import type { Native } from '../dataplane/kernel/native.ts';
import { fixOf, missingCapabilities, missingFeatures } from '../dataplane/kernel/needs.ts';
import { ExitCode, OmniError } from '../errors.ts';
import { openUdp } from '../session/transport.ts';
import type { AgentConfig } from './config.ts';
import type { Log } from './log.ts';

/** Refuses to start where the kernel engine could not work, before anything is touched. Exit code 2. Warns of what it does badly. */
export function checkKernel(native: Native, config: Pick<AgentConfig, 'teardown' | 'underlay'>, log: Log): void {
  const lacking = missingCapabilities(native.capabilities());
  if (lacking.length > 0) {
    throw refusal(`the agent lacks ${lacking.join(', ')}`, 'not-permitted', 'Run it as root, or grant them to it.');
  }
  const probed = native.probe();
  const missing = missingFeatures(probed, 'needed');
  if (missing.length > 0) {
    const names = missing.map(({ what, since }) => `${what} (in Linux since ${since})`).join(', ');
    const fixes = new Set(missing.map((feature) => fixOf(feature, probed.kernel)));
    throw refusal(`kernel ${probed.kernel} refuses ${names}`, 'kernel-unsuitable', [...fixes].join(' '));
  }
  for (const feature of missingFeatures(probed, 'degraded')) {
    log('warn', `the kernel gives us no ${feature.what}: ${feature.why}`, { fix: fixOf(feature, probed.kernel) });
  }
  // An interface that is gone is a reason to tear down, not to refuse it.
  if (config.teardown) return;
  const present = new Set(native.links({}).map(({ name }) => name));
  const absent = config.underlay?.find((name) => !present.has(name));
  if (absent !== undefined) {
    throw refusal(
      `there is no interface ${absent} on this node`,
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
