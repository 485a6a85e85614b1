import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ONE_KEY } from '../../../src/dataplane/kernel/codec.ts';
import type { Context } from '../../../src/dataplane/kernel/context.ts';
import { replaceGate, writeGate } from '../../../src/dataplane/kernel/gate.ts';
import { decodeGateEntry, encodeGateEntry, gateEntryLayout } from '../../../src/dataplane/kernel/layout.ts';
import type { Native } from '../../../src/dataplane/kernel/native.ts';
import { inheritGate } from '../../../src/dataplane/kernel/older-pins.ts';
import type { Overlay } from '../../../src/dataplane/kernel/overlay.ts';
import { contextOf, FakeMap, overlayOf } from './context.ts';

const key = () => randomBytes(32);
const [A, B, C, D] = [key(), key(), key(), key()];
const FORMER_SIZE = 72;

let folder: string;
let gate: FakeMap;
let former: FakeMap & { close(): void };
let context: Context;
let overlay: Overlay;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'omni-gate-'));
  gate = new FakeMap(gateEntryLayout.size);
  former = Object.assign(new FakeMap(FORMER_SIZE), { close: () => undefined });
  const BpfMap = function open() {
    return former;
  };
  context = contextOf({ BpfMap: BpfMap as unknown as Native['BpfMap'] }, folder);
  overlay = overlayOf(context, { gate });
});
afterEach(() => rmSync(folder, { recursive: true }));

function pinned(): { mac1Keys: Buffer[]; cookieSecrets: Buffer[] } {
  const row = decodeGateEntry(gate.lookup({ key: ONE_KEY }) ?? Buffer.alloc(0));
  const keys = (bytes: Uint8Array, count: number) =>
    Array.from({ length: count }, (_, i) => Buffer.from(bytes.subarray(32 * i, 32 * (i + 1))));
  return { mac1Keys: keys(row.mac1Keys, row.mac1Count), cookieSecrets: keys(row.cookieSecrets, row.cookieCount) };
}

function pin(mac1Keys: Buffer[], cookieSecrets: Buffer[]): void {
  const value = encodeGateEntry({
    mac1Count: mac1Keys.length,
    cookieCount: cookieSecrets.length,
    mac1Keys: Buffer.concat([...mac1Keys, Buffer.alloc(128)], 128),
    cookieSecrets: Buffer.concat([...cookieSecrets, Buffer.alloc(64)], 64),
  });
  gate.update({ key: ONE_KEY, value });
}

describe('what handshakes must show', () => {
  it('begins with what the data plane was made with', () => {
    writeGate(context, overlay);
    expect(pinned()).toEqual({ mac1Keys: [Buffer.alloc(32)], cookieSecrets: [] });
  });
  it('stays as the agent before left it, and is not written again', () => {
    pin([A, B], [C]);
    const { writes } = context.calls;
    writeGate(context, overlay);
    expect(pinned()).toEqual({ mac1Keys: [A, B], cookieSecrets: [C] });
    expect(context.calls.writes).toBe(writes);
  });
  it('changes by halves: what is not said stays', () => {
    pin([A, B], [C]);
    replaceGate(context, { cookieSecrets: [D, C] });
    expect(pinned()).toEqual({ mac1Keys: [A, B], cookieSecrets: [D, C] });
    replaceGate(context, { mac1Keys: [D] });
    expect(pinned()).toEqual({ mac1Keys: [D], cookieSecrets: [D, C] });
    replaceGate(context, { cookieSecrets: [] });
    expect(pinned()).toEqual({ mac1Keys: [D], cookieSecrets: [] });
  });
  it('is copied: the caller may wipe what it gave, and later interfaces get it all the same', () => {
    const [mine, secret] = [Buffer.from(A), Buffer.from(B)];
    replaceGate(context, { mac1Keys: [mine], cookieSecrets: [secret] });
    for (const each of [mine, secret]) each.fill(0);
    gate.rows.clear();
    writeGate(context, overlay);
    expect(pinned()).toEqual({ mac1Keys: [A], cookieSecrets: [B] });
  });
  it.each([
    { mac1Keys: [] },
    { mac1Keys: [A, B, C, D, A] },
    { mac1Keys: [A.subarray(1)] },
    { cookieSecrets: [A, B, C] },
    { cookieSecrets: [Buffer.alloc(33)] },
  ])('refuses what is none, and leaves all as it is', (change) => {
    pin([A], [B]);
    expect(() => replaceGate(context, change)).toThrow(RangeError);
    expect(pinned()).toEqual({ mac1Keys: [A], cookieSecrets: [B] });
  });
});

describe('keys that a former build pinned by themselves', () => {
  const path = () => overlay.pins.map('mac1_map');
  function pinFormer(keys: Buffer[]): void {
    const value = Buffer.alloc(FORMER_SIZE);
    value.writeUInt32LE(keys.length);
    for (const [i, each] of keys.entries()) value.set(each, 8 + 32 * i);
    former.update({ key: ONE_KEY, value });
    mkdirSync(overlay.pins.folder, { recursive: true });
    writeFileSync(path(), '');
  }

  it('move to where they are now, and their map goes', () => {
    pinFormer([A, B]);
    inheritGate(context, overlay);
    expect(pinned()).toEqual({ mac1Keys: [A, B], cookieSecrets: [] });
    expect(existsSync(path())).toBe(false);
  });
  it('are newer than those of this build that lie there from before a step back', () => {
    pin([C, D], [D]);
    pinFormer([A]);
    inheritGate(context, overlay);
    expect(pinned()).toEqual({ mac1Keys: [A], cookieSecrets: [D] });
  });
  it('may be absent, as may their map', () => {
    pin([C], []);
    inheritGate(context, overlay);
    expect(pinned().mac1Keys).toEqual([C]);
    mkdirSync(overlay.pins.folder, { recursive: true });
    writeFileSync(path(), '');
    inheritGate(context, overlay);
    expect(pinned().mac1Keys).toEqual([C]);
    expect(existsSync(path())).toBe(false);
  });
});
