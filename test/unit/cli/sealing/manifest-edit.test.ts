import { describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { withSealedFields } from '../../../../src/cli/sealing/manifest-edit.ts';

const armor = (letter: string) =>
  `-----BEGIN AGE ENCRYPTED FILE-----\n${letter.repeat(64)}\n${letter.repeat(8)}\n-----END AGE ENCRYPTED FILE-----\n`;
const [OLD, NEW] = [armor('A'), armor('B')];

const block = (field: string, sealed: string, indent = '  ') =>
  `${indent}${field}: |\n${sealed.trimEnd().replace(/^/gm, `${indent}  `)}\n`;

const HEAD = `# the warehouse in Munich
apiVersion: omni.io/v1alpha1
kind: Cluster
metadata: { name: warehouse }  # do not rename
spec:
  subnets: [10.77.0.0/16,   "fd77::/64"]   # VIPs
  # a longer remark
  mtu:    1400
`;
const TAIL = `
# nothing below
---
# a peer
apiVersion: omni.io/v1alpha1
kind: Peer
metadata: {name: robot-17}
spec: {clusters: [warehouse], publicKey: x}
`;

const edit = (text: string, fields: Parameters<typeof withSealedFields>[2]) =>
  withSealedFields(text, 'warehouse', fields);

describe('in block style', () => {
  test('a first key comes last in spec; all else stays as it was, to the character', () => {
    expect(edit(HEAD + TAIL, { psk: OLD })).toBe(HEAD + block('psk', OLD) + TAIL);
  });
  test('a next key comes behind', () => {
    const text = HEAD + block('psk', OLD) + TAIL;
    expect(edit(text, { nextPsk: NEW })).toBe(HEAD + block('psk', OLD) + block('nextPsk', NEW) + TAIL);
  });
  test('both are exchanged where they stand', () => {
    const middle = '  # ours until May\n';
    const end = '  port: 51821\n';
    const text = HEAD + block('psk', OLD) + middle + block('nextPsk', NEW) + end + TAIL;
    expect(edit(text, { psk: NEW, nextPsk: OLD })).toBe(
      HEAD + block('psk', NEW) + middle + block('nextPsk', OLD) + end + TAIL,
    );
  });
  test.each(['', '  port: 51821\n'])('a key goes, and nothing else, before %j', (end) => {
    const text = HEAD + block('psk', NEW) + block('nextPsk', OLD) + end + TAIL;
    expect(edit(text, { nextPsk: null })).toBe(HEAD + block('psk', NEW) + end + TAIL);
  });
  test('a key in quotes gives way to lines of its own', () => {
    const text = `${HEAD}  psk: ${JSON.stringify(OLD)}  # old form\n${TAIL}`;
    expect(edit(text, { psk: NEW })).toBe(HEAD + block('psk', NEW) + TAIL);
  });
  test('takes the indentation, the line ends and the missing last line end as they are', () => {
    const wide = HEAD.replace(/^ {2}/gm, '      ');
    expect(edit(wide, { psk: OLD })).toBe(wide + block('psk', OLD, '      '));
    const dos = HEAD.replaceAll('\n', '\r\n');
    expect(edit(dos, { psk: OLD })).toBe((HEAD + block('psk', OLD)).replaceAll('\n', '\r\n'));
    expect(edit(HEAD.trimEnd(), { psk: OLD })).toBe(HEAD + block('psk', OLD));
  });
  test('finds its Cluster among several, wherever it stands', () => {
    const other = HEAD.replace('name: warehouse', 'name: office');
    expect(edit(`${other}---\n${HEAD}${TAIL}`, { psk: OLD })).toBe(`${other}---\n${HEAD}${block('psk', OLD)}${TAIL}`);
  });
});

describe('in flow style', () => {
  const flow =
    '{apiVersion: omni.io/v1alpha1, kind: Cluster, metadata: {name: warehouse}, spec: {subnets: [10.77.0.0/16]}}';
  const json = JSON.stringify(parse(flow), undefined, 2);

  test.each([
    ['YAML', `# one line\n${flow}\n`],
    ['JSON', json],
    ['JSON on one line', JSON.stringify(parse(flow))],
  ])('%s stays what it is, through a whole rotation', (name, text) => {
    const read = (edited: string | undefined): unknown =>
      name === 'YAML' ? parse(edited ?? '') : JSON.parse(edited ?? '');
    const first = edit(text, { psk: OLD });
    expect(read(first)).toHaveProperty('spec', { subnets: ['10.77.0.0/16'], psk: OLD });
    const second = edit(first ?? '', { nextPsk: NEW });
    const third = edit(second ?? '', { psk: NEW, nextPsk: OLD });
    expect(read(third)).toHaveProperty('spec', { subnets: ['10.77.0.0/16'], psk: NEW, nextPsk: OLD });
    expect(edit(third ?? '', { nextPsk: null })).toBe(edit(text, { psk: NEW }));
    expect(edit(first ?? '', { psk: null })).toBe(text);
  });
});

describe('leaves alone what it cannot be sure of', () => {
  test.each([
    ['no such Cluster', HEAD.replace('name: warehouse', 'name: office')],
    ['two of them', `${HEAD}---\n${HEAD}`],
    [
      'a spec that is an alias',
      `base: &base\n  subnets: []\nkind: Cluster\nmetadata: { name: warehouse }\nspec: *base\n`,
    ],
    ['an empty spec', 'kind: Cluster\nmetadata: { name: warehouse }\nspec: {}\n'],
  ])('%s', (_, text) => {
    expect(edit(text, { psk: OLD })).toBeUndefined();
  });
  test('a key that goes and was never there', () => {
    expect(edit(HEAD, { nextPsk: null })).toBe(HEAD);
  });
});
