import { ed25519 } from '@noble/curves/ed25519.js';
import type {
  Cidr,
  Cluster,
  EndpointHint,
  Fleet,
  FleetObject,
  IpAddress,
  ObjectRef,
  Peer,
  Position,
  PublicKey,
  Vip,
} from '../../../src/manifest/model.ts';
import type { NodeView } from '../../../src/reconcile/desired.ts';

const keys = new Map<number, PublicKey>();

/** The n-th of a series of real keys. */
export function keyOf(n: number): PublicKey {
  const known = keys.get(n);
  if (known !== undefined) return known;
  const secret = new Uint8Array(32);
  new DataView(secret.buffer).setUint32(0, n, true);
  const key = Buffer.from(ed25519.getPublicKey(secret)).toString('base64') as PublicKey;
  keys.set(n, key);
  return key;
}

/** The key of the same ordinate: Ed25519 with the other sign of x. */
export function negativeOf(key: PublicKey): PublicKey {
  const bytes = Buffer.from(key, 'base64');
  bytes[31] = (bytes[31] ?? 0) ^ 0x80;
  return bytes.toString('base64') as PublicKey;
}

export function nodeOf(n: number, names: Readonly<Record<string, string>> = {}): NodeView {
  return { publicKey: keyOf(n), resolve: (host) => names[host] as IpAddress | undefined };
}

const position: Position = { file: 'fleet.yaml', line: 1, column: 1 };

export function cluster(overrides: Partial<Cluster> & { readonly name?: string } = {}): Cluster {
  const { name = 'warehouse', ...rest } = overrides;
  return {
    kind: 'Cluster',
    metadata: { name, labels: {} },
    subnets: ['10.77.0.0/16' as Cidr],
    interface: 'omni0',
    port: 51820,
    sessions: { rekeyAfterMs: 120_000, lifetimeMs: 3_600_000, handshakeTimeoutMs: 5_000, postQuantum: 'off' },
    newSessionsPerSecondPerSource: 10,
    arpSuppression: true,
    revokedKeys: [],
    foreignSources: 'deny',
    etherTypes: [],
    multicast: 'none',
    mode: 'enforce',
    probation: { confirmWithinMs: 30_000, quarantineForMs: 21_600_000, probes: [] },
    position,
    ...rest,
  };
}

/** Named `robot-<n>`, with the n-th key. */
export function peer(n: number, overrides: Partial<Peer> = {}): Peer {
  return {
    kind: 'Peer',
    metadata: { name: `robot-${n}`, labels: {} },
    clusters: ['warehouse'],
    publicKey: keyOf(n),
    endpoints: [hint(`192.0.2.${n % 250}`)],
    roles: [],
    suspended: false,
    position: { ...position, line: n + 1 },
    ...overrides,
  };
}

export function hint(host: string, port = 51820): EndpointHint {
  return { host, port };
}

/** Named `vip-<n>`, of `robot-<n>`, 10.77.x.y. */
export function vip(n: number, overrides: Partial<Vip> & { readonly name?: string } = {}): Vip {
  const { name = `vip-${n}`, ...rest } = overrides;
  return {
    kind: 'VIP',
    metadata: { name, labels: {} },
    cluster: 'warehouse',
    address: `10.77.${n >> 8}.${n & 255}` as IpAddress,
    peer: `robot-${n}`,
    position,
    ...rest,
  };
}

/** A cluster, and for each number a peer with a VIP. */
export function fleetWith(...numbers: readonly number[]): Fleet {
  return fleetOf(cluster(), ...numbers.flatMap((n) => [peer(n), vip(n)]));
}

export function fleetOf(...objects: readonly FleetObject[]): Fleet {
  const fleet = {
    clusters: new Map<string, Cluster>(),
    peers: new Map<string, Peer>(),
    vips: new Map<string, Vip>(),
    peersOfCluster: new Map<string, Set<string>>(),
    vipsOfPeer: new Map<string, Set<string>>(),
    peerByKey: new Map<PublicKey, string>(),
  };
  for (const object of objects) {
    const { name } = object.metadata;
    if (object.kind === 'Cluster') fleet.clusters.set(name, object);
    if (object.kind === 'Peer') {
      fleet.peers.set(name, object);
      for (const member of object.clusters) indexed(fleet.peersOfCluster, member).add(name);
      fleet.peerByKey.set(object.publicKey, name);
      if (object.nextPublicKey !== undefined) fleet.peerByKey.set(object.nextPublicKey, name);
    }
    if (object.kind === 'VIP') {
      fleet.vips.set(name, object);
      indexed(fleet.vipsOfPeer, `${object.cluster}/${object.peer}`).add(name);
    }
  }
  return fleet;
}

function indexed(index: Map<string, Set<string>>, key: string): Set<string> {
  const set = index.get(key) ?? new Set();
  index.set(key, set);
  return set;
}

function objectsOf(fleet: Fleet): readonly FleetObject[] {
  return [...fleet.clusters.values(), ...fleet.peers.values(), ...fleet.vips.values()];
}

/** The fleet without some objects and with others, and what that changed. */
export function edit(
  fleet: Fleet,
  put: readonly FleetObject[],
  remove: readonly ObjectRef[] = [],
): { readonly fleet: Fleet; readonly changed: ReadonlySet<ObjectRef> } {
  const objects = new Map(objectsOf(fleet).map((object) => [refOf(object), object]));
  for (const ref of remove) objects.delete(ref);
  for (const object of put) objects.set(refOf(object), object);
  return { fleet: fleetOf(...objects.values()), changed: new Set([...remove, ...put.map(refOf)]) };
}

function refOf(object: FleetObject): ObjectRef {
  return `${object.kind.toLowerCase() as 'cluster' | 'peer' | 'vip'}/${object.metadata.name}`;
}
