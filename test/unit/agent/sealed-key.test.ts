import { afterEach, beforeEach, expect, it } from 'vitest';
import { openPsk } from '../../../src/secrets/open.ts';
import { sealPsk } from '../../../src/secrets/seal.ts';
import { createIdentity } from '../../../src/session/identity.ts';
import { freshPsk } from '../secrets/age.ts';
import { clusterText, Node, until } from './lab.ts';

/* A running agent whose cluster has a sealed key: what it says when it cannot read it, and what it never says. */

let node: Node;
beforeEach(async () => {
  node = await Node.make();
});
afterEach(() => node.close());

const clusterWith = (psk: string) => clusterText(node.port).replace(/ }\n$/, `, psk: ${JSON.stringify(psk)} }\n`);
const sealFor = (psk: Uint8Array, ...identities: { publicKey: Node['identity']['publicKey'] }[]) =>
  sealPsk(
    psk,
    identities.map(({ publicKey }, index) => ({ peer: `robot-${index + 1}`, publicKey })),
  );

/** All that the agent tells anybody. */
async function everything(): Promise<string> {
  const { client } = node;
  const parts: unknown[] = [await client.status(), await client.objects(), await client.rows(), node.log];
  for await (const event of client.events({ watch: false, signal: new AbortController().signal })) parts.push(event);
  parts.push(await client.diff({ against: 'source' }));
  return JSON.stringify(parts);
}

it('a key of others stalls the node, and one of its own heals it', async () => {
  const [psk, stranger] = [freshPsk(), createIdentity()];
  node.write('cluster.yaml', clusterWith(await sealFor(psk, stranger)));
  await node.start();
  await until('it says so', async () => (await node.condition('Stalled'))?.reason === 'SecretUnreadable');
  expect(await node.condition('Ready')).toMatchObject({
    status: 'False',
    message: expect.stringMatching(/not sealed for this node's key\. Run `omni reseal/),
  });
  const sealed = await sealFor(psk, node.identity);
  node.write('cluster.yaml', clusterWith(sealed));
  await node.client.reconcile({ timeoutMs: 10_000 });
  await node.ready();
  expect(await node.condition('Stalled')).not.toMatchObject({ status: 'True' });
  expect(await openPsk(sealed, [node.identity.keyPair], { cluster: 'warehouse', field: 'psk' })).toEqual(psk);

  const said = await everything();
  expect(said).toContain('sealed for 1 key');
  expect(said).not.toMatch(/BEGIN AGE/);
  for (const form of ['base64', 'hex', 'base64url'] as const) {
    expect(said).not.toContain(Buffer.from(psk).toString(form));
    expect(said).not.toContain(Buffer.from(node.identity.seed()).toString(form));
  }
});

it('tells of a key that somebody else can open too', async () => {
  node.write('cluster.yaml', clusterWith(await sealFor(freshPsk(), node.identity, createIdentity())));
  await node.start();
  await node.ready();
  await until('the event', async () => (await everything()).includes('SecretNotSealedForAll'));
});
