import { randomBytes } from 'node:crypto';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { deleteRow } from '../../lab/bpf.ts';
import { type Host, Lab, projectRoot } from '../../lab/lab.ts';
import { run, until } from '../../lab/shell.ts';
import { addressBytes } from '../../src/dataplane/kernel/addresses.ts';
import { macOf } from '../../src/manifest/keys.ts';
import type { IpAddress } from '../../src/manifest/model.ts';
import { type FdbRow, type NeighbourRow, rowKey } from '../../src/reconcile/rows.ts';
import { arp, ethernet, icmp6, ndMessage } from '../bpf/frames.ts';
import {
  converge,
  difference,
  freshKey,
  INTERFACE,
  installPair,
  type Node,
  rowsOf,
  startPlane,
} from './dataplane-fixture.ts';

/*
 * Neighbour rows in the stack's own table. Left alone the stack asks again after `retrans_time`, set to 10 s here, and
 * believes an answer for 15 s and more: whatever happens sooner is our doing.
 */
const RETRANS_MS = 10_000;
const SOON_MS = RETRANS_MS / 2;

let lab: Lab;
let a: Node;
let b: Node;
const stranger = macOf(freshKey());

async function node(host: Host, index: number): Promise<Node> {
  const mac1Key = randomBytes(32);
  const plane = await startPlane(host, { mac1Key });
  const vip4 = `10.77.0.${index}` as IpAddress;
  return { host, publicKey: freshKey(), vip4, vip6: `fd77::${index}` as IpAddress, mac1Key, plane };
}

beforeAll(async () => {
  lab = await Lab.open({ name: 'onb', hosts: ['a', 'b'], direct: true });
  a = await node(lab.host('a'), 1);
  b = await node(lab.host('b'), 2);
  for (const { plane } of [a, b]) await plane.adopt();
  expect(await converge(a.plane, withoutNeighbours())).toEqual([]);
  expect(await converge(b.plane, rowsOf(b, a))).toEqual([]);
  await installPair(a, b);
  for (const family of ['ipv4', 'ipv6']) {
    await a.host.must(['sysctl', '-qw', `net.${family}.neigh.${INTERFACE}.retrans_time_ms=${RETRANS_MS}`]);
  }
});
afterAll(async () => {
  await Promise.all([a, b].map((each) => each?.plane.kill()));
  await lab?.close();
});
afterEach(async () => {
  await converge(a.plane, withoutNeighbours());
  await a.host.must(['ip', 'neigh', 'flush', 'nud', 'all', 'dev', INTERFACE]);
});

const withoutNeighbours = () => rowsOf(a, b).filter((row) => row.kind !== 'neighbour');

const rowOf = (address: IpAddress, mac = macOf(b.publicKey)): NeighbourRow => ({
  kind: 'neighbour',
  interface: INTERFACE,
  address,
  mac,
});

/** Applies one change of a neighbour row; the number of writes it took. */
async function apply(from: NeighbourRow | undefined, to: NeighbourRow | undefined): Promise<number> {
  const before = a.plane.writes;
  if (to === undefined && from !== undefined) await a.plane.apply({ op: 'delete', key: rowKey(from), from });
  else if (to !== undefined && from === undefined) await a.plane.apply({ op: 'create', key: rowKey(to), to });
  else if (to !== undefined && from !== undefined) {
    await a.plane.apply({ op: 'update', key: rowKey(to), from, to, fields: ['mac'] });
  }
  return a.plane.writes - before;
}

/** The stack's entry: `02:… STALE`, `INCOMPLETE`, or '' without one. */
async function cached(address: IpAddress): Promise<string> {
  const shown = await a.host.must(['ip', 'neigh', 'show', 'nud', 'all', 'to', address, 'dev', INTERFACE]);
  const [, mac = '', state = ''] = /(?:lladdr (\S+) .*?)?([A-Z]+)(?: proto \S+)?\s*$/.exec(shown) ?? [];
  return `${mac} ${state}`.trim();
}

const put = (address: IpAddress, ...rest: string[]) =>
  a.host.must(['ip', 'neigh', 'replace', address, 'dev', INTERFACE, ...rest]);

/** Frames by which somebody says that an address of b's is at another MAC: ARP of either kind, or an advertisement. */
function claims(family: 'vip4' | 'vip6'): Buffer[] {
  const own = macOf(a.publicKey);
  if (family === 'vip4') {
    const said = { senderMac: stranger, sender: b.vip4, target: a.vip4 };
    return [1, 2].map((operation) => arp(own, stranger, { operation, ...said, targetMac: own }));
  }
  const advertisement = ndMessage(136, 0x6000_0000, b.vip6, { type: 2, mac: stranger });
  return [ethernet(own, stranger, 0x86dd, icmp6(b.vip6, a.vip6, advertisement))];
}

async function answered(address: IpAddress, seconds: number): Promise<boolean> {
  const { stdout } = await run(a.host.inside(['ping', '-n', '-q', '-c', '1', '-W', String(seconds), address]));
  return / 1 received/.test(stdout);
}

const permanent = (mac = macOf(b.publicKey)) => `${mac} PERMANENT`;

describe.each(['vip4', 'vip6'] as const)("the stack's entry of %s", (family) => {
  const vip = () => b[family];
  const amiss = () => difference(a.plane, [...withoutNeighbours(), rowOf(vip())]);
  const heal = () => converge(a.plane, [...withoutNeighbours(), rowOf(vip())]);

  it('comes with the row, permanent, and sends what waits for it', async () => {
    const pinging = answered(vip(), 2 * (RETRANS_MS / 1000));
    await until('the stack asks', async () => (await cached(vip())) === 'INCOMPLETE', SOON_MS);
    const started = performance.now();
    expect(await apply(undefined, rowOf(vip()))).toBe(2);
    expect(await pinging).toBe(true);
    expect(performance.now() - started).toBeLessThan(SOON_MS);
    expect(await cached(vip())).toBe(permanent());
    expect(await amiss()).toEqual([]);
  });

  it.each(['failed', 'stale', 'reachable', 'noarp', 'permanent'])('takes the place of a %s one', async (state) => {
    await put(vip(), ...(state === 'failed' ? [] : ['lladdr', stranger]), 'nud', state);
    await apply(undefined, rowOf(vip()));
    expect(await cached(vip())).toBe(permanent());
    expect(await answered(vip(), 1)).toBe(true);
  });

  it('follows a row to another MAC', async () => {
    await apply(undefined, rowOf(vip(), stranger));
    expect(await cached(vip())).toBe(permanent(stranger));
    expect(await answered(vip(), 1)).toBe(false);
    expect(await apply(rowOf(vip(), stranger), rowOf(vip()))).toBe(2);
    expect(await cached(vip())).toBe(permanent());
    expect(await answered(vip(), 1)).toBe(true);
  });

  it('goes with the row', async () => {
    await apply(undefined, rowOf(vip()));
    expect(await apply(rowOf(vip()), undefined)).toBe(2);
    expect(await cached(vip())).toBe('');
    expect(await answered(vip(), 1)).toBe(false);
    expect(await difference(a.plane, withoutNeighbours())).toEqual([]);
  });

  it('is moved by nothing that arrives', async () => {
    await apply(undefined, rowOf(vip()));
    // As if it came from the peer: out of omni0x into omni0.
    for (const frame of claims(family)) {
      const hex = frame.toString('hex');
      await a.host.must([process.execPath, 'test/netns/send.mjs', 'frame', `${INTERFACE}x`, hex], { cwd: projectRoot });
    }
    expect(await answered(vip(), 1)).toBe(true);
    expect(await cached(vip())).toBe(permanent());
  });

  it.each([
    ['deleted', () => a.host.must(['ip', 'neigh', 'del', vip(), 'dev', INTERFACE])],
    ['given another MAC', () => put(vip(), 'lladdr', stranger, 'nud', 'permanent')],
    ['permanent no more', () => put(vip(), 'lladdr', macOf(b.publicKey), 'nud', 'reachable')],
    ['unresolved', () => put(vip(), 'nud', 'failed')],
    ['flushed', () => a.host.must(['ip', 'neigh', 'flush', 'nud', 'all', 'dev', INTERFACE])],
  ])('that was %s is a difference, which is healed', async (_how, act) => {
    await apply(undefined, rowOf(vip()));
    await act();
    expect(await amiss()).toEqual([`update ${rowKey(rowOf(vip()))}`]);
    expect(await heal()).toEqual([]);
    expect(await cached(vip())).toBe(permanent());
  });

  it('that outlived its row is found, and goes', async () => {
    await apply(undefined, rowOf(vip()));
    await deleteRow(a.host, 'neigh_map', addressBytes(vip()));
    expect(await amiss()).toEqual([`update ${rowKey(rowOf(vip()))}`]);
    expect(await difference(a.plane, withoutNeighbours())).toEqual([`delete ${rowKey(rowOf(vip()))}`]);
    expect(await converge(a.plane, withoutNeighbours())).toEqual([]);
    expect(await cached(vip())).toBe('');
  });

  it('comes back with its interface', async () => {
    await apply(undefined, rowOf(vip()));
    await a.host.must(['ip', 'link', 'set', INTERFACE, 'down']);
    expect(await cached(vip())).toBe('');
    expect(await apply(rowOf(vip()), rowOf(vip(), stranger))).toBe(2);
    expect(await apply(rowOf(vip(), stranger), rowOf(vip()))).toBe(2);
    await a.host.must(['ip', 'link', 'set', INTERFACE, 'down']);
    expect(await heal()).toEqual([]);
    expect(await cached(vip())).toBe(permanent());
  });
});

describe('replacing an entry in place', () => {
  it('loses no packet', async () => {
    const row = rowOf(b.vip4);
    await apply(undefined, row);
    // Both MACs lead to b, as those of a peer that changes its key do.
    const next: FdbRow = { kind: 'fdb', interface: INTERFACE, mac: stranger, publicKey: b.publicKey };
    await a.plane.apply({ op: 'create', key: rowKey(next), to: next });
    const own: FdbRow = { kind: 'fdb', interface: INTERFACE, mac: stranger, publicKey: 'self' };
    await b.plane.apply({ op: 'create', key: rowKey(own), to: own });
    const pinging = run(a.host.inside(['ping', '-n', '-q', '-i', '0.002', '-c', '500', b.vip4]));
    let ended = false;
    const pinged = pinging.finally(() => {
      ended = true;
    });
    for (let at = 0; !ended; at++) {
      const [from, to] = [rowOf(b.vip4, stranger), row];
      await apply(at % 2 === 0 ? to : from, at % 2 === 0 ? from : to);
    }
    expect((await pinged).stdout).toContain('500 packets transmitted, 500 received');
    await b.plane.apply({ op: 'delete', key: rowKey(own), from: own });
    await a.plane.apply({ op: 'delete', key: rowKey(next), from: next });
  });
});
