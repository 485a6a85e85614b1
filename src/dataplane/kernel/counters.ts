import type { DataPlaneCounters } from '../../reconcile/dataplane.ts';
import type { BpfMap } from './calls.ts';
import { u32Key } from './codec.ts';
import type { Context } from './context.ts';
import { OmniDrop, OmniStat, omniDropNames } from './layout.ts';

const U64 = 8;

/** Sum over all CPUs of one row of per-CPU arrays of u64. */
function total(context: Context, maps: readonly (BpfMap | undefined)[], index: number): bigint {
  let sum = 0n;
  for (const map of maps) {
    const values = map && context.calls.read('counters', () => map.lookup({ key: u32Key(index) }));
    for (let offset = 0; values !== undefined && offset < values.length; offset += U64) {
      sum += values.readBigUInt64LE(offset);
    }
  }
  return sum;
}

/** Counts live in pinned maps: they go on while no agent runs, and begin again when the link is made anew. */
export function readCounters(context: Context): DataPlaneCounters {
  const overlays = [...context.overlays.values()];
  const stats = overlays.flatMap(({ maps, former }) => [maps.stats, former.stats]);
  const drops = overlays.flatMap(({ maps, former }) => [maps.drop, former.drop]);
  const stat = (index: number) => total(context, stats, index);
  const drop = (index: number) => total(context, drops, index);
  return {
    txPackets: stat(OmniStat.txPackets),
    txBytes: stat(OmniStat.txBytes),
    rxPackets: stat(OmniStat.rxPackets),
    rxBytes: stat(OmniStat.rxBytes),
    queued: stat(OmniStat.queued),
    handedOver: stat(OmniStat.handedOver),
    controlPassed: stat(OmniStat.controlPassed),
    neighboursAnswered: stat(OmniStat.neighAnswered),
    neighboursResolved: stat(OmniStat.neighResolve),
    drops: Object.fromEntries(
      omniDropNames.flatMap((name, index) => (index === OmniDrop.none ? [] : [[name, drop(index)]])),
    ),
  };
}
