import { renameSync, unlinkSync } from 'node:fs';
import type { BpfMap } from './calls.ts';
import { ONE_KEY } from './codec.ts';
import type { Context } from './context.ts';
import { fromRow, writeGate } from './gate.ts';
import { OMNI_COUNTERS } from './layout.ts';
import type { Overlay } from './overlay.ts';
import { isPinned, type Pins } from './pins.ts';

/** What builds before this one pinned in another way, taken over without a packet or a count lost. */

const COUNTERS = { drop: 'drop_map', stats: 'stats_map' } as const;
/** Counters that were too small for later reasons: nothing counts in them any more, but what they hold still counts. */
export type FormerCounters = { readonly [K in keyof typeof COUNTERS]?: BpfMap };

function formerPin(pins: Pins, name: string): string {
  return pins.map(`${name}_before`);
}

/**
 * Makes room for counters of this build's size, where the pinned ones are smaller; true if it did. The programs that run
 * go on counting in the old ones, under another name, until others take their place.
 */
export function setCountersAside(context: Context, pins: Pins): boolean {
  const { calls } = context;
  let aside = false;
  for (const name of Object.values(COUNTERS)) {
    const pin = pins.map(name);
    if (!isPinned(pin)) continue;
    const map = calls.read(pin, (native) => new native.BpfMap({ pin }));
    const { maxEntries } = map.info;
    map.close();
    if (maxEntries >= OMNI_COUNTERS) continue;
    calls.write(pin, () => renameSync(pin, formerPin(pins, name)));
    aside = true;
  }
  return aside;
}

/** `open`: opens a map by the name of its pin. */
export function openFormerCounters(pins: Pins, open: (mapName: string) => BpfMap): FormerCounters {
  const former: { -readonly [K in keyof FormerCounters]: FormerCounters[K] } = {};
  for (const [role, name] of Object.entries(COUNTERS) as [keyof FormerCounters, string][]) {
    if (isPinned(formerPin(pins, name))) former[role] = open(`${name}_before`);
  }
  return former;
}

/** Where mac1's keys were before `gate_map`: `u32 count, pad; u8 keys[2][32]`. */
const MAC1_MAP = 'mac1_map';
const MAC1_KEYS_OFFSET = 8;

/**
 * Moves the keys of mac1 to where they are now. They are newer than what is there: the last agent was of a former build,
 * since no other leaves this map.
 */
export function inheritGate(context: Context, overlay: Overlay): void {
  const { calls } = context;
  const pin = overlay.pins.map(MAC1_MAP);
  if (!isPinned(pin)) return;
  const map = calls.read(pin, (native) => new native.BpfMap({ pin }));
  const row = calls.read(pin, () => map.lookup({ key: ONE_KEY }));
  map.close();
  if (row !== undefined) {
    const mac1Keys = fromRow(row.subarray(MAC1_KEYS_OFFSET), row.readUInt32LE(0));
    writeGate(context, overlay, { mac1Keys });
    for (const secret of [row, ...mac1Keys]) secret.fill(0);
  }
  calls.write(pin, () => unlinkSync(pin));
}
