import { randomBytes } from 'node:crypto';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { type Host, Lab } from '../../lab/lab.ts';
import { run, until } from '../../lab/shell.ts';
import { macOf } from '../../src/manifest/keys.ts';
import type { IpAddress } from '../../src/manifest/model.ts';
import { type NeighbourRow, rowKey } from '../../src/reconcile/rows.ts';
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
 * What the stack of odp-a's own cache makes of neighbour rows. Left alone it asks again after `retrans_time`, set to 10 s
 * here, and believes an answer for 15 s and more: whatever happens sooner is our doing.
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
  const [, mac = '', state = ''] = /(?:lladdr (\S+) .*?)?([A-Z]+)\s*$/.exec(shown) ?? [];
  return `${mac} ${state}`.trim();
}

const put = (address: IpAddress, ...rest: string[]) =>
  a.host.must(['ip', 'neigh', 'replace', address, 'dev', INTERFACE, ...rest]);

async function answered(address: IpAddress, seconds: number): Promise<boolean> {
  const { stdout } = await run(a.host.inside(['ping', '-n', '-q', '-c', '1', '-W', String(seconds), address]));
  return / 1 received/.test(stdout);
}

describe.each(['vip4', 'vip6'] as const)("the stack's cache of %s", (family) => {
  const vip = () => b[family];

  it('is given the MAC of a row that came after the question, and sends what waits', async () => {
    const pinging = answered(vip(), 2 * (RETRANS_MS / 1000));
    await until('the stack asks', async () => (await cached(vip())) === 'INCOMPLETE', SOON_MS);
    const started = performance.now();
    expect(await apply(undefined, rowOf(vip()))).toBe(2);
    expect(await pinging).toBe(true);
    expect(performance.now() - started).toBeLessThan(SOON_MS);
  });

  it('is given it after it gave up, too', async () => {
    await put(vip(), 'nud', 'failed');
    await apply(undefined, rowOf(vip()));
    expect(await cached(vip())).toBe(`${macOf(b.publicKey)} STALE`);
  });

  it('is left without an entry where it had none, and asks our programs when it needs one', async () => {
    expect(await apply(undefined, rowOf(vip()))).toBe(1);
    expect(await cached(vip())).toBe('');
    expect(await answered(vip(), 1)).toBe(true);
    expect(await cached(vip())).toBe(`${macOf(b.publicKey)} REACHABLE`);
  });

  it('follows a row to another MAC', async () => {
    await apply(undefined, rowOf(vip(), stranger));
    expect(await answered(vip(), 1)).toBe(false);
    expect(await cached(vip())).toBe(`${stranger} REACHABLE`);
    expect(await apply(rowOf(vip(), stranger), rowOf(vip()))).toBe(2);
    expect(await answered(vip(), 1)).toBe(true);
  });

  it('is not written where it has the MAC already', async () => {
    await put(vip(), 'lladdr', macOf(b.publicKey), 'nud', 'reachable');
    expect(await apply(undefined, rowOf(vip()))).toBe(1);
    expect(await cached(vip())).toBe(`${macOf(b.publicKey)} REACHABLE`);
  });

  it('forgets the MAC of a row that goes', async () => {
    await apply(undefined, rowOf(vip()));
    expect(await answered(vip(), 1)).toBe(true);
    expect(await apply(rowOf(vip()), undefined)).toBe(2);
    expect(await cached(vip())).not.toContain(macOf(b.publicKey));
    expect(await answered(vip(), 1)).toBe(false);
    expect(await difference(a.plane, withoutNeighbours())).toEqual([]);
  });

  it('keeps what it knows from others when a row goes', async () => {
    await apply(undefined, rowOf(vip()));
    await put(vip(), 'lladdr', stranger, 'nud', 'stale');
    expect(await apply(rowOf(vip()), undefined)).toBe(1);
    expect(await cached(vip())).toBe(`${stranger} STALE`);
  });

  it.each(['permanent', 'noarp'])("keeps somebody's %s entry", async (state) => {
    await put(vip(), 'lladdr', stranger, 'nud', state);
    expect(await apply(undefined, rowOf(vip()))).toBe(1);
    expect(await cached(vip())).toBe(`${stranger} ${state.toUpperCase()}`);
    await put(vip(), 'lladdr', macOf(b.publicKey), 'nud', state);
    expect(await apply(rowOf(vip()), undefined)).toBe(1);
    expect(await cached(vip())).toBe(`${macOf(b.publicKey)} ${state.toUpperCase()}`);
  });

  it('does not matter while the interface is away', async () => {
    await apply(undefined, rowOf(vip()));
    await a.host.must(['ip', 'link', 'set', INTERFACE, 'down']);
    expect(await apply(rowOf(vip()), rowOf(vip(), stranger))).toBe(1);
    expect(await apply(rowOf(vip(), stranger), undefined)).toBe(1);
  });
});
