import { randomBytes } from 'node:crypto';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { Lab } from '../../lab/lab.ts';
import { must, until } from '../../lab/shell.ts';
import type { IpAddress } from '../../src/manifest/model.ts';
import { control } from '../bpf/frames.ts';
import { converge, freshKey, INTERFACE, installPair, type Node, rowsOf, startPlane } from './dataplane-fixture.ts';

/*
 * Which handshake messages pass the ingress program of a live interface, while the keys change and agents come and go.
 * A program swap is not seen by packets: sessions carry pings all the time.
 */
const SEND = fileURLToPath(new URL('./send.mjs', import.meta.url));
const INITIATION = 160;
const [OLD, NEW] = [randomBytes(32), randomBytes(32)];

let lab: Lab;
let a: Node;
let b: Node;

async function node(name: 'a' | 'b', index: number, mac1Key: Uint8Array): Promise<Node> {
  const host = lab.host(name);
  const plane = await startPlane(host, { mac1Key });
  await plane.adopt();
  const vip4 = `10.77.0.${index}` as IpAddress;
  return { host, publicKey: freshKey(), vip4, vip6: `fd77::${index}` as IpAddress, mac1Key, plane };
}

beforeAll(async () => {
  lab = await Lab.open({ name: 'omk', hosts: ['a', 'b'] });
  a = await node('a', 1, OLD);
  b = await node('b', 2, randomBytes(32));
  expect(await converge(a.plane, rowsOf(a, b))).toEqual([]);
  expect(await converge(b.plane, rowsOf(b, a))).toEqual([]);
  await installPair(a, b);
});
afterAll(async () => {
  for (const each of [a, b]) await each?.plane.close();
  await lab?.close();
});

/** Sends an initiation under `key` from b to a. */
async function fate(key: Uint8Array): Promise<'passed' | 'mac1'> {
  const before = await a.plane.counters();
  const hex = Buffer.from(control(1, INITIATION, key)).toString('hex');
  await must(b.host.inside([process.execPath, SEND, 'datagrams', a.host.address, '51820']), { input: hex });
  return until('a verdict', async () => {
    const { controlPassed, drops } = await a.plane.counters();
    if (controlPassed > before.controlPassed) return 'passed' as const;
    return (drops.mac1 ?? 0n) > (before.drops.mac1 ?? 0n) && ('mac1' as const);
  });
}

const fates = async () => [await fate(OLD), await fate(NEW)];

async function restart(mac1Key: Uint8Array): Promise<void> {
  await a.plane.kill();
  a.plane = await startPlane(a.host, { mac1Key });
  expect(await a.plane.adopt()).toEqual({ adopted: true, sessions: 1, links: [INTERFACE] });
}

it('a new interface takes the key that it was made with', async () => {
  expect(await fates()).toEqual(['passed', 'mac1']);
});

it('both pass while keys change, then the new one alone', async () => {
  await a.plane.sessions.setMac1Keys([OLD, NEW]);
  expect(await fates()).toEqual(['passed', 'passed']);
  await a.plane.sessions.setMac1Keys([NEW]);
  expect(await fates()).toEqual(['mac1', 'passed']);
});

it('the same keys again write nothing', async () => {
  const { writes } = a.plane;
  await a.plane.sessions.setMac1Keys([NEW]);
  expect(a.plane.writes).toBe(writes);
});

it('refuses what are no keys', async () => {
  await expect(a.plane.sessions.setMac1Keys([])).rejects.toThrow(/one or two of 32 bytes/);
  await expect(a.plane.sessions.setMac1Keys([NEW, randomBytes(31)])).rejects.toThrow(/one or two of 32 bytes/);
  expect(await fates()).toEqual(['mac1', 'passed']);
});

it('the keys outlive the agent; the next one keeps them until it knows better', async () => {
  await restart(OLD);
  expect(a.plane.writes).toBe(0);
  expect(await fates()).toEqual(['mac1', 'passed']);
});

it('takes over what a version without the map left, and no packet is lost', async () => {
  const pinging = a.host.must(['ping', '-n', '-q', '-W', '1', '-i', '0.002', '-c', '1000', b.vip4]);
  // As that version left it: its programs run, and nothing of the kind is pinned.
  await rm(join(a.host.folder, 'bpf', 'omni', INTERFACE, 'gate_map'));
  await restart(OLD);
  expect(await fates()).toEqual(['passed', 'mac1']);
  expect(await pinging).toMatch(/1000 received/);
});
