import type { Native } from '../../dataplane/kernel/native.ts';
import {
  CAPABILITIES,
  FEATURES,
  fixOf,
  KERNEL_FLOOR,
  MODULES,
  missingCapabilities,
  missingFeatures,
  reasonOf,
} from '../../dataplane/kernel/needs.ts';
import { OmniError } from '../../errors.ts';
import { atLeast } from '../../versions.ts';
import { type Finding, failure, ok, unknown, warning } from './finding.ts';
import type { Host } from './host.ts';

const AS_ROOT = 'Run `sudo omni doctor`.';

/** What the kernel can do, by trying, and what this process may do. `bpffs`: where the agent pins. */
export async function kernelFindings(host: Host, bpffs: string): Promise<readonly Finding[]> {
  const version = versionFinding(host.kernelRelease);
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
    ...(await moduleFindings(host)),
    bpffsFinding(host, native, bpffs),
    await snapshotFinding(host),
  ];
}

/** A number alone breaks nothing: distributions bring features to old kernels. What is missing is said by trying. */
function versionFinding(release: string): Finding {
  if (atLeast(release, KERNEL_FLOOR)) return ok('kernel', `Linux ${release}`);
  return warning(
    'kernel',
    `Linux ${release} is older than ${KERNEL_FLOOR}, the oldest that this program is made for`,
    `Boot Linux ${KERNEL_FLOOR} or later.`,
  );
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
  const missing = missingFeatures(probed, 'needed');
  const denied = missingCapabilities(native.capabilities()).length > 0 || /\b(EPERM|EACCES)\b/.test(probed.log);
  if (missing.length > 0 && denied) {
    const names = missing.map(({ what }) => what).join(', ');
    const fix = host.isRoot ? 'Grant the capabilities named above.' : AS_ROOT;
    return [unknown('bpf', `could not try ${names}: not permitted`, fix)];
  }
  const because = (feature: (typeof FEATURES)[number]): string => {
    const reason = reasonOf(feature, probed);
    return reason === undefined ? '' : ` (${reason})`;
  };
  const needed = FEATURES.filter(({ need }) => need === 'needed').map(({ what }) => what);
  return [
    ...(missing.length === 0 ? [ok('bpf', needed.join(', '))] : []),
    ...missing.map((feature) => {
      const { what, since, why } = feature;
      const message = `the kernel refuses ${what}${because(feature)}, which Linux has since ${since}: ${why}`;
      return failure('bpf', message, fixOf(feature, probed.kernel));
    }),
    ...FEATURES.filter(({ need }) => need === 'degraded').map((feature) => {
      const check = `bpf-${feature.field}`;
      if (probed[feature.field]) return ok(check, feature.what);
      return warning(check, `no ${feature.what}${because(feature)}: ${feature.why}`, fixOf(feature, probed.kernel));
    }),
  ];
}

/** Whether the kernel has, or could load, what is not tried: making a veth pair or a qdisc would change the node. */
async function moduleFindings(host: Host): Promise<readonly Finding[]> {
  const options = await host.kernelOptions();
  const loaded = await Promise.all(MODULES.map(async ({ name }) => (await host.file(`/sys/module/${name}`)).exists));
  const states = MODULES.map((module, index) => {
    if (loaded[index] === true) return 'there';
    return options === undefined ? 'unknown' : options.has(module.option) ? 'there' : 'missing';
  });
  const those = (state: string) => MODULES.filter((_, index) => states[index] === state);
  const names = (modules: readonly { readonly name: string }[]) => modules.map(({ name }) => name).join(', ');
  const [there, open] = [those('there'), those('unknown')];
  return [
    ...(there.length === 0 ? [] : [ok('modules', `the kernel has ${names(there)}`)]),
    ...those('missing').map(({ name, option, why }) =>
      failure('modules', `the kernel has no ${name}: ${why}`, `Boot a kernel built with ${option}.`),
    ),
    ...(open.length === 0
      ? []
      : [
          unknown(
            'modules',
            `${names(open)} are not loaded yet, and this kernel's options are not to be found`,
            `Run \`modprobe -a ${open.map(({ name }) => name).join(' ')}\` to see.`,
          ),
        ]),
  ];
}

/** Drivers of the device that a hypervisor tells of snapshots by; the newer one passes it on to user space (Linux 6.10). */
const DRIVERS = { telling: '/sys/bus/platform/drivers/vmgenid', silent: '/sys/bus/acpi/drivers/vmgenid' } as const;
/** What any driver's folder holds that no device is. */
const NO_DEVICES: ReadonlySet<string> = new Set(['bind', 'unbind', 'uevent', 'module']);

async function snapshotFinding(host: Host): Promise<Finding> {
  const drives = async (path: string) => (await host.names(path))?.some((name) => !NO_DEVICES.has(name)) === true;
  if (await drives(DRIVERS.telling))
    return ok('snapshots', 'the kernel tells when this machine goes on from a snapshot');
  const unheard = 'sessions would go on with keys and counters that were used before';
  const fix = 'Before a snapshot that is to run again: stop the agent, `omni agent --teardown`.';
  if (await drives(DRIVERS.silent)) {
    const message = `the kernel knows when this machine goes on from a snapshot, and tells nobody: ${unheard}`;
    return warning('snapshots', message, `Boot Linux 6.10 or later. ${fix}`);
  }
  if (/^flags\b.*\bhypervisor\b/m.test((await host.text('/proc/cpuinfo')) ?? '')) {
    const message = `nothing tells when this virtual machine goes on from a snapshot: ${unheard}`;
    return warning('snapshots', message, `Give the machine a generation ID (QEMU: -device vmgenid). ${fix}`);
  }
  return ok('snapshots', 'nothing shows that this is a virtual machine');
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
