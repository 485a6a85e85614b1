import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { encodeSession, u64 } from '../../../src/dataplane/kernel/codec.ts';
import { eraseSession, SPENT_COUNTER } from '../../../src/dataplane/kernel/erase.ts';
import { decodeSessionEntry, type SessionEntry, sessionEntryLayout } from '../../../src/dataplane/kernel/layout.ts';
import type { BpfMap } from '../../../src/dataplane/kernel/native.ts';
import { applyPeer } from '../../../src/dataplane/kernel/peer.ts';
import { KernelSessions } from '../../../src/dataplane/kernel/sessions.ts';
import { macOf } from '../../../src/manifest/keys.ts';
import type { PublicKey } from '../../../src/manifest/model.ts';
import type { PeerRow } from '../../../src/reconcile/rows.ts';
import { contextOf, FakeMap, kernelRefusal, overlayOf } from './context.ts';

const PEER = randomBytes(32).toString('base64') as PublicKey;
const ID = 7n;
const KEYS = { receiveKey: randomBytes(32), sendKey: randomBytes(32) };
const NO_KEY = new Array<number>(8).fill(0);

type Step = 'delete' | { readonly in: 'place' | 'new memory'; readonly row: SessionEntry };

/** `session_map`, noting what becomes of its rows. */
class WatchedMap extends FakeMap {
  readonly steps: Step[] = [];
  failAt = 0;

  override update(options: Parameters<BpfMap['update']>[0]): void {
    super.update(options);
    const row = decodeSessionEntry(Buffer.from(options.value));
    this.steps.push({ in: options.lock === true ? 'place' : 'new memory', row });
    if (this.steps.length === this.failAt) throw kernelRefusal('EINTR');
  }
  override delete(options: { key: Uint8Array }): boolean {
    this.steps.push('delete');
    return super.delete(options);
  }
}

function node() {
  const context = contextOf({}, '/nonexistent');
  const session = new WatchedMap(sessionEntryLayout.size);
  const maps = {
    session,
    send: new FakeMap(8),
    peer: new FakeMap(80),
    path: new FakeMap(48),
    handover: new FakeMap(72),
    refused: new FakeMap(8),
  };
  const overlay = overlayOf(context, maps);
  const peer = overlay.peers.allot(PEER);
  const common = { interface: 'omni0', remoteId: 1n, peer: PEER, initiator: true, unconfirmed: false, hybrid: false };
  const value = encodeSession({ ...common, ...KEYS, rekeyAfterMs: 1, lifetimeMs: 2, localId: ID }, peer, 5n);
  session.update({ key: u64(ID), value, mode: 'create' });
  session.steps.length = 0;
  overlay.sessionPeer.set(ID, peer);
  const before = decodeSessionEntry(value);
  return { context, session, before, map: session as unknown as BpfMap };
}

/** Nobody begins to use it; then the keys go; then the row. */
const wiped = (before: SessionEntry): Step[] => {
  const ended = { ...before, expiresNs: 0n, txCounter: SPENT_COUNTER };
  return [{ in: 'place', row: ended }, { in: 'place', row: { ...ended, rxKey: NO_KEY, txKey: NO_KEY } }, 'delete'];
};

it('an erased row leaves the programs the room before the counter wraps that they rely on', () => {
  const header = readFileSync(new URL('../../../bpf/lib/session.h', import.meta.url), 'utf8');
  expect(header).toContain('#define SESSION_MAX_COUNTER (~0ULL - (1ULL << 13))');
  expect(SPENT_COUNTER).toBe(2n ** 64n - 1n - 2n ** 13n);
});

describe('a session’s keys are wiped where they lie before its row is deleted', () => {
  it('and the last statistics are those from before', () => {
    const { context, session, before, map } = node();
    expect(before.rxKey).not.toEqual(NO_KEY);
    expect(eraseSession(context, 'test', map, ID)).toMatchObject({ txPackets: 0n, expiresMs: 2 + 5e-6 });
    expect(session.steps).toEqual(wiped(before));
    expect(eraseSession(context, 'test', map, ID)).toBeUndefined();
  });

  it('when the session manager removes it', async () => {
    const { context, session, before } = node();
    expect(await new KernelSessions(context).remove(ID)).toMatchObject({ localId: ID, peer: PEER });
    expect(session.steps).toEqual(wiped(before));
  });

  it('when its peer goes', () => {
    const { context, session, before } = node();
    const from: PeerRow = { kind: 'peer', interface: 'omni0', publicKey: PEER };
    applyPeer(context, { op: 'delete', key: `peer/omni0/${macOf(PEER)}`, from } as unknown as Parameters<
      typeof applyPeer
    >[1]);
    expect(session.steps).toEqual(wiped(before));
  });

  it.each([1, 2])('what fails at step %i leaves a row that nobody uses, and that can still be erased', (failAt) => {
    const { context, session, map } = node();
    session.failAt = failAt;
    expect(() => eraseSession(context, 'test', map, ID)).toThrow();
    expect(session.steps.at(-1)).toMatchObject({ row: { expiresNs: 0n } });
    session.failAt = 0;
    expect(eraseSession(context, 'test', map, ID)).toBeDefined();
    expect(session.steps.slice(-2)).toMatchObject([{ row: { rxKey: NO_KEY, txKey: NO_KEY } }, 'delete']);
    expect(session.rows.size).toBe(0);
  });
});
