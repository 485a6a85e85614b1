import type { Endpoint } from '../../../../src/reconcile/dataplane.ts';
import { ControlType } from '../../../../src/session/codec.ts';
import { FakeClock } from './clock.ts';
import { type Datagram, FakeNetwork, isHandshake } from './network.ts';
import { type ConfigOptions, configOf, FakeNode } from './node.ts';

export interface Pair {
  readonly clock: FakeClock;
  readonly network: FakeNetwork;
  readonly a: FakeNode;
  readonly b: FakeNode;
}

export interface PairOptions extends Partial<Omit<ConfigOptions, 'peers' | 'hints'>> {
  /** Where A believes B to be, and B believes A to be. */
  readonly aHints?: readonly Endpoint[];
  readonly bHints?: readonly Endpoint[];
  readonly bPsk?: Uint8Array;
  readonly bCluster?: string;
}

/** Two nodes in one cluster, started, with no session yet. A's key is not the preferred one unless seeds say so. */
export async function pair(options: PairOptions = {}): Promise<Pair> {
  const { aHints, bHints, bPsk, bCluster, ...rest } = options;
  const clock = new FakeClock();
  const network = new FakeNetwork(clock);
  const a = new FakeNode(network, { seed: 1, address: '192.0.2.1' });
  const b = new FakeNode(network, { seed: 2, address: '192.0.2.2', ...(bPsk === undefined ? {} : { psk: bPsk }) });
  await a.start(configOf({ ...rest, peers: [b], hints: new Map([[b, aHints ?? [b.at]]]) }));
  const cluster = bCluster === undefined ? {} : { cluster: bCluster };
  await b.start(configOf({ ...rest, ...cluster, peers: [a], hints: new Map([[a, bHints ?? [a.at]]]) }));
  return { clock, network, a, b };
}

/** A pair with a session that A initiated, both ways proven. */
export async function establishedPair(options: PairOptions = {}): Promise<Pair> {
  const nodes = await pair(options);
  nodes.a.sends(nodes.b, 'hello');
  await nodes.clock.advance(1000);
  nodes.b.plane.received.length = 0;
  nodes.network.log.length = 0;
  return nodes;
}

export function initiations(log: readonly Datagram[]): readonly Datagram[] {
  return log.filter(({ bytes }) => isHandshake(bytes) && bytes[8] === ControlType.initiation);
}

export function responses(log: readonly Datagram[]): readonly Datagram[] {
  return log.filter(({ bytes }) => isHandshake(bytes) && bytes[8] === ControlType.response);
}

/** Both ends have a session, and what each sends arrives. */
export async function reachable({ clock, a, b }: Pair): Promise<boolean> {
  const marks = [`a-${clock.now()}`, `b-${clock.now()}`] as const;
  a.sends(b, marks[0]);
  b.sends(a, marks[1]);
  await clock.advance(50);
  return b.plane.received.includes(marks[0]) && a.plane.received.includes(marks[1]);
}

/** What one end sends on is what the other end sends on. */
export function sameSession({ a, b }: Pair): boolean {
  const ofA = a.plane.sessions.get(a.plane.sendOn.get(b.key) ?? 0n);
  const ofB = b.plane.sessions.get(b.plane.sendOn.get(a.key) ?? 0n);
  return ofA !== undefined && ofB !== undefined && ofA.remoteId === ofB.localId && ofB.remoteId === ofA.localId;
}
