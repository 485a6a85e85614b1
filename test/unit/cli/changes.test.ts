import { expect, it } from 'vitest';
import { createStyle } from '../../../src/cli/style.ts';
import { changeWords, namesFrom } from '../../../src/cli/views/changes.ts';
import { macOf } from '../../../src/manifest/keys.ts';
import type { IpAddress } from '../../../src/manifest/model.ts';
import { type Change, type Row, rowKey } from '../../../src/reconcile/rows.ts';
import { keyOf } from './fixture.ts';

const [OLD, NEW, OTHER] = [keyOf(1), keyOf(2), keyOf(3)];
const names = namesFrom(
  new Map([
    [OLD, 'robot-1'],
    [NEW, 'robot-1'],
    [OTHER, 'robot-2'],
  ]),
);
const words = (change: Change) => changeWords(change, names, createStyle({ color: false, utf8: true }));

it('tells the two MACs of a peer apart while it changes its key, and peers by their names', () => {
  const neighbour = (key: typeof OLD): Row => ({
    kind: 'neighbour',
    interface: 'omni0',
    address: '10.77.0.1' as IpAddress,
    mac: macOf(key),
  });
  const update = (to: typeof OLD): Change => ({
    op: 'update',
    key: rowKey(neighbour(to)),
    from: neighbour(OLD),
    to: neighbour(to),
    fields: ['mac'],
  });
  expect(words(update(NEW))).toBe(`neighbour 10.77.0.1: mac ${macOf(OLD)} → ${macOf(NEW)}`);
  expect(words(update(OTHER))).toBe('neighbour 10.77.0.1: mac robot-1 → robot-2');
});

it.each<['auto' | 'auto-ipv6' | number, string]>([
  ['auto', ''],
  ['auto-ipv6', ''],
  [1400, ', MTU 1400'],
])('says an MTU that somebody chose, and none that follows from the underlay: %s', (mtu, text) => {
  const to: Row = {
    kind: 'link',
    interface: 'omni0',
    cluster: 'warehouse',
    mac: macOf(OLD),
    mtu,
    port: 51820,
    newSessionsPerSecondPerSource: 10,
    arpSuppression: true,
  };
  expect(words({ op: 'create', key: rowKey(to), to })).toBe(
    `create interface omni0 for cluster warehouse, UDP port 51820${text}`,
  );
});
