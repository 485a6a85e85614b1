import type { BpfMap, LinkInfo } from './calls.ts';
import { ONE_KEY, u32Key } from './codec.ts';
import type { Context } from './context.ts';
import { allowedCpus, onlineCpus } from './cpus.ts';
import { decodeSpreadEntry, encodeSpreadEntry, OMNI_MAX_RECEIVE_CPUS, OMNI_MAX_SPREAD_UNDERLAYS } from './layout.ts';
import type { Overlay } from './overlay.ts';
import { isPinned, type Pins } from './pins.ts';
import { programId } from './programs.ts';
import { findLink } from './veth.ts';

/** CPUs that may open datagrams which arrive on another one; `auto`: all that this process may run on. */
export type ReceiveCpus = 'auto' | 'none' | readonly number[];

const MAPS = { spread: 'spread_map', cpu: 'cpu_map', open: 'open_map' } as const;
/** Pins that lack one of these are an older build's; the programs alone use the last two. */
export const SPREAD_MAPS: readonly string[] = [...Object.values(MAPS), 'load_map'];
/** Those that user space writes. */
export const SPREAD_ROWS: readonly string[] = Object.values(MAPS);

/** Datagrams that may wait for a CPU: ten milliseconds of work on full-size ones. */
const QUEUE = 2048;

function withMap<T>(context: Context, pins: Pins, name: keyof typeof MAPS, action: (map: BpfMap) => T): T {
  const pin = pins.map(MAPS[name]);
  return context.calls.read(pin, (native) => {
    const map = new native.BpfMap({ pin });
    try {
      return action(map);
    } finally {
      map.close();
    }
  });
}

/** The CPUs that are asked for, as far as they are there. One alone, and datagrams arrive on it: nothing to spread over. */
function chosenCpus({ receiveCpus }: Context): readonly number[] {
  if (receiveCpus === 'none') return [];
  const online = onlineCpus();
  const cpus = (receiveCpus === 'auto' ? allowedCpus() : receiveCpus).filter((cpu) => online.includes(cpu));
  const single = receiveCpus === 'auto' ? cpus.length < 2 : online.length < 2;
  return single ? [] : cpus.slice(0, OMNI_MAX_RECEIVE_CPUS);
}

/**
 * Of generic XDP no kernel before 6.15 may be asked to take a datagram to another CPU: it hands all but the first one of
 * a batch to the stack, sealed as they are.
 */
function spreads(link: LinkInfo): boolean {
  return link.xdpMode === 'native';
}

/**
 * Gives the programs the CPUs that they may spread datagrams over, after programs were attached: modes are read anew. The
 * program that opens them is swapped between two datagrams. The threads stay with their queues for as long as the maps
 * do, since a new one would overtake what waits for the old one. Where the kernel gives no threads, datagrams are opened
 * where they arrive.
 */
export function syncSpread(context: Context, pins: Pins, underlays: readonly LinkInfo[]): void {
  setOpener(context, pins);
  const cpus = withThreads(context, pins, chosenCpus(context));
  const ifindexes = underlays
    .flatMap(({ name }) => findLink(context, name) ?? [])
    .filter(spreads)
    .map(({ ifindex }) => ifindex)
    .slice(0, OMNI_MAX_SPREAD_UNDERLAYS);
  const value = encodeSpreadEntry({
    count: cpus.length,
    underlays: ifindexes.length,
    cpus: Array.from({ length: OMNI_MAX_RECEIVE_CPUS }, (_, at) => cpus[at] ?? 0),
    ifindexes: Array.from({ length: OMNI_MAX_SPREAD_UNDERLAYS }, (_, at) => ifindexes[at] ?? 0),
  });
  const overlay = context.overlays.get(pins.interface);
  if (overlay !== undefined) overlay.kept.spread = value;
  withMap(context, pins, 'spread', (map) => {
    if (map.lookup({ key: ONE_KEY })?.equals(value) === true) return;
    context.calls.write(pins.map(MAPS.spread), () => map.update({ key: ONE_KEY, value }));
  });
}

/** The row in force. */
export function readSpread(context: Context, pins: Pins): Buffer | undefined {
  return withMap(context, pins, 'spread', (map) => map.lookup({ key: ONE_KEY }));
}

/** What somebody changed of it: the row, the program that opens datagrams, or the CPUs' queues. */
export function spreadFaults(context: Context, { pins, kept }: Pick<Overlay, 'pins' | 'kept'>): string[] {
  if (kept.spread === undefined) return [];
  const row = readSpread(context, pins);
  const opener = withMap(context, pins, 'open', (map) => map.lookup({ key: ONE_KEY }));
  const { count, cpus } = decodeSpreadEntry(kept.spread);
  const lacking = withMap(context, pins, 'cpu', (map) =>
    cpus.slice(0, count).filter((cpu) => map.lookup({ key: u32Key(cpu) }) === undefined),
  );
  return [
    ...(row?.equals(kept.spread) === true ? [] : ['the CPUs that datagrams are spread over were changed']),
    ...(opener?.readUInt32LE() === programId(context, pins.program('open'))
      ? []
      : ['the program in open_map was changed']),
    ...lacking.map((cpu) => `CPU ${cpu} has no queue in cpu_map`),
  ];
}

function setOpener(context: Context, pins: Pins): void {
  const program = pins.program('open');
  const found = withMap(context, pins, 'open', (map) => map.lookup({ key: ONE_KEY }));
  if (found?.readUInt32LE() === programId(context, program)) return;
  context.calls.write(program, (native) => native.setProgram({ map: pins.map(MAPS.open), key: 0, program }));
}

/** A thread for every CPU that datagrams may arrive on: there a peer's way to another one begins. */
function withThreads(context: Context, pins: Pins, cpus: readonly number[]): readonly number[] {
  if (cpus.length === 0) return cpus;
  const program = pins.program('spread');
  const map = pins.map(MAPS.cpu);
  const missing = withMap(context, pins, 'cpu', (entries) =>
    onlineCpus().filter((cpu) => entries.lookup({ key: u32Key(cpu) }) === undefined),
  );
  try {
    for (const key of missing) {
      context.calls.write(map, (native) => native.setProgram({ map, key, program, queue: QUEUE }));
    }
    return cpus;
  } catch (error) {
    context.log('warn', 'cannot spread what arrives over CPUs', { interface: pins.interface, reason: String(error) });
    return [];
  }
}

/** For status: the CPUs in force. */
export function spreadCpus(context: Context, pins: Pins): readonly number[] {
  if (!isPinned(pins.map(MAPS.spread))) return [];
  const value = withMap(context, pins, 'spread', (map) => map.lookup({ key: ONE_KEY }));
  if (value === undefined) return [];
  const { count, cpus } = decodeSpreadEntry(value);
  return cpus.slice(0, count);
}

/** For status: why what arrives there is opened where it arrives, although there are CPUs; undefined: it is not. */
export function spreadObstacle(link: LinkInfo, cpus: readonly number[]): string | undefined {
  if (cpus.length === 0 || spreads(link)) return undefined;
  return `what arrives on ${link.name} is opened on the CPU that it arrives on: the kernel can spread it before generic XDP sees it (RPS)`;
}
