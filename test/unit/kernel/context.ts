import { Calls } from '../../../src/dataplane/kernel/calls.ts';
import type { Context } from '../../../src/dataplane/kernel/context.ts';
import { EventHub } from '../../../src/dataplane/kernel/events.ts';
import { Inventory } from '../../../src/dataplane/kernel/inventory.ts';
import type { BpfMap, Native } from '../../../src/dataplane/kernel/native.ts';
import { Outlets } from '../../../src/dataplane/kernel/outlets.ts';
import type { Overlay } from '../../../src/dataplane/kernel/overlay.ts';
import { PeerIds } from '../../../src/dataplane/kernel/peer-ids.ts';
import { pinsOf } from '../../../src/dataplane/kernel/pins.ts';
import { StackNeighbours } from '../../../src/dataplane/kernel/stack-neighbours.ts';

/** A failure as the addon throws it. */
export function kernelRefusal(code: string): Error {
  return Object.assign(new Error(code), { code, errno: 1, syscall: 'test', object: 'test' });
}

/** A hash map of 8-byte keys. */
export class FakeMap {
  readonly rows = new Map<string, Buffer>();
  readonly info: BpfMap['info'];

  constructor(valueSize: number) {
    this.info = { id: 1, type: 1, keySize: 8, valueSize, maxEntries: 16, flags: 0, name: 'fake_map' };
  }

  lookup({ key }: { key: Uint8Array }): Buffer | undefined {
    const value = this.rows.get(hex(key));
    return value && Buffer.from(value);
  }
  take({ key }: { key: Uint8Array }): Buffer | undefined {
    const value = this.rows.get(hex(key));
    this.rows.delete(hex(key));
    return value;
  }
  delete({ key }: { key: Uint8Array }): boolean {
    return this.rows.delete(hex(key));
  }
  update({ key, value, mode }: Parameters<BpfMap['update']>[0]): void {
    if (mode === 'create' && this.rows.has(hex(key))) throw kernelRefusal('EEXIST');
    if (mode === 'replace' && !this.rows.has(hex(key))) throw kernelRefusal('ENOENT');
    this.rows.set(hex(key), Buffer.from(value));
  }
  entries(): { count: number; keys: Buffer; values: Buffer } {
    const keys = Buffer.concat([...this.rows.keys()].map((key) => Buffer.from(key, 'hex')));
    return { count: this.rows.size, keys, values: Buffer.concat([...this.rows.values()]) };
  }
}

function hex(key: Uint8Array): string {
  return Buffer.from(key).toString('hex');
}

/** A data plane's context around the calls that a test needs; another one fails as not a function. */
export function contextOf(native: Partial<Native>, folder: string): Context {
  const calls = new Calls(native as Native);
  const context: Context = {
    calls,
    bpffs: folder,
    underlay: ['eth0'],
    mode: 'auto',
    lingerMs: 60_000,
    receiveCpus: 'none',
    gate: { mac1Keys: [new Uint8Array(32)], cookieSecrets: [] },
    objects: folder,
    maxEntries: {},
    inventory: new Inventory(folder, () => undefined),
    log: () => undefined,
    objectsDigest: () => new Uint8Array(32),
    overlays: new Map(),
    events: new EventHub(() => context),
    stack: new StackNeighbours(calls),
    sockets: new Set(),
    waiting: new Set(),
    expected: new Map(),
  };
  return context;
}

/** An overlay of fake maps, known to `context`. */
export function overlayOf(context: Context, maps: Partial<Record<keyof Overlay['maps'], FakeMap>>): Overlay {
  const overlay: Overlay = {
    name: 'omni0',
    pins: pinsOf(context.bpffs, 'omni0'),
    maps: maps as unknown as Overlay['maps'],
    peers: new PeerIds(),
    former: {},
    outlets: new Outlets(),
    sessionPeer: new Map(),
    kept: {},
    proved: new Map(),
    meta: {
      layoutVersion: 1,
      buildId: Buffer.alloc(32),
      mac: '02:00:00:00:00:01',
      mtu: 1400,
      mtuAuto: 'auto',
      port: 51820,
      newSessionsPerSecond: 10,
      arpSuppression: true,
      cluster: 'warehouse',
    } as unknown as Overlay['meta'],
    inner: 2,
    outer: 3,
  };
  context.overlays.set(overlay.name, overlay);
  return overlay;
}
