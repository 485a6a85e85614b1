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

/** 5.15, the oldest kernel that is tested, has all of it. */
const OLD_KERNEL = 'a kernel of 5.15 or later';

/** What the programs need of the kernel, by the names of `probe()`, and what a kernel that lacks it must be built with. */
export const FEATURES = [
  { field: 'bpf', what: 'BPF maps', config: 'CONFIG_BPF_SYSCALL=y' },
  { field: 'xdpProgram', what: 'XDP programs', config: 'CONFIG_XDP_SOCKETS=y and CONFIG_BPF_SYSCALL=y' },
  { field: 'schedClsProgram', what: 'TC programs', config: 'CONFIG_NET_CLS_BPF and CONFIG_NET_SCH_INGRESS' },
  { field: 'ringbuf', what: 'ring buffers', config: OLD_KERNEL },
  { field: 'btf', what: 'types of maps (BTF)', config: 'CONFIG_BPF_SYSCALL=y' },
  { field: 'spinLock', what: 'spin locks in maps', config: OLD_KERNEL },
  { field: 'bootTime', what: 'the boot clock', config: OLD_KERNEL },
] as const;

export type Feature = (typeof FEATURES)[number];

/** What this kernel refuses of what the kernel engine cannot do without. */
export function missingFeatures(probed: Readonly<Record<Feature['field'], boolean>>): readonly Feature[] {
  return FEATURES.filter(({ field }) => !probed[field]);
}
