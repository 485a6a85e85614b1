import { describe, expect, test } from 'vitest';
import { ClusterSecret } from '../../../src/agent/cluster-secret.ts';
import { EventLog } from '../../../src/agent/events.ts';
import { SealingWatch } from '../../../src/agent/sealing.ts';
import { createFleetReader, filesFromTexts } from '../../../src/manifest/load.ts';
import type { SessionConfig } from '../../../src/reconcile/desired.ts';
import { sealPsk } from '../../../src/secrets/seal.ts';
import { mac1Key } from '../../../src/session/hash.ts';
import { freshPsk, type Node, nodes } from '../secrets/age.ts';

const [self, stranger] = nodes(2) as [Node, Node];
const [FILE, OLD, NEW] = [freshPsk(), freshPsk(), freshPsk()];
const seal = (psk: Uint8Array, node = self) => sealPsk(psk, [node.member]);

function configOf(
  keys: { readonly psk?: string; readonly nextPsk?: string } = {},
  cluster = 'warehouse',
): SessionConfig {
  const timers = {
    rekeyAfterMs: 1,
    lifetimeMs: 2,
    handshakeTimeoutMs: 1,
    postQuantum: 'off' as const,
    newSessionsPerSecondPerSource: 1,
    subnets: [],
  };
  return { cluster, interface: 'omni0', port: 51820, ...timers, peers: new Map(), ...keys };
}

const bytesOf = (keys: readonly Uint8Array[]) => keys.map((key) => Uint8Array.from(key));

/** A secret whose owners copy what they are given, as the session manager and data planes do. */
function newSecret(fail: () => void = () => undefined) {
  const state = { psks: [] as Uint8Array[], mac1Keys: [] as Uint8Array[], order: [] as string[] };
  const secret = new ClusterSecret({
    identities: () => [self.identity],
    fallback: FILE,
    setPsks: (psks) => {
      state.order.push('sessions');
      state.psks = bytesOf(psks);
    },
    setMac1Keys: async (keys) => {
      fail();
      state.order.push('data plane');
      state.mac1Keys = bytesOf(keys);
    },
  });
  return { secret, state };
}

function expectKeys({ psks, mac1Keys }: { psks: Uint8Array[]; mac1Keys: Uint8Array[] }, ...keys: Uint8Array[]): void {
  expect(psks).toEqual(keys);
  expect(mac1Keys).toEqual(bytesOf(keys.map((key) => mac1Key(self.identity.publicKeyBytes, key))));
}

describe('the key in force', () => {
  test('is that of --psk-file, or zeros, where the manifest has none', async () => {
    const { secret, state } = newSecret();
    expect(await secret.follow(configOf())).toBeUndefined();
    expectKeys(state, FILE);
    expect(state.order).toEqual(['data plane', 'sessions']);
    await secret.follow(undefined);
    expectKeys(state, FILE);
  });

  test('is the manifest’s, with the next one behind it; a rollback brings the older one back', async () => {
    const { secret, state } = newSecret();
    const [old, next] = [await seal(OLD), await seal(NEW)];
    const revisions = [{ psk: old }, { psk: old, nextPsk: next }, { psk: next, nextPsk: old }, { psk: next }] as const;
    for (const [index, keys] of [[OLD], [OLD, NEW], [NEW, OLD], [NEW]].entries()) {
      expect(await secret.follow(configOf(revisions[index]))).toBeUndefined();
      expectKeys(state, ...keys);
    }
    expect(await secret.follow(configOf(revisions[1]))).toBeUndefined();
    expectKeys(state, OLD, NEW);
  });

  test('a cluster that had none is led to its first one by way of both', async () => {
    const { secret, state } = newSecret();
    await secret.follow(configOf({ nextPsk: await seal(NEW) }));
    expectKeys(state, FILE, NEW);
    await secret.follow(configOf({ psk: await seal(NEW), nextPsk: await seal(FILE) }));
    expectKeys(state, NEW, FILE);
  });
});

describe('a key that this node cannot open', () => {
  test('leaves it with the keys that it used before', async () => {
    const { secret, state } = newSecret();
    await secret.follow(configOf({ psk: await seal(OLD) }));
    state.order.length = 0;
    expect(await secret.follow(configOf({ psk: await seal(NEW, stranger) }))).toMatchObject({
      code: 'psk-not-sealed-for-this-node',
      class: 'stall',
    });
    expect(state.order).toEqual([]);
    expectKeys(state, OLD);
  });

  test('leaves it with the one of two that it can open', async () => {
    const { secret, state } = newSecret();
    const foreign = await seal(NEW, stranger);
    expect(await secret.follow(configOf({ psk: await seal(OLD), nextPsk: foreign }))).toMatchObject({
      message: expect.stringContaining('spec.nextPsk'),
    });
    expectKeys(state, OLD);
    expect(await secret.follow(configOf({ psk: foreign, nextPsk: await seal(OLD) }))).toMatchObject({
      message: expect.stringContaining('spec.psk'),
    });
    expectKeys(state, OLD);
  });

  test.each([
    ['at the start', undefined],
    ['after another cluster', configOf({}, 'office')],
  ])('lets nobody in %s, not even those who know --psk-file', async (_, before) => {
    const { secret, state } = newSecret();
    if (before !== undefined) await secret.follow(before);
    expect(await secret.follow(configOf({ psk: await seal(NEW, stranger) }))).toMatchObject({ class: 'stall' });
    expect(state.psks).toHaveLength(1);
    for (const known of [FILE, NEW, new Uint8Array(32)]) expect(state.psks).not.toContainEqual(known);
  });

  test('is in force as soon as it is sealed for this node', async () => {
    const { secret, state } = newSecret();
    await secret.follow(configOf({ psk: await seal(NEW, stranger) }));
    expect(await secret.follow(configOf({ psk: await seal(NEW) }))).toBeUndefined();
    expectKeys(state, NEW);
  });
});

test('a data plane that refuses fails the revision, and the next try puts the keys in force', async () => {
  let refuse = true;
  const { secret, state } = newSecret(() => {
    if (refuse) throw new Error('no memory');
  });
  const config = configOf({ psk: await seal(OLD) });
  await expect(secret.follow(config)).rejects.toThrow('no memory');
  expect(state.psks).toEqual([]);
  refuse = false;
  expect(await secret.follow(config)).toBeUndefined();
  expectKeys(state, OLD);
});

describe('a key that is not sealed for just the members', () => {
  const fleetWith = async (psk: string, extra = '') => {
    const text = `apiVersion: omni.io/v1alpha1
kind: Cluster
metadata: { name: warehouse }
spec:
  subnets: [10.77.0.0/16]
  psk: |
${psk.replace(/^/gm, '    ').trimEnd()}
---
apiVersion: omni.io/v1alpha1
kind: Peer
metadata: { name: robot-1 }
spec: { clusters: [warehouse], publicKey: ${self.member.publicKey} }
${extra}`;
    const read = await createFleetReader().read(filesFromTexts([{ path: 'fleet.yaml', text }]));
    if (!read.ok) throw new Error('an invalid fleet');
    return read.fleet;
  };

  test('is told once, and again when it comes back', async () => {
    const events = new EventLog(() => 0);
    const lines: string[] = [];
    const watch = new SealingWatch(events, (level, message) => lines.push(`${level} ${message}`));
    const psk = await sealPsk(OLD, [self.member, stranger.member]);
    const [gap, fitting] = [await fleetWith(psk), await fleetWith(await seal(OLD))];
    for (const fleet of [fitting, gap, gap, fitting, gap]) watch.look(fleet, 'warehouse');
    watch.look(gap, 'office');
    expect(lines).toHaveLength(2);
    expect(events.after(0)).toHaveLength(2);
    expect(events.after(0)[0]).toMatchObject({
      type: 'Warning',
      reason: 'SecretNotSealedForAll',
      object: 'cluster/warehouse',
      message: expect.stringMatching(/sealed for 2 keys, and its members have 1 key: .*omni reseal/s),
    });
  });
});
