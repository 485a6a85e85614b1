import { expect, test } from 'vitest';
import type { PublicKey } from '../../../src/manifest/model.ts';
import type { PeerIntent } from '../../../src/reconcile/desired.ts';
import { identityOf } from '../../../src/session/identity.ts';
import { FakeClock } from './support/clock.ts';
import { FakeNetwork } from './support/network.ts';
import { configOf, FakeNode } from './support/node.ts';

const PEERS = 1_000;

/** A node with a session to each of a thousand peers, left by an agent before; each has two endpoints. Nobody answers. */
async function largeNode(): Promise<{
  clock: FakeClock;
  network: FakeNetwork;
  node: FakeNode;
  keys: readonly PublicKey[];
}> {
  const clock = new FakeClock();
  const network = new FakeNetwork(clock);
  network.weather = () => [];
  const node = new FakeNode(network, { seed: 1, address: '192.0.2.1' });
  const keys = Array.from({ length: PEERS }, (_, index) => identityOf(seedOf(index)).publicKey);
  const peers = new Map<PublicKey, PeerIntent>();
  for (const [index, publicKey] of keys.entries()) {
    const host = (net: number) => `10.${net}.${index >> 8}.${index & 255}`;
    const endpoints = [1, 2].map((net) => ({ host: host(net), port: 51820 }));
    peers.set(publicKey, { name: `robot-${index}`, publicKey, endpoints });
    await node.plane.install({
      interface: 'omni0',
      localId: BigInt(index + 1),
      remoteId: BigInt(index + 1),
      peer: publicKey,
      initiator: false,
      unconfirmed: false,
      hybrid: false,
      receiveKey: Buffer.alloc(32, 1),
      sendKey: Buffer.alloc(32, 2),
      rekeyAfterMs: 3_000_000,
      lifetimeMs: 3_600_000,
    });
    await node.plane.setEndpoint(publicKey, { address: host(1) as never, port: 51820 });
  }
  await node.start({ ...configOf({ peers: [] }), peers });
  await clock.advance(1_000);
  return { clock, network, node, keys };
}

function seedOf(index: number): Uint8Array {
  const seed = Buffer.alloc(32, 7);
  seed.writeUInt32LE(index);
  return seed;
}

/** Data moved just now on these sessions, in both directions. */
function used(node: FakeNode, keys: readonly PublicKey[]): void {
  const nowMs = node.plane.now();
  for (const key of keys) {
    const row = node.plane.sessions.get(node.plane.sendOn.get(key) ?? 0n);
    if (row !== undefined)
      Object.assign(row, { txDataLastMs: nowMs, rxDataLastMs: nowMs, txLastMs: nowMs, rxLastMs: nowMs });
  }
}

test('a thousand idle peers with two endpoints each: nothing is asked, and statistics are read no more often than without', async () => {
  const { clock, network, node } = await largeNode();
  const { calls } = node.plane;
  network.log.length = 0;
  calls.listed = 0;
  await clock.advance(60_000);
  expect(calls.sendOnPath).toBe(0);
  expect(network.log).toEqual([]);
  expect(calls.listed).toBeLessThanOrEqual(PEERS * 7); // every ten seconds
}, 60_000);

test('all of them in use: about 80 challenges and 1,400 reads a second, and answers to all', async () => {
  const { clock, node, keys } = await largeNode();
  const { plane } = node;
  const { calls } = plane;
  plane.sendOnPath = async (peer, path, message) => {
    calls.sendOnPath++;
    const localId = plane.sendOn.get(peer) ?? 0n;
    const response = { ...message, kind: 'response' as const };
    plane.emit({ type: 'path-message', interface: 'omni0', localId, peer, path, message: response });
  };
  for (let second = 0; second < 60; second++) {
    used(node, keys);
    await clock.advance(1_000);
    if (second !== 29) continue;
    calls.listed = 0;
    calls.sendOnPath = 0;
  }
  expect(calls.listed / 30).toBeLessThan(1_700);
  expect(calls.sendOnPath / 30).toBeGreaterThan(60); // two paths every 25 s
  expect(calls.sendOnPath / 30).toBeLessThan(120);
}, 60_000);

test('a node that moved tells all its peers: those in use at once, the rest in their turn', async () => {
  const { clock, network, node, keys } = await largeNode();
  const busy = keys.filter((_, index) => index % 100 === 99);
  used(node, busy);
  await clock.advance(10_000);
  used(node, busy);
  network.log.length = 0;
  node.plane.calls.keepalive = 0;
  node.noticeSources();
  await clock.advance(2);
  const told = new Set(network.log.map(({ to }) => to.address));
  for (const key of busy) expect(told).toContain(node.plane.endpoints.get(key)?.endpoint.address);
  expect(node.plane.calls.keepalive).toBeLessThan(300);
  await clock.advance(1_000);
  expect(new Set(network.log.map(({ to }) => to.address)).size).toBeGreaterThanOrEqual(PEERS);
}, 60_000);
