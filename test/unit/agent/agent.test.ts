import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { createIdentity } from '../../../src/session/identity.ts';
import { Node, peerText, until, vipText } from './lab.ts';

const nodes: Node[] = [];
async function makeNode(): Promise<Node> {
  const node = await Node.make();
  nodes.push(node);
  return node;
}
afterEach(async () => {
  for (const node of nodes.splice(0)) await node.close();
});

describe('an agent that follows a folder', () => {
  it('programs it, and what an edit adds and removes', async () => {
    const node = await makeNode();
    await node.start();
    await node.ready();
    expect(await node.rowKeys()).toEqual(expect.arrayContaining(['link/link', 'address/10.77.0.1', 'route/route']));

    const other = createIdentity().publicKey;
    node.write('robot-2.yaml', peerText('robot-2', other, '127.0.0.1:9') + vipText('robot-2', '10.77.0.2'));
    await until('the neighbour is programmed', async () => (await node.rowKeys()).includes('neighbour/10.77.0.2'));
    await node.ready();
    expect(await node.rowKeys()).toContain(`peer/${other}`);

    rmSync(join(node.fleet, 'robot-2.yaml'));
    await until('it is gone', async () => !(await node.rowKeys()).includes(`peer/${other}`));
    expect(await node.rowKeys()).not.toContain('neighbour/10.77.0.2');
  });
});
