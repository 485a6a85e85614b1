import { randomBytes } from 'node:crypto';
import { mkdir, readdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { Lab } from '../../lab/lab.ts';
import { must, until } from '../../lab/shell.ts';
import { OmniDrop, OmniStat } from '../../src/dataplane/kernel/layout.ts';
import { loadNative } from '../../src/dataplane/kernel/native.ts';
import type { IpAddress } from '../../src/manifest/model.ts';
import { control } from '../bpf/frames.ts';
import { handshake, SHAPES } from '../bpf/handshakes.ts';
import { compileFixture } from '../unit/native/compile.ts';
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
 * An agent of this build takes over the running data plane of one from before `gate_map`: no packet is lost, no count is,
 * and handshakes go on under the same keys. Such pins are made here by hand; OMNI_FORMER_BUILD names the checkout of a real
 * former build (7eab064, built) to do the same with.
 */
const FORMER_BUILD = process.env.OMNI_FORMER_BUILD;
const SEND = join(import.meta.dirname, 'send.mjs');
const INITIATION = 160;
const PINGS = 1_000;
const COOKIE_REPLY = SHAPES[4];
const native = loadNative();

let lab: Lab | undefined;
let nodes: Node[] = [];
afterEach(async () => {
  for (const each of nodes) await each.plane.kill();
  nodes = [];
  await lab?.close();
  lab = undefined;
});

const pinOf = ({ host }: Node, name: string) => join(host.folder, 'bpf', 'omni', INTERFACE, name);

async function node(lab: Lab, name: 'a' | 'b', index: number, build?: string): Promise<Node> {
  const host = lab.host(name);
  const mac1Key = randomBytes(32);
  const plane = await startPlane(host, { mac1Key, ...(build !== undefined && { build }) });
  await plane.adopt();
  if (build === undefined) await plane.occupy(PORT);
  const vip4 = `10.77.0.${index}` as IpAddress;
  const made = { host, publicKey: freshKey(), vip4, vip6: `fd77::${index}` as IpAddress, mac1Key, plane };
  nodes.push(made);
  return made;
}

async function pair(build?: string): Promise<[Node, Node]> {
  lab = await Lab.open({ name: 'oup', hosts: ['a', 'b'], direct: true });
  const a = await node(lab, 'a', 1, build);
  const b = await node(lab, 'b', 2);
  expect(await converge(a.plane, rowsOf(a, b))).toEqual([]);
  expect(await converge(b.plane, rowsOf(b, a))).toEqual([]);
  await installPair(a, b);
  return [a, b];
}

/** Sends b's datagram to a and waits until a has counted one more. */
async function send(a: Node, b: Node, payload: Uint8Array, count: () => bigint): Promise<void> {
  const before = count();
  const input = Buffer.from(payload).toString('hex');
  await must(b.host.inside([process.execPath, SEND, 'datagrams', a.host.address, '51820']), { input });
  await until('it is counted', () => count() > before);
}

/** As it is pinned under this name, whoever counts there. */
function counted(node: Node, name: 'drop_map' | 'stats_map', index: number): bigint {
  const map = new native.BpfMap({ pin: pinOf(node, name) });
  const key = Buffer.alloc(4);
  key.writeUInt32LE(index);
  const cpus = map.lookup({ key }) ?? Buffer.alloc(0);
  map.close();
  let sum = 0n;
  for (let at = 0; at < cpus.length; at += 8) sum += cpus.readBigUInt64LE(at);
  return sum;
}

async function restart(node: Node): Promise<object> {
  await node.plane.kill();
  // Whoever starts knows no fleet yet, nor what the keys are.
  node.plane = await startPlane(node.host, { mac1Key: new Uint8Array(32) });
  const report = await node.plane.adopt();
  await node.plane.occupy(PORT);
  return report;
}

/** Programs that count in fewer places, and mac1's keys in a map of their own. */
async function formerPins(): Promise<[Node, Node]> {
  const [a, b] = await pair();
  const folder = join(a.host.folder, 'bpf', 'former');
  await mkdir(folder);
  const object = compileFixture('former', join(a.host.folder, 'former.bpf.o'));
  await native.loadObject({ object, pinMaps: folder, pinPrograms: {}, rodata: {} });
  for (const name of ['drop_map', 'stats_map']) await rename(join(folder, name), pinOf(a, name));
  // Another setting is other programs: with these maps.
  expect(await converge(a.plane, rowsOf(a, b, { newSessionsPerSecondPerSource: 11 }))).toEqual([]);

  const mac1 = new native.BpfMap({ pin: join(folder, 'mac1_map') });
  const value = Buffer.concat([Buffer.of(1, 0, 0, 0, 0, 0, 0, 0), a.mac1Key, Buffer.alloc(32)]);
  mac1.update({ key: Buffer.alloc(4), value });
  mac1.close();
  await rename(join(folder, 'mac1_map'), pinOf(a, 'mac1_map'));
  for (const name of ['gate_map', 'pending_map', 'path_map', 'known_map', 'seen_map', 'ticket_map', 'prog_socket'])
    await rm(pinOf(a, name));
  return [a, b];
}

const takeOver: [string, () => Promise<[Node, Node]>][] = [
  ['pins as a former build left them', formerPins],
  ...(FORMER_BUILD === undefined
    ? []
    : [[FORMER_BUILD, () => pair(FORMER_BUILD)] as [string, () => Promise<[Node, Node]>]]),
];

describe.each(takeOver)('%s', (_, prepare) => {
  it('are taken over under traffic: no packet lost, no count lost, the same keys', async () => {
    const [a, b] = await prepare();
    const mac1 = () => counted(a, 'drop_map', OmniDrop.mac1);
    const unexpected = () => counted(a, 'drop_map', OmniDrop.unexpected);
    const passed = () => counted(a, 'stats_map', OmniStat.controlPassed);

    for (let i = 0; i < 3; i++) await send(a, b, control(1, INITIATION, randomBytes(32)), mac1);
    await send(a, b, control(1, INITIATION, a.mac1Key), passed);
    const before = { mac1: mac1(), passed: passed(), sent: counted(a, 'stats_map', OmniStat.txPackets) };
    expect(before).toMatchObject({ mac1: 3n, passed: 1n });

    const pinging = a.host.background(['ping', '-n', '-W', '1', '-i', '0.002', '-c', `${PINGS}`, b.vip4]);
    await until('pings go', () => pinging.text.includes('icmp_seq=200 '));
    expect(await restart(a)).toEqual({ adopted: true, sessions: 1, links: [INTERFACE] });
    expect(pinging.running).toBe(true);
    await pinging.wait();
    expect(pinging.text).toContain(`${PINGS} received, 0% packet loss`);

    const after = await a.plane.counters();
    expect({ mac1: after.drops.mac1, passed: after.controlPassed }).toEqual({ mac1: 3n, passed: 1n });
    expect(after.txPackets - before.sent).toBeGreaterThanOrEqual(PINGS);

    await send(a, b, control(1, INITIATION, a.mac1Key, randomBytes(8)), passed);
    await until('it is in the socket', async () => (await a.plane.received()) === 1);
    await send(a, b, control(1, INITIATION, randomBytes(32)), mac1);
    // A reason that the former build had no place for.
    await send(a, b, handshake(COOKIE_REPLY, { mac1Key: a.mac1Key, receiver: 99n }), unexpected);
    const last = await a.plane.counters();
    expect(last.controlPassed).toBe(2n);
    expect(last.drops).toMatchObject({ mac1: 4n, unexpected: 1n });

    const pins = await readdir(pinOf(a, ''));
    expect(pins).not.toContain('mac1_map');
    expect(pins).toEqual(expect.arrayContaining(['drop_map', 'drop_map_before', 'gate_map', 'pending_map']));
    await restart(a);
    expect(a.plane.writes).toBe(0);
    expect(await a.plane.counters()).toMatchObject({ controlPassed: 2n, drops: { mac1: 4n, unexpected: 1n } });
  });
});
