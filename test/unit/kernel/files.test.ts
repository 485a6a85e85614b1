import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Inventory } from '../../../src/dataplane/kernel/inventory.ts';
import { pinnedInterfaces, pinnedUnderlays, pinsOf } from '../../../src/dataplane/kernel/pins.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'omni-kernel-'));
});
afterEach(() => rmSync(folder, { recursive: true }));

describe('pins', () => {
  it('have no dot in their names, and lead back to interfaces that do', () => {
    const pins = pinsOf(folder, 'omni.7');
    mkdirSync(pins.folder, { recursive: true });
    const names = ['eth0', 'eth0.100', 'a%b', 'x%2ey'];
    for (const name of names) writeFileSync(pins.ingressLink(name), '');
    writeFileSync(pins.egressLink, '');
    expect(pins.ingressLink('eth0.100').slice(folder.length)).not.toContain('.');
    expect(pinnedUnderlays(pins)).toEqual([...names].sort());
    expect(pinnedInterfaces(folder)).toEqual(['omni.7']);
  });

  it('are none where nothing was ever pinned', () => {
    expect(pinnedInterfaces(join(folder, 'absent'))).toEqual([]);
    expect(pinnedUnderlays(pinsOf(folder, 'omni0'))).toEqual([]);
  });
});

describe('the inventory', () => {
  const warnings: string[] = [];
  const open = () => new Inventory(folder, (message) => warnings.push(message));
  const path = () => join(folder, 'inventory.json');
  const fallback = { interface: 'eth0', conditions: 'MTU 9000', reason: 'no driver support' };

  it('remembers addresses and reasons across a restart, and leaves no file when it is empty', () => {
    const first = open();
    first.addAddress('omni0', '10.77.0.1');
    first.addAddress('omni0', '10.77.0.1');
    first.setFallbacks('omni0', [fallback]);
    const second = open();
    expect(second.hasAddress('omni0', '10.77.0.1')).toBe(true);
    expect(second.hasAddress('omni1', '10.77.0.1')).toBe(false);
    expect(second.fallbacks('omni0')).toEqual([fallback]);
    expect(statSync(path()).mode & 0o777).toBe(0o600);
    second.removeAddress('omni0', '10.77.0.1');
    expect(open().hasAddress('omni0', '10.77.0.1')).toBe(false);
    second.forget('omni0');
    expect(statSync(path(), { throwIfNoEntry: false })).toBeUndefined();
  });

  it('does not write what it knows already', () => {
    const inventory = open();
    inventory.addAddress('omni0', 'fd77::1');
    const before = statSync(path()).ino;
    inventory.addAddress('omni0', 'fd77::1');
    inventory.setFallbacks('omni0', []);
    inventory.forget('omni9');
    expect(statSync(path()).ino).toBe(before);
  });

  it.each(['', '{', '[]', '{"omni0":1}', '{"omni0":{"addresses":[1]}}'])(
    'that is damaged (%s) claims nothing',
    (text) => {
      warnings.length = 0;
      writeFileSync(path(), text);
      const inventory = open();
      expect(inventory.hasAddress('omni0', '10.77.0.1')).toBe(false);
      expect(warnings).toHaveLength(1);
      inventory.addAddress('omni0', '10.77.0.1');
      expect(JSON.parse(readFileSync(path(), 'utf8'))).toEqual({
        omni0: { addresses: ['10.77.0.1'], fallbacks: [] },
      });
    },
  );
});
