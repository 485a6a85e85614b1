import { clusterDocument } from '../../lab/fleet.ts';
import type { PublicKey } from '../../src/manifest/model.ts';
import { PORT, robotAddress, robotIdentity } from './robot.ts';

export type PostQuantum = 'off' | 'required';

const CLUSTER = 'bench';
const HUB_VIP = '10.64.255.254';

export function clusterText(postQuantum: PostQuantum): string {
  const spec = `  sessions: { postQuantum: ${postQuantum} }\n`;
  return clusterDocument({ name: CLUSTER, subnets: ['10.64.0.0/12'], spec });
}

export function robotVip(at: number): string {
  return `10.64.${1 + Math.floor(at / 250)}.${1 + (at % 250)}`;
}

function nodeText(name: string, publicKey: PublicKey, endpoint: string, vip: string): string {
  return `apiVersion: omni.io/v1alpha1
kind: Peer
metadata: { name: ${name} }
spec: { clusters: [${CLUSTER}], publicKey: ${publicKey}, endpoints: ["${endpoint}:${PORT}"] }
---
apiVersion: omni.io/v1alpha1
kind: VIP
metadata: { name: ${name} }
spec: { cluster: ${CLUSTER}, address: ${vip}, peer: ${name} }
`;
}

export function hubText(publicKey: PublicKey, address: string): string {
  return nodeText('hub', publicKey, address, HUB_VIP);
}

export function robotText(at: number): string {
  const name = `robot-${String(at).padStart(4, '0')}`;
  return nodeText(name, robotIdentity(at).publicKey, robotAddress(at), robotVip(at));
}
