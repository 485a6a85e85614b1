import type { Lost } from './pinger.ts';

/** Something that was done to the fleet, and what it may cost those whom it concerns. */
export interface Disturbance {
  readonly what: string;
  /** Hosts; pairs with neither of them have no excuse. */
  readonly hosts: readonly string[];
  readonly fromMs: number;
  /** When its effects are over. */
  readonly toMs: number;
  /** How long a pair may be silent because of it; 0: it must not be noticed. Milliseconds. */
  readonly allowedMs: number;
}

export interface Loss {
  readonly pair: string;
  /** Undefined: nothing that was done explains it. */
  readonly disturbance: Disturbance | undefined;
  readonly packets: number;
  /** When the first was lost, milliseconds since 1970. */
  readonly atMs: number;
  /** From the first to the last lost packet, milliseconds. */
  readonly spanMs: number;
}

/** A reply can be missing from a moment before a disturbance is noted: packets were under way. */
const UNDER_WAY_MS = 50;

/** Gives each lost packet to the latest disturbance that concerns its pair and was going on; one `Loss` per pair and cause. */
export function explain(
  pair: { readonly name: string; readonly hosts: readonly string[] },
  lost: readonly Lost[],
  disturbances: readonly Disturbance[],
): readonly Loss[] {
  const byCause = new Map<Disturbance | undefined, Lost[]>();
  for (const each of lost) {
    const cause = disturbances.findLast(
      ({ hosts, fromMs, toMs }) =>
        each.atMs >= fromMs - UNDER_WAY_MS && each.atMs <= toMs && hosts.some((host) => pair.hosts.includes(host)),
    );
    byCause.set(cause, [...(byCause.get(cause) ?? []), each]);
  }
  return [...byCause].map(([disturbance, packets]) => {
    const times = packets.map(({ atMs }) => atMs);
    const atMs = Math.min(...times);
    return { pair: pair.name, disturbance, packets: packets.length, atMs, spanMs: Math.max(...times) - atMs };
  });
}

/** Losses that nothing excuses: without a cause, or longer than what their cause may cost. */
export function inexcusable(losses: readonly Loss[]): readonly Loss[] {
  return losses.filter(({ disturbance, spanMs }) => disturbance === undefined || spanMs >= disturbance.allowedMs);
}
