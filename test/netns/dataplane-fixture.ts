import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { type Host, projectRoot } from '../../lab/lab.ts';
import { macOf } from '../../src/manifest/keys.ts';
import type { Cidr, IpAddress, PublicKey } from '../../src/manifest/model.ts';
import type { NewSession } from '../../src/reconcile/dataplane.ts';
import { diff } from '../../src/reconcile/diff.ts';
import { plan } from '../../src/reconcile/plan.ts';
import { type DesiredRow, type LinkRow, type Row, type RowKey, rowKey } from '../../src/reconcile/rows.ts';
import { RemotePlane } from './remote-plane.ts';

export const INTERFACE = 'omni0';
export const PORT = 51820;

/** A member of a two-node cluster. */
export interface Node {
  readonly host: Host;
  readonly publicKey: PublicKey;
  readonly vip4: IpAddress;
  readonly vip6: IpAddress;
  readonly mac1Key: Uint8Array;
  plane: RemotePlane;
}

export function freshKey(): PublicKey {
  const { publicKey } = generateKeyPairSync('ed25519');
  const { x = '' } = publicKey.export({ format: 'jwk' });
  return Buffer.from(x, 'base64url').toString('base64') as PublicKey;
}

export interface StartOptions {
  readonly mode?: 'auto' | 'native' | 'generic';
  readonly receiveCpus?: 'auto' | 'none' | readonly number[];
  readonly mac1Key?: Uint8Array;
  readonly underlay?: readonly string[] | undefined;
  readonly lingerMs?: number;
  /** Folder of the compiled programs; default: those that ship. */
  readonly objects?: string;
  /** Folder of another build of this project, to run its data plane; default: this one. */
  readonly build?: string;
}

export const OBJECTS = join(projectRoot, 'build/bpf');

/** A process that holds a data plane in the host's namespace, nothing adopted yet. */
export function startPlane(host: Host, options: StartOptions = {}): Promise<RemotePlane> {
  const { build, objects = build === undefined ? OBJECTS : join(build, 'build/bpf') } = options;
  const settings = {
    bpffs: join(host.folder, 'bpf'),
    underlay: 'underlay' in options ? options.underlay : ['eth0'],
    objects,
    stateDir: join(host.folder, 'state'),
    mac1Key: options.mac1Key ?? new Uint8Array(32),
    mode: options.mode ?? 'auto',
    receiveCpus: options.receiveCpus ?? 'auto',
    ...(options.lingerMs !== undefined && { lingerMs: options.lingerMs }),
  };
  return RemotePlane.start(host.inside([]), settings, build);
}

export function linkRow(publicKey: PublicKey, change: Partial<LinkRow> = {}): LinkRow {
  return {
    kind: 'link',
    interface: INTERFACE,
    cluster: 'warehouse',
    mac: macOf(publicKey),
    mtu: 'auto',
    port: PORT,
    newSessionsPerSecondPerSource: 10,
    arpSuppression: true,
    ...change,
  };
}

/** What a fleet of these two desires of `self`. */
export function rowsOf(self: Node, other: Node, link: Partial<LinkRow> = {}): Row[] {
  const name = INTERFACE;
  return [
    linkRow(self.publicKey, link),
    { kind: 'address', interface: name, address: self.vip4 },
    { kind: 'address', interface: name, address: self.vip6 },
    { kind: 'route', interface: name, destination: '10.77.0.0/16' as Cidr },
    { kind: 'route', interface: name, destination: 'fd77::/64' as Cidr },
    { kind: 'peer', interface: name, publicKey: other.publicKey, endpoint: `${other.host.address}:${PORT}` },
    { kind: 'fdb', interface: name, mac: macOf(other.publicKey), publicKey: other.publicKey },
    { kind: 'neighbour', interface: name, address: other.vip4, mac: macOf(other.publicKey) },
    { kind: 'neighbour', interface: name, address: other.vip6, mac: macOf(other.publicKey) },
  ];
}

function desiredOf(rows: readonly Row[]): Map<RowKey, DesiredRow> {
  const origin = { object: 'cluster/warehouse' as const, position: { file: 'fleet.yaml', line: 1, column: 1 } };
  return new Map(rows.map((row) => [rowKey(row), { row, origin }]));
}

/** One pass of the reconciler: observes, applies the difference, and returns what then still differs. */
export async function converge(plane: RemotePlane, rows: readonly Row[]): Promise<readonly unknown[]> {
  const desired = desiredOf(rows);
  for (const change of plan(diff(desired, await plane.observe()))) await plane.apply(change);
  return diff(desired, await plane.observe());
}

export async function difference(plane: RemotePlane, rows: readonly Row[]): Promise<string[]> {
  return diff(desiredOf(rows), await plane.observe()).map((change) => `${change.op} ${change.key}`);
}

export interface SessionPair {
  readonly a: NewSession;
  readonly b: NewSession;
}

/** The two ends of a session, as a finished handshake would install them. */
export function sessionPair(a: Node, b: Node, change: Partial<NewSession> = {}): SessionPair {
  const [idA, idB] = [randomBytes(8).readBigUInt64LE() | 1n, randomBytes(8).readBigUInt64LE() | 1n];
  const [toA, toB] = [randomBytes(32), randomBytes(32)];
  const common = {
    interface: INTERFACE,
    unconfirmed: false,
    hybrid: false,
    rekeyAfterMs: 120_000,
    lifetimeMs: 3_600_000,
    ...change,
  };
  return {
    a: { ...common, localId: idA, remoteId: idB, peer: b.publicKey, initiator: true, receiveKey: toA, sendKey: toB },
    b: { ...common, localId: idB, remoteId: idA, peer: a.publicKey, initiator: false, receiveKey: toB, sendKey: toA },
  };
}

export async function installPair(a: Node, b: Node, change: Partial<NewSession> = {}): Promise<SessionPair> {
  const pair = sessionPair(a, b, change);
  await b.plane.sessions.install(pair.b);
  await a.plane.sessions.install(pair.a);
  return pair;
}
