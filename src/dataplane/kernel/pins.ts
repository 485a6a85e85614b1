import { mkdirSync, readdirSync, rmdirSync, rmSync, statSync, unlinkSync } from 'node:fs';
import { join } from 'node:path';
import type { Context } from './context.ts';
import { stall } from './errors.ts';

/** The programs of `bpf/`: object file, program name and what their pins are called. */
export const PROGRAMS = {
  egress: 'omni_egress',
  ingress: 'omni_ingress',
  open: 'omni_open',
  spread: 'omni_spread',
  slowpath: 'omni_slowpath',
  delivery: 'omni_delivery',
  socket: 'omni_socket',
} as const;
export type ProgramRole = keyof typeof PROGRAMS;

/** Paths below `<bpffs>/omni/<interface>/`. */
export interface Pins {
  readonly interface: string;
  readonly folder: string;
  map(name: string): string;
  program(role: ProgramRole): string;
  readonly egressLink: string;
  ingressLink(underlay: string): string;
}

const INGRESS_LINK = 'link_ingress_';

/** bpffs refuses names with a dot, which interface names may have (`eth0.100`). */
function pinName(interfaceName: string): string {
  return interfaceName.replaceAll('%', '%25').replaceAll('.', '%2e');
}
function interfaceOfPin(name: string): string {
  return name.replaceAll('%2e', '.').replaceAll('%25', '%');
}

export function pinsOf(bpffs: string, interfaceName: string): Pins {
  const folder = join(bpffs, 'omni', pinName(interfaceName));
  return {
    interface: interfaceName,
    folder,
    map: (name) => join(folder, name),
    program: (role) => join(folder, `prog_${role}`),
    egressLink: join(folder, 'link_egress'),
    ingressLink: (underlay) => join(folder, INGRESS_LINK + pinName(underlay)),
  };
}

function list(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT' || (error as NodeJS.ErrnoException).code === 'ENOTDIR')
      return [];
    throw error;
  }
}

/** Interfaces that have a folder of pins. */
export function pinnedInterfaces(bpffs: string): string[] {
  return list(join(bpffs, 'omni')).map(interfaceOfPin).sort();
}

/** Underlay interfaces with a pinned ingress link. */
export function pinnedUnderlays(pins: Pins): string[] {
  return list(pins.folder)
    .filter((name) => name.startsWith(INGRESS_LINK))
    .map((name) => interfaceOfPin(name.slice(INGRESS_LINK.length)))
    .sort();
}

export function isPinned(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false }) !== undefined;
}

/** Unpins everything of one interface; links must have been detached. */
export function unpinAll(context: Context, pins: Pins): void {
  for (const name of list(pins.folder)) {
    const path = join(pins.folder, name);
    context.calls.write(path, () => unlinkSync(path));
  }
  if (isPinned(pins.folder)) rmdirSync(pins.folder);
  const parent = join(pins.folder, '..');
  if (isPinned(parent) && list(parent).length === 0) rmdirSync(parent);
}

/** Makes sure that `<bpffs>` is a bpf file system, mounting one over an empty folder, and that the folder is there. */
export function ensureFolder(context: Context, pins: Pins): void {
  const { bpffs, calls } = context;
  if (isPinned(pins.folder)) return;
  const known = isPinned(bpffs);
  if (!known) mkdirSync(bpffs, { recursive: true, mode: 0o700 });
  if (!calls.read(bpffs, (native) => native.isBpffs({ path: bpffs }))) {
    const command = `mount -t bpf bpf ${bpffs}`;
    if (list(bpffs).length > 0) {
      throw stall(
        'bpffs-missing',
        bpffs,
        `${bpffs} is no bpf file system, and the folder is not empty`,
        `run: ${command}`,
      );
    }
    try {
      calls.write(bpffs, (native) => native.mountBpffs({ path: bpffs }));
    } catch (cause) {
      if (!known) rmSync(bpffs, { recursive: true, force: true });
      throw stall(
        'bpffs-missing',
        bpffs,
        `${bpffs} is no bpf file system, and mounting one failed`,
        `run: ${command}`,
        cause,
      );
    }
    context.log('info', 'mounted a bpf file system', { path: bpffs });
  }
  mkdirSync(pins.folder, { recursive: true, mode: 0o700 });
}
