import { handshakesTo, type Recorded } from '../../lab/hostile.ts';
import type { Lab } from '../../lab/lab.ts';
import { ping } from '../../lab/ping.ts';
import type { End } from './live.ts';

/** What went to `victim` while its pair came up, once called by the other side and once calling. `restart` ends what is there first. */
export async function recordHandshakes(
  lab: Lab,
  victim: End,
  other: End,
  restart: () => Promise<void>,
): Promise<Recorded> {
  const found: { initiations: Uint8Array[]; responses: Uint8Array[] } = { initiations: [], responses: [] };
  for (const [from, to] of [
    [other, victim],
    [victim, other],
  ] as const) {
    const pcap = await lab.capture(victim.host, async () => {
      await restart();
      await ping(from.host, to.vip, { count: 3, waitS: 3 });
    });
    const { initiations, responses } = handshakesTo(victim.host, pcap);
    found.initiations.push(...initiations);
    found.responses.push(...responses);
  }
  if (found.initiations.length === 0 || found.responses.length === 0) {
    throw new Error(`recorded ${found.initiations.length} initiations and ${found.responses.length} responses`);
  }
  return found;
}
