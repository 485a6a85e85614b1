import { createMemoryDataPlane, type MemoryDataPlane } from '../../../src/dataplane/memory/plane.ts';
import { MemoryWire } from '../../../src/dataplane/memory/wire.ts';
import { macOf } from '../../../src/manifest/keys.ts';
import type { IpAddress, PublicKey } from '../../../src/manifest/model.ts';
import type { Endpoint, NewSession } from '../../../src/reconcile/dataplane.ts';
import { type Row, rowKey } from '../../../src/reconcile/rows.ts';
import { keyOf } from '../reconcile/fleet.ts';

export const INTERFACE = 'omni0';

/** A node whose data plane is the memory engine. */
export interface MemoryNode {
  readonly key: PublicKey;
  readonly endpoint: Endpoint;
  readonly plane: MemoryDataPlane;
}

export interface MemoryPair {
  readonly a: MemoryNode;
  readonly b: MemoryNode;
  readonly wire: MemoryWire;
}

/** Two nodes on one wire, with a session that both may use. */
export async function memoryPair(options: { readonly mtus?: readonly [number, number] } = {}): Promise<MemoryPair> {
  const wire = new MemoryWire();
  const [a, b] = [1, 2].map((seed): MemoryNode => {
    const endpoint = { address: `192.0.2.${seed}` as IpAddress, port: 51820 };
    return { key: keyOf(seed), endpoint, plane: createMemoryDataPlane({ wire, endpoint }) };
  }) as [MemoryNode, MemoryNode];
  const [mtuA, mtuB] = options.mtus ?? [1400, 1400];
  await program(a, b, mtuA);
  await program(b, a, mtuB);
  await a.plane.sessions.install(session(b.key, 1n, 2n));
  await b.plane.sessions.install(session(a.key, 2n, 1n));
  return { a, b, wire };
}

async function program(self: MemoryNode, other: MemoryNode, mtu: number): Promise<void> {
  const { address, port } = other.endpoint;
  const rows: readonly Row[] = [
    {
      kind: 'link',
      interface: INTERFACE,
      cluster: 'warehouse',
      mac: macOf(self.key),
      mtu,
      port: 51820,
      newSessionsPerSecondPerSource: 10,
      arpSuppression: true,
    },
    { kind: 'peer', interface: INTERFACE, publicKey: other.key, endpoint: `${address}:${port}` },
    { kind: 'fdb', interface: INTERFACE, mac: macOf(other.key), publicKey: other.key },
  ];
  for (const row of rows) {
    await self.plane.apply({ op: 'create', key: rowKey(row), to: row }, new AbortController().signal);
  }
}

export function session(peer: PublicKey, localId: bigint, remoteId: bigint): NewSession {
  return {
    interface: INTERFACE,
    localId,
    remoteId,
    peer,
    initiator: localId < remoteId,
    unconfirmed: false,
    hybrid: false,
    receiveKey: new Uint8Array(32).fill(Number(localId)),
    sendKey: new Uint8Array(32).fill(Number(remoteId)),
    rekeyAfterMs: 120_000,
    lifetimeMs: 3_600_000,
  };
}
