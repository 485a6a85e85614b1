import { CAPABILITIES, FEATURES, missingCapabilities, missingFeatures } from '../../agent/kernel-needs.ts';
import type { Native } from '../../dataplane/kernel/native.ts';
import { OmniError } from '../../errors.ts';
import { atLeast, type Finding, failure, ok, unknown, warning } from './finding.ts';
import type { Host } from './host.ts';

const KERNEL_FLOOR = '5.15';
const AS_ROOT = 'Run `sudo omni doctor`.';

/** What the kernel can do, by trying, and what this process may do. `bpffs`: where the agent pins. */
export async function kernelFindings(host: Host, bpffs: string): Promise<readonly Finding[]> {
  const version = atLeast(host.kernelRelease, KERNEL_FLOOR)
    ? ok('kernel', `Linux ${host.kernelRelease}`)
    : failure(
        'kernel',
        `Linux ${host.kernelRelease} is older than ${KERNEL_FLOOR}`,
        `Boot a kernel of ${KERNEL_FLOOR} or later.`,
      );
  let native: Native;
  try {
    native = host.native();
  } catch (error) {
    if (!(error instanceof OmniError)) throw error;
    return [
      version,
      failure('addon', error.message, error.fix ?? 'Run `npm run build`.'),
      unknown('bpf', 'without the addon nothing of BPF can be tried', 'Mend the addon first.'),
    ];
  }
  return [
    version,
    ok('addon', 'the native addon loads'),
    await btfFinding(host),
    capabilityFinding(host, native),
    ...bpfFindings(host, native),
    bpffsFinding(host, native, bpffs),
  ];
}

async function btfFinding(host: Host): Promise<Finding> {
  if ((await host.file('/sys/kernel/btf/vmlinux')).exists) return ok('btf', 'the kernel describes its types (BTF)');
  return warning(
    'btf',
    'the kernel has no BTF of its own (/sys/kernel/btf/vmlinux); ours works without, tracing tools do not',
    'Use a kernel built with CONFIG_DEBUG_INFO_BTF=y.',
  );
}

function capabilityFinding(host: Host, native: Native): Finding {
  const missing = missingCapabilities(native.capabilities());
  if (missing.length === 0) return ok('capabilities', `this process has ${Object.keys(CAPABILITIES).join(', ')}`);
  const why = missing.map((name) => `${name} (${CAPABILITIES[name]})`).join(', ');
  if (!host.isRoot) return unknown('capabilities', `an agent run by this user would lack ${why}`, AS_ROOT);
  return failure('capabilities', `root lacks ${why} here`, `Grant the container or service ${missing.join(', ')}.`);
}

function bpfFindings(host: Host, native: Native): readonly Finding[] {
  const probed = native.probe();
  const missing = missingFeatures(probed);
  if (missing.length === 0)
    return [ok('bpf', `${FEATURES.map(({ what }) => what).join(', ')}`), jitFinding(probed.jit)];
  const names = missing.map(({ what }) => what).join(', ');
  const log = probed.log.trim().split('\n').join('; ');
  const denied = missingCapabilities(native.capabilities()).length > 0 || /EPERM|EACCES/.test(log);
  if (denied) {
    const fix = host.isRoot ? 'Grant the capabilities named above.' : AS_ROOT;
    return [unknown('bpf', `could not try ${names}: not permitted`, fix)];
  }
  const fix = `Boot a kernel with ${[...new Set(missing.map(({ config }) => config))].join(', ')}.`;
  return [failure('bpf', `the kernel refuses ${names} (${log})`, fix)];
}

function jitFinding(jit: boolean): Finding {
  if (jit) return ok('bpf-jit', 'programs are compiled to machine code (JIT)');
  return warning(
    'bpf-jit',
    'the BPF JIT is off: encryption runs in an interpreter, many times slower',
    'Run `sysctl net.core.bpf_jit_enable=1`.',
  );
}

function bpffsFinding(host: Host, native: Native, path: string): Finding {
  try {
    if (native.isBpffs({ path })) return ok('bpffs', `${path} is a BPF file system`);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    if (!host.isRoot) return unknown('bpffs', `${path} cannot be looked at: ${reason}`, AS_ROOT);
    return failure('bpffs', `${path} cannot be looked at: ${reason}`, `Run \`mkdir -p ${path}\`.`);
  }
  // The agent mounts one itself, which takes CAP_SYS_ADMIN.
  if (new Set(native.capabilities()).has('CAP_SYS_ADMIN')) {
    return ok('bpffs', `${path} is no BPF file system yet; the agent mounts one there`);
  }
  if (!host.isRoot) return unknown('bpffs', `${path} is no BPF file system; an agent run as root mounts it`, AS_ROOT);
  return failure('bpffs', `${path} is no BPF file system`, `Run \`mount -t bpf bpf ${path}\`.`);
}
