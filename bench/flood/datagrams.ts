import { randomBytes, randomInt } from 'node:crypto';
import type { Lab } from '../../lab/lab.ts';
import { datagrams } from '../../lab/pcap.ts';
import { ping } from '../../lab/ping.ts';
import {
  OMNI_HYBRID_INITIATION_LEN,
  OMNI_HYBRID_RESPONSE_LEN,
  OMNI_INITIATION_LEN,
  OMNI_RESPONSE_LEN,
  OmniControl,
  OmniProtocol,
} from '../../src/dataplane/kernel/layout.ts';
import type { End } from './live.ts';

const VARIETY = 64;

/** Datagrams that are nothing. */
export function randomDatagrams(): Uint8Array[] {
  return Array.from({ length: VARIETY }, () => randomBytes(randomInt(16, 513)));
}

/** Initiations and responses of a protocol version, right in every byte that can be looked at without a key. */
export function wrongMac1(version: number): Uint8Array[] {
  const hybrid = version === OmniProtocol.hybrid;
  const initiation = hybrid ? OMNI_HYBRID_INITIATION_LEN : OMNI_INITIATION_LEN;
  const response = hybrid ? OMNI_HYBRID_RESPONSE_LEN : OMNI_RESPONSE_LEN;
  return Array.from({ length: VARIETY }, (_, at) => {
    const message = randomBytes(at % 2 === 0 ? initiation : response);
    message.fill(0, 0, 16);
    message[8] = at % 2 === 0 ? OmniControl.initiation : OmniControl.response;
    message[9] = version;
    return message;
  });
}

export interface Recorded {
  readonly initiations: readonly Uint8Array[];
  readonly responses: readonly Uint8Array[];
}

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
    const messages = datagrams(pcap).filter(
      ({ destination, payload }) =>
        destination === victim.host.address && payload.subarray(0, 8).every((byte) => byte === 0),
    );
    for (const { payload } of messages) {
      const list = payload[8] === OmniControl.initiation ? found.initiations : found.responses;
      if (payload[8] === OmniControl.initiation || payload[8] === OmniControl.response) list.push(payload);
    }
  }
  if (found.initiations.length === 0 || found.responses.length === 0) {
    throw new Error(`recorded ${found.initiations.length} initiations and ${found.responses.length} responses`);
  }
  return found;
}
