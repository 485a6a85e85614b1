import { existsSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { macOf } from '../../../src/manifest/keys.ts';
import type { PublicKey } from '../../../src/manifest/model.ts';
import { sealPsk } from '../../../src/secrets/seal.ts';
import { createIdentity, readIdentity } from '../../../src/session/identity.ts';
import { omni } from '../cli/run.ts';
import { freshPsk } from '../secrets/age.ts';
import { clusterText, Node, peerText, until, vipText } from './lab.ts';

/* A node that changes its key, as a person would do it: `omni rotate` beside a running agent on the memory engine. */

let node: Node;
beforeEach(async () => {
  node = await Node.make();
  node.write('other.yaml', peerText('robot-2', createIdentity().publicKey) + vipText('robot-2', '10.77.0.2'));
});
afterEach(() => node.close());

const identityFile = () => join(node.stateDir, 'identity.key');
const nextFile = () => join(node.stateDir, 'identity.next.key');

async function rotate(...flags: readonly string[]) {
  const where = ['--state-dir', node.stateDir, '--socket', node.socket];
  const outcome = await omni(['rotate', ...where, '-o', 'json', ...flags], { realTime: true });
  return { ...outcome, json: outcome.code === 0 ? JSON.parse(outcome.stdout) : undefined };
}

/** What a person commits of what `omni rotate` prints. */
async function commit({ publicKey, nextPublicKey }: { publicKey: string; nextPublicKey?: string }): Promise<void> {
  const keys = nextPublicKey === undefined ? publicKey : `${publicKey}, nextPublicKey: ${nextPublicKey}`;
  node.write('self.yaml', peerText('robot-1', keys) + vipText('robot-1', '10.77.0.1'));
  await node.client.reconcile({ timeoutMs: 10_000 });
}

/** MACs that this node takes frames for: its link's first. */
async function macs(): Promise<readonly string[]> {
  const { observed } = await node.client.rows();
  const own = observed.flatMap(({ row }) => (row.kind === 'fdb' && row.publicKey === 'self' ? row.mac : []));
  return [...observed.flatMap(({ row }) => (row.kind === 'link' ? row.mac : [])), ...own.sort()];
}

const agentHas = (...keys: readonly string[]) =>
  until('the agent goes by its keys', async () => {
    const { publicKey, nextPublicKey } = (await node.status()).node;
    return JSON.stringify([publicKey, nextPublicKey]) === JSON.stringify([keys[0], keys[1]]);
  });

describe('a rotation', () => {
  it('goes by three commits and a last word, without a restart', async () => {
    await node.start();
    await node.ready();
    const old = node.identity.publicKey;
    const [secret] = [readFileSync(identityFile(), 'utf8').trim()];

    const begun = await rotate();
    expect(begun.json).toMatchObject({ step: 'announce', commit: 1, publicKey: old, inForce: { peer: 'robot-1' } });
    const next: PublicKey = begun.json.nextPublicKey;
    expect(statSync(nextFile()).mode & 0o777).toBe(0o600);
    expect(readIdentity(nextFile()).publicKey).toBe(next);
    await agentHas(old, next);
    expect(await macs()).toEqual([macOf(old)]);
    expect((await rotate()).json).toEqual(begun.json);
    expect(await rotate('--finish')).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('does not know the next key'),
    });

    await commit(begun.json.spec);
    const both = [macOf(old), macOf(next)].sort();
    expect(await macs()).toEqual([macOf(old), ...both]);
    const swap = await rotate();
    expect(swap.json).toMatchObject({ step: 'swap', commit: 2, spec: { publicKey: next, nextPublicKey: old } });
    expect(await rotate('--abort')).toMatchObject({ code: 2, stderr: expect.stringContaining('names the next key') });

    await commit(swap.json.spec);
    expect(await macs()).toEqual([macOf(next), ...both]);
    const drop = await rotate('--status');
    expect(drop.json).toMatchObject({ step: 'drop', commit: 3, spec: { publicKey: next } });
    expect(drop.json.spec).not.toHaveProperty('nextPublicKey');
    expect(await rotate('--finish')).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('still takes the old key'),
    });
    expect(existsSync(nextFile())).toBe(true);

    await commit(drop.json.spec);
    expect(await macs()).toEqual([macOf(next)]);
    expect((await rotate()).json).toMatchObject({ step: 'finish', publicKey: old, nextPublicKey: next });
    expect(await rotate('--finish')).toMatchObject({ code: 0, json: { publicKey: next } });
    expect(existsSync(nextFile())).toBe(false);
    expect(readIdentity(identityFile()).publicKey).toBe(next);
    expect(statSync(identityFile()).mode & 0o777).toBe(0o600);
    await agentHas(next);
    await node.ready();
    expect(await macs()).toEqual([macOf(next)]);

    // Nothing of it needs the process that saw it, and nothing that was said holds a secret.
    await node.stop();
    await node.start();
    await node.ready();
    expect((await node.status()).node).toMatchObject({ publicKey: next, peer: 'robot-1' });
    expect([...node.log, begun.stdout, begun.stderr].join('\n')).not.toContain(secret);
    expect(node.log.join('\n')).not.toContain(readFileSync(identityFile(), 'utf8').trim());
  });

  it('can be given up as long as nobody knows of it', async () => {
    await node.start();
    await node.ready();
    const { json } = await rotate();
    await agentHas(node.identity.publicKey, json.nextPublicKey);
    expect(await rotate('--abort')).toMatchObject({ code: 0, json: { publicKey: node.identity.publicKey } });
    expect(existsSync(nextFile())).toBe(false);
    await agentHas(node.identity.publicKey);
    expect(await rotate('--abort')).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('there is nothing to give up'),
    });
  });

  it('is told from what the node keeps where no agent runs', async () => {
    await node.start();
    await node.ready();
    const { json } = await rotate();
    await commit(json.spec);
    await until('it is trusted', async () => (await node.status()).rollout.lastKnownGood !== undefined);
    await node.stop();
    expect((await rotate()).json).toMatchObject({
      step: 'swap',
      inForce: { from: 'state-dir', position: { file: expect.stringContaining('self.yaml') } },
    });
  });

  it('goes on while the node is suspended', async () => {
    await node.start();
    await node.ready();
    const { json } = await rotate();
    const { publicKey, nextPublicKey } = json.spec;
    const keys = `${publicKey}, nextPublicKey: ${nextPublicKey}, suspended: true`;
    node.write('self.yaml', peerText('robot-1', keys) + vipText('robot-1', '10.77.0.1'));
    await node.client.reconcile({ timeoutMs: 10_000 });
    const announced = async () => (await rotate()).json?.step === 'swap';
    await until('the revision that suspends it is trusted', announced);
    expect((await rotate()).json).toMatchObject({ step: 'swap', inForce: { from: 'state-dir', peer: 'robot-1' } });
    expect(await rotate('--abort')).toMatchObject({ code: 2, stderr: expect.stringContaining('names the next key') });
  });

  it('goes back by a commit, as it came', async () => {
    await node.start();
    await node.ready();
    const old = node.identity.publicKey;
    const { json } = await rotate();
    await commit(json.spec);
    await commit({ publicKey: json.nextPublicKey, nextPublicKey: old });
    const both = [macOf(old), macOf(json.nextPublicKey)].sort();
    expect(await macs()).toEqual([macOf(json.nextPublicKey), ...both]);
    await commit(json.spec);
    expect(await macs()).toEqual([macOf(old), ...both]);
    await commit({ publicKey: old });
    expect(await macs()).toEqual([macOf(old)]);
    expect(await rotate('--abort')).toMatchObject({ code: 0 });
  });

  it('does not end before the next key opens what the cluster sealed', async () => {
    const psk = freshPsk();
    const sealedFor = async (...keys: readonly PublicKey[]) => {
      const text = await sealPsk(
        psk,
        keys.map((publicKey) => ({ peer: 'robot-1', publicKey })),
      );
      node.write('cluster.yaml', clusterText(node.port).replace(/ }\n$/, `, psk: ${JSON.stringify(text)} }\n`));
    };
    const old = node.identity.publicKey;
    await sealedFor(old);
    await node.start();
    await node.ready();
    const { json } = await rotate();
    expect(json).toMatchObject({ reseal: true });
    const next: PublicKey = json.nextPublicKey;
    await commit({ publicKey: old, nextPublicKey: next });
    await commit({ publicKey: next, nextPublicKey: old });
    await commit({ publicKey: next });
    expect(await rotate('--finish')).toMatchObject({
      stderr: expect.stringContaining("not sealed for this node's key"),
    });
    expect(readIdentity(identityFile()).publicKey).toBe(old);
    await sealedFor(next);
    await node.client.reconcile({ timeoutMs: 10_000 });
    await node.ready();
    expect(await rotate('--finish')).toMatchObject({ code: 0 });
  });
});

describe('key files that are not as they should be', () => {
  it('a next key that others may read is told of, and not used', async () => {
    await node.start();
    await node.ready();
    writeFileSync(nextFile(), `${Buffer.from(createIdentity().seed()).toString('base64')}\n`, { mode: 0o644 });
    await until('it is told of', async () => node.log.some((line) => line.includes('has mode 0644')));
    expect((await node.status()).node).not.toHaveProperty('nextPublicKey');
  });

  it("somebody else's key in the place of this node's changes nothing until a restart", async () => {
    await node.start();
    await node.ready();
    writeFileSync(identityFile(), `${Buffer.from(createIdentity().seed()).toString('base64')}\n`);
    await until('it is told of', async () => node.log.some((line) => line.includes('the key of another node')));
    expect((await node.status()).node.publicKey).toBe(node.identity.publicKey);
  });
});
