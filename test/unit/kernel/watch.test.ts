import { randomBytes } from 'node:crypto';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { addressBytes, addressText } from '../../../src/dataplane/kernel/addresses.ts';
import { decodePeer, encodePeer, u64 } from '../../../src/dataplane/kernel/codec.ts';
import { peerEntryLayout } from '../../../src/dataplane/kernel/layout.ts';
import type { LinkNotification, Native } from '../../../src/dataplane/kernel/native.ts';
import { Watcher } from '../../../src/dataplane/kernel/watch.ts';
import { peerIdOf } from '../../../src/manifest/keys.ts';
import type { IpAddress, PublicKey } from '../../../src/manifest/model.ts';
import { contextOf, FakeMap, kernelRefusal, overlayOf } from './context.ts';

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

const PEER = randomBytes(32).toString('base64') as PublicKey;

/** A node whose datagrams leave from `source()`, watched; the peer's row was made when that was 192.0.2.1. */
function watched(source: () => string) {
  const notify: { send: (notification: LinkNotification) => void } = { send: () => undefined };
  class Monitor {
    constructor({ onNotification }: { onNotification: (notification: LinkNotification) => void }) {
      notify.send = onNotification;
    }
    watchNeighbours(): void {}
    close(): void {
      notify.send = () => undefined;
    }
  }
  class Table {
    readonly port = 4242;
  }
  const native: Partial<Native> = {
    NetlinkMonitor: Monitor as Native['NetlinkMonitor'],
    NeighbourTable: Table as unknown as Native['NeighbourTable'],
    links: () => [],
    lookupRoute: () => ({ oif: 1, gateway: '', source: source(), mtu: 1500 }),
  };
  const context = contextOf(native, '/nonexistent');
  const peers = new FakeMap(peerEntryLayout.size);
  overlayOf(context, { peer: peers });
  const endpoint = { address: '192.0.2.2' as IpAddress, port: 51820, local: addressBytes('192.0.2.1') };
  const key = u64(peerIdOf(PEER));
  peers.update({ key, value: encodePeer({ publicKey: PEER, endpoint, observed: true, localPort: 51820 }) });
  const woken: unknown[] = [];
  const watcher = new Watcher(
    context,
    (keys) => woken.push(keys),
    () => false,
  );
  const sourceInUse = () => {
    const local = decodePeer(peers.lookup({ key }) ?? Buffer.alloc(0)).endpoint?.local;
    return local && addressText(local);
  };
  return { context, watcher, woken, sourceInUse, notify };
}

describe('the watcher', () => {
  it('looks once at what changed before it listened, and writes nothing if nothing did', () => {
    const moved = watched(() => '192.0.2.7');
    const same = watched(() => '192.0.2.1');
    vi.advanceTimersByTime(100);
    expect(moved.sourceInUse()).toBe('192.0.2.7');
    expect(moved.context.calls.writes).toBe(1);
    expect(same.context.calls.writes).toBe(0);
    expect(same.woken).toEqual([]);
    for (const { watcher } of [moved, same]) watcher.stop();
  });

  it('follows the underlay later where it could not at once', () => {
    let source = () => '192.0.2.1';
    const { watcher, sourceInUse, notify, woken } = watched(() => source());
    vi.advanceTimersByTime(100);
    let failures = 0;
    source = () => {
      if (failures++ < 2) throw kernelRefusal('ENOBUFS');
      return '192.0.2.7';
    };
    notify.send({ type: 'address', deleted: false, ifindex: 1, object: '192.0.2.7', protocol: 0, port: 0 });
    vi.advanceTimersByTime(900);
    expect(failures).toBe(1);
    expect(woken).toEqual(['unknown']);
    vi.advanceTimersByTime(5_000);
    expect(sourceInUse()).toBe('192.0.2.7');
    watcher.stop();
  });
});
