import { randomBytes } from 'node:crypto';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Lab } from '../../lab/lab.ts';
import { must, until } from '../../lab/shell.ts';
import { decodeGateEntry } from '../../src/dataplane/kernel/layout.ts';
import { loadNative } from '../../src/dataplane/kernel/native.ts';
import type { IpAddress } from '../../src/manifest/model.ts';
import { control } from '../bpf/frames.ts';
import { handshake, SHAPES } from '../bpf/handshakes.ts';
import {
  converge,
  freshKey,
  INTERFACE,
  installPair,
  type Node,
  PORT,
  rowsOf,
  startPlane,
} from './dataplane-fixture.ts';

/*
 * Which handshake messages pass the ingress program of a live interface, while the keys change and agents come and go.
 * A program swap is not seen by packets: sessions carry pings all the time.
 */
const SEND = fileURLToPath(new URL('./send.mjs', import.meta.url));
const INITIATION = 160;
const COOKIE_REPLY = SHAPES[4];
const [OLD, NEW] = [randomBytes(32), randomBytes(32)];

let lab: Lab;
let a: Node;
let b: Node;

async function node(name: 'a' | 'b', index: number, mac1Key: Uint8Array): Promise<Node> {
  const host = lab.host(name);
  const plane = await startPlane(host, { mac1Key });
  await plane.adopt();
  await plane.occupy(PORT);
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

/** What becomes of b's datagram at a. */
async function verdict(payload: Uint8Array): Promise<string> {
  const before = await a.plane.counters();
  const input = Buffer.from(payload).toString('hex');
  const receivedBefore = await a.plane.received();
  await must(b.host.inside([process.execPath, SEND, 'datagrams', a.host.address, '51820']), { input });
  return until('a verdict', async () => {
    const { controlPassed, drops } = await a.plane.counters();
    // What passes the ingress program gets into the socket as well.
    if (controlPassed > before.controlPassed && (await a.plane.received()) > receivedBefore) return 'passed';
    return ['mac1', 'unexpected'].find((reason) => (drops[reason] ?? 0n) > (before.drops[reason] ?? 0n));
  });
}

const fate = (key: Uint8Array) => verdict(control(1, INITIATION, key, randomBytes(8)));
const fates = async () => [await fate(OLD), await fate(NEW)];

/** What the ingress program asks for. */
function gate(): { mac1Keys: Buffer[]; cookieSecrets: Buffer[] } {
  const map = new (loadNative().BpfMap)({ pin: join(a.host.folder, 'bpf', 'omni', INTERFACE, 'gate_map') });
  const row = decodeGateEntry(map.lookup({ key: Buffer.alloc(4) }) ?? Buffer.alloc(0));
  map.close();
  const keys = (bytes: Uint8Array, count: number) =>
    Array.from({ length: count }, (_, i) => Buffer.from(bytes.subarray(32 * i, 32 * (i + 1))));
  return { mac1Keys: keys(row.mac1Keys, row.mac1Count), cookieSecrets: keys(row.cookieSecrets, row.cookieCount) };
}

/** Whoever starts knows no fleet yet. */
async function restart(mac1Key: Uint8Array): Promise<void> {
  await a.plane.kill();
  a.plane = await startPlane(a.host, { mac1Key });
  expect(await a.plane.adopt()).toEqual({ adopted: true, sessions: 1, links: [INTERFACE] });
  await a.plane.occupy(PORT);
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
  await expect(a.plane.sessions.setMac1Keys([])).rejects.toThrow(/1 to 4 of 32 bytes/);
  await expect(a.plane.sessions.setMac1Keys([NEW, randomBytes(31)])).rejects.toThrow(/1 to 4 of 32 bytes/);
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

describe('an agent that starts', () => {
  it('keeps the cookies of the one before, and the keys when it has cookies of its own', async () => {
    const [first, second] = [randomBytes(32), randomBytes(32)];
    await a.plane.sessions.setMac1Keys([OLD, NEW]);
    await a.plane.sessions.setCookieSecrets([first]);
    await restart(randomBytes(32));
    expect(gate()).toEqual({ mac1Keys: [OLD, NEW], cookieSecrets: [first] });
    await a.plane.sessions.setCookieSecrets([second, first]);
    expect(gate()).toEqual({ mac1Keys: [OLD, NEW], cookieSecrets: [second, first] });
    await a.plane.sessions.setMac1Keys([NEW]);
    expect(gate()).toEqual({ mac1Keys: [NEW], cookieSecrets: [second, first] });
    expect(await fates()).toEqual(['mac1', 'passed']);
  });

  it('waits for no answer that the one before waited for', async () => {
    const answer = () => handshake(COOKIE_REPLY, { mac1Key: NEW, receiver: 77n });
    await a.plane.sessions.expectAnswer(77n, 60_000);
    expect(await verdict(answer())).toBe('passed');
    await restart(NEW);
    expect(await verdict(answer())).toBe('unexpected');
    await a.plane.sessions.expectAnswer(77n, 60_000);
    expect(await verdict(answer())).toBe('passed');
    await a.plane.sessions.forgetAnswer(77n);
    expect(await verdict(answer())).toBe('unexpected');
  });
});

it('an interface that goes takes its sessions along, even from whoever holds their map open', async () => {
  const sessions = new (loadNative().BpfMap)({ pin: join(a.host.folder, 'bpf', 'omni', INTERFACE, 'session_map') });
  expect(sessions.entries().count).toBe(1);
  await a.plane.teardown();
  expect(sessions.entries().count).toBe(0);
  sessions.close();
});
