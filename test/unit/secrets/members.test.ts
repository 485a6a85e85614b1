import { describe, expect, test } from 'vitest';
import { createFleetReader, filesFromTexts } from '../../../src/manifest/load.ts';
import type { Fleet } from '../../../src/manifest/model.ts';
import { sealingGaps } from '../../../src/secrets/census.ts';
import { type Member, membersOf } from '../../../src/secrets/members.ts';
import { sealPsk } from '../../../src/secrets/seal.ts';
import { freshPsk, nodes } from './age.ts';

const [one, changing, next, away, revoked, elsewhere] = nodes(6).map(({ member }) => member) as [
  Member,
  Member,
  Member,
  Member,
  Member,
  Member,
];

const peer = (name: string, cluster: string, spec: string) =>
  `---\napiVersion: omni.io/v1alpha1\nkind: Peer\nmetadata: { name: ${name} }\nspec: { clusters: [${cluster}], ${spec} }\n`;

function block(field: string, sealed: string): string {
  return `  ${field}: |\n${sealed.replace(/^/gm, '    ').trimEnd()}\n`;
}

async function fleetWith(keys: { readonly psk?: string; readonly nextPsk?: string } = {}): Promise<Fleet> {
  const cluster = `apiVersion: omni.io/v1alpha1
kind: Cluster
metadata: { name: warehouse }
spec:
  subnets: [10.77.0.0/16]
  revokedKeys: [${revoked.publicKey}]
${Object.entries(keys)
  .map(([field, sealed]) => block(field, sealed))
  .join('')}---
apiVersion: omni.io/v1alpha1
kind: Cluster
metadata: { name: office }
spec: { subnets: [10.78.0.0/16], interface: omni1, port: 51821 }
`;
  const peers = [
    peer('b-changing', 'warehouse', `publicKey: ${changing.publicKey}, nextPublicKey: ${next.publicKey}`),
    peer('a-one', 'warehouse', `publicKey: ${one.publicKey}`),
    peer('c-away', 'warehouse', `publicKey: ${away.publicKey}, suspended: true`),
    peer('e-elsewhere', 'office', `publicKey: ${elsewhere.publicKey}`),
  ];
  const read = await createFleetReader().read(filesFromTexts([{ path: 'fleet.yaml', text: cluster + peers.join('') }]));
  if (!read.ok) throw new Error(read.diagnostics.map(({ message }) => message).join('\n'));
  return read.fleet;
}

describe('who a key is sealed for', () => {
  test('the cluster’s peers: the next keys too, suspended ones too, others not', async () => {
    const fleet = await fleetWith();
    const cluster = fleet.clusters.get('warehouse');
    if (cluster === undefined) throw new Error('no cluster');
    expect(membersOf(fleet, cluster)).toEqual([
      { peer: 'a-one', publicKey: one.publicKey },
      { peer: 'b-changing', publicKey: changing.publicKey },
      { peer: 'b-changing', publicKey: next.publicKey },
      { peer: 'c-away', publicKey: away.publicKey },
    ]);
  });
});

describe('a key that does not fit the members', () => {
  const members = [one, changing, next, away];

  test('is none where numbers agree, and where nothing is sealed', async () => {
    expect(sealingGaps(await fleetWith())).toEqual([]);
    expect(sealingGaps(await fleetWith({ psk: await sealPsk(freshPsk(), members) }))).toEqual([]);
  });
  test('says who may be left out, who may be in, and of which field', async () => {
    const psk = await sealPsk(freshPsk(), members.slice(1));
    const nextPsk = await sealPsk(freshPsk(), [...members, revoked]);
    expect(sealingGaps(await fleetWith({ psk, nextPsk }))).toEqual([
      {
        cluster: 'warehouse',
        field: 'psk',
        object: 'cluster/warehouse',
        position: { file: 'fleet.yaml', line: 1, column: 1 },
        message:
          'spec.psk of cluster/warehouse is sealed for 3 keys, and its members have 4 keys: some member cannot open it',
        fix: 'Run `omni reseal -f <fleet> --cluster warehouse --write` and commit.',
      },
      expect.objectContaining({
        field: 'nextPsk',
        message:
          'spec.nextPsk of cluster/warehouse is sealed for 5 keys, and its members have 4 keys: somebody who is no member can open it',
      }),
    ]);
  });
});
