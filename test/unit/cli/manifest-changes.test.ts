import { describe, expect, it } from 'vitest';
import { createStyle } from '../../../src/cli/style.ts';
import { manifestChanges, manifestLines } from '../../../src/cli/views/manifests.ts';
import type { Cluster } from '../../../src/manifest/model.ts';
import { objectChanges } from '../../../src/reconcile/impact/objects.ts';
import { cluster, fleetOf } from '../reconcile/fleet.ts';

const armor = (body: string) => `-----BEGIN AGE ENCRYPTED FILE-----\n${body}\n-----END AGE ENCRYPTED FILE-----\n`;

describe('sealed keys in a comparison', () => {
  it.each<[string, Partial<Cluster>, Partial<Cluster>, string[]]>([
    ['another', { psk: armor('b25l') }, { psk: armor('dHdv') }, ['psk (sealed) changed']],
    ['a first', {}, { psk: armor('b25l') }, ['psk (sealed) set']],
    ['a next', { psk: armor('b25l') }, { psk: armor('b25l'), nextPsk: armor('dHdv') }, ['nextPsk (sealed) set']],
    ['none any more', { psk: armor('b25l') }, {}, ['psk (sealed) taken out']],
  ])('%s: said, and never shown', (_what, from, to, words) => {
    const [before, after] = [fleetOf(cluster(from)), fleetOf(cluster(to))];
    const changes = manifestChanges(before, after, objectChanges(before, after));
    const layout = { style: createStyle({ color: false, utf8: true }), width: undefined, whole: true };
    const text = manifestLines(changes, layout).join('\n');
    for (const word of words) expect(text).toContain(word);
    expect(`${text}${JSON.stringify(changes)}`).not.toMatch(/AGE ENCRYPTED|b25l|dHdv/);
  });
});
