import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { ObjectStatus, Status } from '../../../src/agent/api.ts';
import { type PeerKeys, stageOf } from '../../../src/cli/rotation/stage.ts';
import { OmniError } from '../../../src/errors.ts';
import type { PublicKey } from '../../../src/manifest/model.ts';
import { identityOf, writeIdentity } from '../../../src/session/identity.ts';
import { type FakeAgent, fakeAgent, keyOf, OBJECTS, READY } from './fixture.ts';
import { omni } from './run.ts';

/** This node's keys, and one that it does not hold. */
const [OLD, NEXT, FOREIGN] = [keyOf(1), keyOf(2), keyOf(3)];

let folder: string;
let agent: FakeAgent | undefined;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'omni-cli-rotate-'));
});
afterEach(async () => {
  await agent?.close();
  agent = undefined;
  await rm(folder, { recursive: true });
});

function hold(name: string, seed: number): void {
  writeIdentity(join(folder, name), identityOf(new Uint8Array(32).fill(seed)));
}

/** An agent of this node, in whose fleet its Peer has these keys. */
async function agentOf(keys: PeerKeys, sealed = false): Promise<void> {
  const status: Status = { ...READY, node: { ...READY.node, nextPublicKey: NEXT } };
  const objects = OBJECTS.map((object): ObjectStatus => {
    if (object.object === 'cluster/warehouse' && sealed)
      return { ...object, detail: { ...object.detail, psk: 'sealed for 2 keys' } };
    return object.object === 'peer/robot-1' ? { ...object, detail: { ...object.detail, ...keys } } : object;
  });
  agent = await fakeAgent({ status, objects });
}

const rotate = (...flags: readonly string[]) =>
  omni(['rotate', '--state-dir', folder, '--socket', agent?.socket ?? join(folder, 'none.sock'), ...flags]);

describe('rotate', () => {
  it.each<[string, PeerKeys, boolean]>([
    ['announce', { publicKey: OLD }, false],
    ['announce-sealed', { publicKey: OLD }, true],
    ['swap', { publicKey: OLD, nextPublicKey: NEXT }, true],
    ['drop', { publicKey: NEXT, nextPublicKey: OLD }, true],
    ['finish', { publicKey: NEXT }, false],
  ])('says what to do now, and of what that was said: %s', async (name, keys, sealed) => {
    hold('identity.key', 1);
    hold('identity.next.key', 2);
    await agentOf(keys, sealed);
    const { code, stdout, stderr } = await rotate();
    expect(code, stderr).toBe(0);
    await expect(`${stdout}--- stderr\n${stderr}`).toMatchFileSnapshot(`golden/rotate-${name}.txt`);
    expect(await rotate('--status')).toEqual({ code, stdout, stderr });
    const paths = Object.keys(JSON.parse((await rotate('-o', 'json')).stdout));
    expect(paths).toEqual(expect.arrayContaining(['kind', 'publicKey', 'nextPublicKey', 'step', 'inForce']));
  });

  it('begins without an agent too, once, and never over a key that is there', async () => {
    hold('identity.key', 1);
    expect((await rotate('--status')).stdout).toMatch(/omni rotate begins that/);
    expect(existsSync(join(folder, 'identity.next.key'))).toBe(false);
    const first = await rotate();
    expect(first).toMatchObject({ code: 0, stderr: expect.stringContaining('no revision is in force here yet') });
    expect(first.stdout).toMatch(
      /^# Commit 1 of 3, in this node's Peer: .*\nspec:\n {2}publicKey: .*\n {2}nextPublicKey: /,
    );
    expect((await rotate()).stdout).toBe(first.stdout);
  });

  it('takes no copy of the key for the next one', async () => {
    hold('identity.key', 1);
    hold('identity.next.key', 1);
    for (const flag of ['--status', '--abort', '--finish']) {
      expect(await rotate(flag)).toMatchObject({ code: 2, stdout: '', stderr: expect.stringMatching(/is a copy of/) });
    }
  });

  it('makes no key where the fleet speaks against it', async () => {
    hold('identity.key', 1);
    await agentOf({ publicKey: OLD, nextPublicKey: FOREIGN });
    expect(await rotate()).toMatchObject({
      code: 2,
      stdout: '',
      stderr: expect.stringContaining(FOREIGN.slice(0, 10)),
    });
    expect(existsSync(join(folder, 'identity.next.key'))).toBe(false);
  });

  it('asks no agent of another node', async () => {
    hold('identity.key', 9);
    await agentOf({ publicKey: OLD });
    expect(await rotate()).toMatchObject({ code: 2, stderr: expect.stringContaining('runs as') });
  });

  it('does one thing at a time', async () => {
    hold('identity.key', 1);
    expect(await rotate('--finish', '--abort')).toMatchObject({ code: 2 });
  });

  it('is nothing for a node without a key', async () => {
    expect(await rotate()).toMatchObject({ code: 2, stderr: expect.stringContaining('omni init') });
  });
});

describe('the stage of a rotation', () => {
  const held = { publicKey: OLD, nextPublicKey: NEXT };

  it.each<[string, { publicKey: PublicKey; nextPublicKey?: PublicKey }, PeerKeys]>([
    ['a next key that is not here', { publicKey: OLD }, { publicKey: OLD, nextPublicKey: NEXT }],
    ['a key that is not here', { publicKey: OLD }, { publicKey: NEXT, nextPublicKey: OLD }],
    ['another next key', held, { publicKey: OLD, nextPublicKey: FOREIGN }],
    ['another key', held, { publicKey: FOREIGN, nextPublicKey: OLD }],
    ['another key beside the new one', held, { publicKey: NEXT, nextPublicKey: FOREIGN }],
  ])('is unclear where the Peer names %s', (_what, keys, peer) => {
    expect(() => stageOf(keys, peer)).toThrow(OmniError);
    expect(() => stageOf(keys, peer)).toThrow(/does not hold that key/);
  });
});
