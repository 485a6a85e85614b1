import { normalizeZ } from '@noble/curves/abstract/curve.js';
import { ed25519 } from '@noble/curves/ed25519.js';

export interface FleetFile {
  readonly path: string;
  readonly text: string;
}

/** `files`: two documents a file, as people keep them; `single`: all peers in one file. */
export type FleetLayout = 'files' | 'single';

/** 10.64.0.0/12 has room for this many, its network and broadcast addresses left out. */
const MOST = 2 ** 20 - 2;

const { Point } = ed25519;

/**
 * The public keys of the secret scalars 1 to n: valid points that are 2 us each instead of the 200 us that deriving a
 * key takes. Everybody knows the scalars, so they are keys for benchmarks and tests alone.
 */
function publicKeys(count: number): string[] {
  const points = [];
  let point = Point.BASE;
  for (let at = 0; at < count; at++) {
    points.push(point);
    point = point.add(Point.BASE);
  }
  return normalizeZ(Point, points).map((each) => Buffer.from(each.toBytes()).toString('base64'));
}

function octets(value: number): string {
  return [24, 16, 8, 0].map((shift) => (value >>> shift) & 0xff).join('.');
}

/** The Peer and the VIP of one robot. `endpoint` moves its port, for a change that is valid. */
export function robotText(at: number, publicKey: string, endpointPort = 51820): string {
  const name = `robot-${String(at).padStart(5, '0')}`;
  return `apiVersion: omni.io/v1alpha1
kind: Peer
metadata: { name: ${name}, labels: { site: site-${at % 10}, role: amr } }
spec:
  clusters: [bench]
  publicKey: ${publicKey}
  endpoints: ["${octets(0x0b000001 + at)}:${endpointPort}"]
---
apiVersion: omni.io/v1alpha1
kind: VIP
metadata: { name: ${name} }
spec: { cluster: bench, address: ${octets(0x0a400001 + at)}, peer: ${name} }
`;
}

const CLUSTER = `apiVersion: omni.io/v1alpha1
kind: Cluster
metadata: { name: bench }
spec:
  subnets: [10.64.0.0/12]
`;

/** A valid fleet of one cluster with `peers` peers and as many VIPs; the same for the same arguments. */
export function makeFleet(peers: number, layout: FleetLayout = 'files'): FleetFile[] {
  if (!Number.isInteger(peers) || peers < 1 || peers > MOST) throw new RangeError(`peers must be 1 to ${MOST}`);
  const texts = publicKeys(peers).map((key, at) => robotText(at, key));
  const cluster = { path: 'cluster.yaml', text: CLUSTER };
  if (layout === 'single') return [cluster, { path: 'robots.yaml', text: texts.join('---\n') }];
  const paths = texts.map((_, at) => `robots/${at % 100}/robot-${String(at).padStart(5, '0')}.yaml`);
  return [cluster, ...texts.map((text, at) => ({ path: paths[at] ?? '', text }))];
}
