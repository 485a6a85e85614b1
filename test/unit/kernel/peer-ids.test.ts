import { describe, expect, it } from 'vitest';
import { PeerIds } from '../../../src/dataplane/kernel/peer-ids.ts';
import { peerIdOf } from '../../../src/manifest/keys.ts';
import { keyOf } from '../reconcile/fleet.ts';

const [OLD, NEW, OTHER] = [keyOf(1), keyOf(2), keyOf(3)];

describe('the id of a peer', () => {
  it('is made from its key, once', () => {
    const ids = new PeerIds();
    expect(ids.find(OLD)).toBeUndefined();
    expect(ids.allot(OLD)).toBe(peerIdOf(OLD));
    expect(ids.allot(OLD)).toBe(ids.find(OLD));
    expect(ids.keyOf(peerIdOf(OLD))).toBe(OLD);
  });

  it('stays when the key changes, and is found by both keys', () => {
    const ids = new PeerIds();
    const id = ids.allot(OLD);
    ids.rename(id, NEW);
    expect([ids.keyOf(id), ids.find(NEW), ids.find(OLD), ids.allot(NEW)]).toEqual([NEW, id, id, id]);
  });

  it('is another one for whoever comes with a key that made a taken one', () => {
    const ids = new PeerIds();
    const id = ids.allot(OLD);
    ids.rename(id, NEW);
    const newcomer = ids.allot(OLD);
    expect(newcomer).not.toBe(id);
    expect([ids.keyOf(id), ids.keyOf(newcomer), ids.find(OLD)]).toEqual([NEW, OLD, newcomer]);
  });

  it('is never 0, which is this node', () => {
    const ids = new PeerIds();
    ids.learn(2n ** 64n - 1n, OTHER);
    ids.learn(peerIdOf(OLD), NEW);
    for (let id = peerIdOf(OLD); id < peerIdOf(OLD) + 3n; id++) ids.learn(id, NEW);
    expect(ids.allot(OLD)).toBe(peerIdOf(OLD) + 3n);
    const full = new PeerIds();
    full.learn(peerIdOf(OLD), NEW);
    expect(full.allot(OLD)).not.toBe(0n);
  });

  it('that was allotted to a key which another peer takes over is nobody’s', () => {
    const ids = new PeerIds();
    const [first, stale] = [ids.allot(OLD), ids.allot(NEW)];
    ids.rename(first, NEW);
    expect([ids.keyOf(first), ids.keyOf(stale), ids.find(NEW)]).toEqual([NEW, undefined, first]);
  });
});
