import { randomBytes, randomInt } from 'node:crypto';
import {
  OMNI_HYBRID_INITIATION_LEN,
  OMNI_HYBRID_RESPONSE_LEN,
  OMNI_INITIATION_LEN,
  OMNI_RESPONSE_LEN,
  OmniControl,
  OmniProtocol,
} from '../src/dataplane/kernel/layout.ts';
import type { Host } from './lab.ts';
import { datagrams } from './pcap.ts';

/** What a node's port may get that nobody of its fleet sent. UDP payloads. */

export function randomDatagrams(count: number): Uint8Array[] {
  return Array.from({ length: count }, () => randomBytes(randomInt(16, 513)));
}

/** Initiations and responses in turn, of a protocol version: right in every byte that can be looked at without a key. */
export function wrongMac1(count: number, version: number): Uint8Array[] {
  const hybrid = version === OmniProtocol.hybrid;
  const initiation = hybrid ? OMNI_HYBRID_INITIATION_LEN : OMNI_INITIATION_LEN;
  const response = hybrid ? OMNI_HYBRID_RESPONSE_LEN : OMNI_RESPONSE_LEN;
  return Array.from({ length: count }, (_, at) => {
    const message = randomBytes(at % 2 === 0 ? initiation : response);
    message.fill(0, 0, 16);
    message[8] = at % 2 === 0 ? OmniControl.initiation : OmniControl.response;
    message[9] = version;
    return message;
  });
}

/** Handshake messages of a capture. */
export interface Recorded {
  readonly initiations: readonly Uint8Array[];
  readonly responses: readonly Uint8Array[];
}

export function handshakesTo(host: Host, pcap: Buffer): Recorded {
  const control = datagrams(pcap).filter(
    ({ destination, payload }) =>
      destination === host.address && payload.length >= OMNI_RESPONSE_LEN && payload.readBigUInt64LE(0) === 0n,
  );
  const ofType = (type: number) => control.map(({ payload }) => payload).filter((payload) => payload[8] === type);
  return { initiations: ofType(OmniControl.initiation), responses: ofType(OmniControl.response) };
}
