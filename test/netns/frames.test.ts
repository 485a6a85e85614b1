import { afterAll, beforeAll, expect, it } from 'vitest';
import { clusterDocument, FleetRepository, makeIdentity, ready, robotDocuments } from '../../lab/fleet.ts';
import { type Host, Lab } from '../../lab/lab.ts';
import { ping } from '../../lab/ping.ts';
import { type Background, until } from '../../lab/shell.ts';
import type { Event } from '../../src/agent/api.ts';
import { createIdentity } from '../../src/session/identity.ts';
import { mac } from '../bpf/frames.ts';
import { four, udp } from '../bpf/inner-frames.ts';
import { dropsBy, sample, scrape } from './metrics.ts';

/*
 * What robot-2's stack gets of what robot-1 puts on its omni0, and what its people are told of the rest. robot-3 is in the
 * fleet and nowhere else.
 */
const SEND = new URL('./send.mjs', import.meta.url).pathname;
const RECEIVE = `require('node:dgram').createSocket('udp4', (_, from) => console.log('from ' + from.address))
  .bind(9999, () => console.log('listening'))`;
const FOREIGN = '172.31.0.5';

let lab: Lab;
let fleet: FleetRepository;
let one: Host;
let two: Host;
let receiver: Background;

async function commit(spec: string): Promise<void> {
  await fleet.write('warehouse.yaml', clusterDocument({ spec }));
  await fleet.commitAndPush(spec.trim() || 'fleet: three robots');
  const revision = (await fleet.git('rev-parse', 'HEAD')).trim();
  await Promise.all(
    [one, two].map((host) => host.mustOmni(['wait', `--for=revision=${revision}`, '--timeout', '60s'])),
  );
}

beforeAll(async () => {
  lab = await Lab.open({ name: 'omnifr', hosts: ['robot-1', 'robot-2'], git: true });
  [one, two] = [lab.host('robot-1'), lab.host('robot-2')];
  fleet = await FleetRepository.create(lab);
  for (const host of [one, two]) await makeIdentity(host);
  await fleet.write('warehouse.yaml', clusterDocument());
  await fleet.write('robot-1.yaml', await robotDocuments(one, ['10.77.0.1', 'fd77::1']));
  await fleet.write('robot-2.yaml', await robotDocuments(two, ['10.77.0.2', 'fd77::2']));
  await fleet.write('robot-3.yaml', absentRobot());
  await fleet.commitAndPush('fleet: three robots');
  for (const host of [one, two]) host.startAgent(['--source', fleet.url, '--path', 'fleet', '--interval', '1s']);
  await Promise.all([ready(one), ready(two)]);
  expect((await ping(one, '10.77.0.2', { count: 1, waitS: 5 })).received, one.agent?.text).toBe(1);
  // As on a node that routes there: its own rules do not stand in for the programs'.
  await two.must(['ip', 'route', 'add', '172.31.0.0/24', 'dev', 'omni0']);
  receiver = two.background([process.execPath, '-e', RECEIVE]);
  await until('robot-2 listens', () => receiver.text.includes('listening'));
});
afterAll(async () => {
  await receiver?.stop();
  await lab?.close();
});

function absentRobot(): string {
  const { publicKey } = createIdentity();
  const head = 'apiVersion: omni.io/v1alpha1\nkind:';
  return [
    `${head} Peer\nmetadata: { name: robot-3 }\nspec: { clusters: [warehouse], publicKey: ${publicKey} }\n`,
    `${head} VIP\nmetadata: { name: robot-3 }\nspec: { cluster: warehouse, address: 10.77.0.3, peer: robot-3 }\n`,
  ].join('---\n');
}

async function macOfOmni0(host: Host): Promise<string> {
  const [link] = JSON.parse(await host.must(['ip', '-j', 'link', 'show', 'omni0'])) as { address: string }[];
  return link?.address ?? '';
}

/** robot-1 sends a datagram to robot-2's receiver as if from `from`. */
async function sendFrom(from: string): Promise<void> {
  const frame = four({ from, to: '10.77.0.2', payload: udp(4000, 9999) });
  frame.set(mac(await macOfOmni0(two)), 0);
  frame.set(mac(await macOfOmni0(one)), 6);
  await one.must([process.execPath, SEND, 'frame', 'omni0', frame.toString('hex')]);
}

const sources = () => [...receiver.text.matchAll(/^from (.*)$/gm)].map((match) => match[1]);
const refusedOf = async (reason: string) =>
  (await scrape(two)).get(`omni_peer_refused_total{peer="robot-1",reason="${reason}"}`) ?? 0;

/** What is sent last arrives last. */
async function arrivedBehind(): Promise<readonly (string | undefined)[]> {
  const before = sources().length;
  await sendFrom('10.77.0.1');
  await until('its own address arrives', () => sources().slice(before).includes('10.77.0.1'));
  return sources();
}

it('a declared source arrives; another’s, an undeclared and a foreign one do not, and are counted for the peer', async () => {
  for (const from of ['10.77.0.3', '10.77.0.2', '10.77.0.99', FOREIGN]) await sendFrom(from);
  expect(await arrivedBehind()).toEqual(['10.77.0.1']);
  const counts = await scrape(two);
  expect(sample(counts, 'omni_peer_refused_total{peer="robot-1",reason="inner-source"}')).toBe(3);
  expect(sample(counts, 'omni_peer_refused_total{peer="robot-1",reason="inner-foreign"}')).toBe(1);
  expect([dropsBy(counts, 'inner-source'), dropsBy(counts, 'inner-foreign')]).toEqual([3, 1]);
  expect((await two.mustOmni(['describe', 'peer/robot-1'])).toString()).toMatch(/^Refused: +inner-/m);
  const events = await until('an event tells of it', async () => {
    const all = JSON.parse(await two.mustOmni(['events', '--for', 'peer/robot-1', '-o', 'json'])) as {
      items: Event[];
    };
    const told = all.items.filter(({ reason }) => reason === 'FramesRefused');
    return told.length > 0 && told;
  });
  expect(events[0]).toMatchObject({ type: 'Warning', object: 'peer/robot-1' });
  expect(events[0]?.message).toMatch(/^frames of this peer were dropped: .*inner-source 3/);
});

it('foreign sources arrive where the Cluster says so, and other members’ do not', async () => {
  await commit('  foreignSources: allow\n');
  const [before, refused] = [sources().length, await refusedOf('inner-source')];
  for (const from of ['10.77.0.3', '10.77.0.99', '127.0.0.1', FOREIGN]) await sendFrom(from);
  expect((await arrivedBehind()).slice(before)).toEqual([FOREIGN, '10.77.0.1']);
  expect((await refusedOf('inner-source')) - refused).toBe(3);

  await commit('');
  const after = sources().length;
  await sendFrom(FOREIGN);
  expect((await arrivedBehind()).slice(after)).toEqual(['10.77.0.1']);
});

it('roles reach the program with the next commit, in a live session', async () => {
  const offer = four({ from: '10.77.0.1', to: '10.77.0.2', payload: udp(67, 9999) });
  const send = async () => {
    offer.set(mac(await macOfOmni0(two)), 0);
    offer.set(mac(await macOfOmni0(one)), 6);
    await one.must([process.execPath, SEND, 'frame', 'omni0', offer.toString('hex')]);
  };
  const before = sources().length;
  await send();
  await until('it is refused', async () => (await refusedOf('inner-dhcp')) === 1);
  const document = await robotDocuments(one, ['10.77.0.1', 'fd77::1']);
  await fleet.write('robot-1.yaml', document.replace(/^( +)publicKey:/m, '$1roles: [dhcp-server]\n$1publicKey:'));
  await commit('');
  await send();
  await until('it arrives', () => sources().length === before + 1);
  expect(await refusedOf('inner-dhcp')).toBe(1);
});
