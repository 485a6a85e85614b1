import { atLeast } from '../../versions.ts';
import type { Native } from './native.ts';

/** What the kernel engine does, each with the capability that the kernel asks for it. */
export const CAPABILITIES: Readonly<Record<string, string>> = {
  CAP_NET_ADMIN: 'links, addresses, routes, XDP',
  CAP_BPF: 'maps and programs',
  CAP_PERFMON: 'the verifier lets programs use pointers as ours do',
  CAP_NET_RAW: 'sending queued frames again',
};

/** In every kernel since 5.8 this one stands in for those two, which were split off it. */
const SYS_ADMIN_IMPLIES = ['CAP_BPF', 'CAP_PERFMON'];

/** Of those that the kernel engine needs, the ones that are not among `held`. */
export function missingCapabilities(held: readonly string[]): string[] {
  const implied = held.includes('CAP_SYS_ADMIN') ? SYS_ADMIN_IMPLIES : [];
  return Object.keys(CAPABILITIES).filter((name) => !held.includes(name) && !implied.includes(name));
}

/** The oldest kernel that the programs are written for, and the oldest that `omni doctor` does not warn of. */
export const KERNEL_FLOOR = '5.15';

/** By the names of the addon's `probe()`, which tries each. */
interface Feature {
  readonly field: Exclude<keyof ReturnType<Native['probe']>, 'kernel' | 'log'>;
  readonly what: string;
  /** First version of Linux that has it. */
  readonly since: string;
  /** `degraded`: all works without it, but worse. */
  readonly need: 'needed' | 'degraded';
  /** What it is for, or what is worse without it. */
  readonly why: string;
  /** What keeps it from a kernel that is new enough, as an order. */
  readonly fix: string;
}

const WITH_BPF = 'Boot a kernel built with CONFIG_BPF_SYSCALL=y.';
const WITH_BPF_AND_NET = 'Boot a kernel built with CONFIG_BPF_SYSCALL=y and CONFIG_NET=y.';

/** What the programs and the agent ask of the kernel, oldest first. */
export const FEATURES: readonly Feature[] = [
  {
    field: 'bpf',
    what: 'BPF maps',
    since: '3.19',
    need: 'needed',
    why: 'sessions, peers and addresses lie in them',
    fix: WITH_BPF,
  },
  {
    field: 'schedClsProgram',
    what: 'TC programs',
    since: '4.1',
    need: 'needed',
    why: 'one hands up what the fast path leaves to the stack',
    fix: WITH_BPF_AND_NET,
  },
  {
    field: 'xdpProgram',
    what: 'XDP programs',
    since: '4.8',
    need: 'needed',
    why: 'they seal and open every frame',
    fix: WITH_BPF_AND_NET,
  },
  {
    field: 'btf',
    what: 'types of maps (BTF)',
    since: '4.18',
    need: 'needed',
    why: 'the kernel finds the locks in maps by them',
    fix: WITH_BPF,
  },
  {
    field: 'spinLock',
    what: 'spin locks in maps',
    since: '5.1',
    need: 'needed',
    why: 'the replay window is updated under one',
    fix: WITH_BPF,
  },
  {
    field: 'ringbuf',
    what: 'ring buffers',
    since: '5.8',
    need: 'needed',
    why: 'programs tell the agent through one what needs it',
    fix: WITH_BPF,
  },
  {
    field: 'bootTime',
    what: 'the boot clock',
    since: '5.8',
    need: 'needed',
    why: 'lifetimes of sessions go on while a machine sleeps',
    fix: WITH_BPF,
  },
  {
    field: 'xdpLink',
    what: 'links of XDP programs',
    since: '5.9',
    need: 'needed',
    why: 'programs stay attached without an agent, and are swapped in one step',
    fix: WITH_BPF_AND_NET,
  },
  {
    field: 'atomics',
    what: 'atomic operations that return a value',
    since: '5.12',
    need: 'needed',
    why: 'no two frames may get one counter of a session',
    fix: 'Boot a kernel without CONFIG_BPF_JIT_ALWAYS_ON, or on arm64 Linux 5.18 or later.',
  },
  {
    field: 'jit',
    what: 'machine code from programs (JIT)',
    since: '3.16',
    need: 'degraded',
    why: 'encryption runs in an interpreter, many times slower',
    fix: 'Run `sysctl net.core.bpf_jit_enable=1`; on arm64 boot Linux 5.18 or later.',
  },
];

type Probed = ReturnType<Native['probe']>;

/** What this kernel refuses of all that, or of what is needed or better had. */
export function missingFeatures(probed: Probed, need: Feature['need']): readonly Feature[] {
  return FEATURES.filter((feature) => feature.need === need && !probed[feature.field]);
}

/** What to do about a missing feature, on a kernel of this release. */
export function fixOf(feature: Feature, release: string): string {
  return atLeast(release, feature.since) ? feature.fix : `Boot Linux ${KERNEL_FLOOR} or later.`;
}

/** Why the probe of a feature failed, an errno as a rule; undefined where it does not say. */
export function reasonOf(feature: Feature, probed: Probed): string | undefined {
  const prefix = `${feature.field}: `;
  const line = probed.log.split('\n').find((text) => text.startsWith(prefix));
  return line?.slice(prefix.length);
}

/** Modules that the kernel loads when they are first asked for, by their option and what the agent makes with each. */
export const MODULES = [
  { name: 'veth', option: 'CONFIG_VETH', why: 'omni0 is one' },
  { name: 'sch_ingress', option: 'CONFIG_NET_SCH_INGRESS', why: 'its clsact qdisc holds the TC program' },
  { name: 'cls_bpf', option: 'CONFIG_NET_CLS_BPF', why: 'it runs the TC program' },
] as const;
