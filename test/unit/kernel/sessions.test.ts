import { randomBytes } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { encodeSession, readU64, u64 } from '../../../src/dataplane/kernel/codec.ts';
import { sessionEntryLayout } from '../../../src/dataplane/kernel/layout.ts';
import { KernelSessions } from '../../../src/dataplane/kernel/sessions.ts';
import type { PublicKey } from '../../../src/manifest/model.ts';
import { contextOf, FakeMap, overlayOf } from './context.ts';

const PEER = randomBytes(32).toString('base64') as PublicKey;
const OLD = 7n;
const NEW = 8n;
const NEWEST = 9n;

/** `send_map` to which the kernel writes while it is read and written. */
class BusyMap extends FakeMap {
  afterLookup: () => void = () => undefined;
  afterTake: () => void = () => undefined;

  override lookup(options: { key: Uint8Array }): Buffer | undefined {
    const value = super.lookup(options);
    this.afterLookup();
    return value;
  }
  override take(options: { key: Uint8Array }): Buffer | undefined {
    const value = super.take(options);
    this.afterTake();
    return value;
  }
}

function sending() {
  const context = contextOf({}, '/nonexistent');
  const send = new BusyMap(8);
  const session = new FakeMap(sessionEntryLayout.size);
  const overlay = overlayOf(context, { send, session });
  const peer = overlay.peers.allot(PEER);
  const keys = { receiveKey: new Uint8Array(32), sendKey: new Uint8Array(32) };
  const times = { rekeyAfterMs: 1, lifetimeMs: 2 };
  const common = { interface: 'omni0', remoteId: 1n, peer: PEER, initiator: true, unconfirmed: false, hybrid: false };
  const value = encodeSession({ ...common, ...keys, ...times, localId: OLD }, peer, 0n);
  session.update({ key: u64(OLD), value });
  send.update({ key: u64(peer), value: u64(OLD) });
  const current = () => {
    const found = send.rows.get(u64(peer).toString('hex'));
    return found && readU64(found);
  };
  return {
    send,
    flip: (to: bigint) => send.update({ key: u64(peer), value: u64(to) }),
    current,
    sessions: new KernelSessions(context),
  };
}

describe('removing the session that is sent on', () => {
  it('leaves nothing to send on', async () => {
    const { sessions, current } = sending();
    expect(await sessions.remove(OLD)).toMatchObject({ localId: OLD, current: true });
    expect(current()).toBeUndefined();
  });

  it('leaves the one that the kernel confirmed a moment before', async () => {
    const { sessions, send, flip, current } = sending();
    send.afterLookup = () => flip(NEW);
    await sessions.remove(OLD);
    expect(current()).toBe(NEW);
  });

  it('puts back none in the place of one that was confirmed later still', async () => {
    const { sessions, send, flip, current } = sending();
    send.afterLookup = () => flip(NEW);
    send.afterTake = () => flip(NEWEST);
    await sessions.remove(OLD);
    expect(current()).toBe(NEWEST);
  });
});
