import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { loadNative } from '../../../src/dataplane/kernel/native.ts';
import { compileFixture } from './compile.ts';

const native = loadNative();
let folder: string;
let object: string;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'omni-btf-'));
  object = compileFixture('types', join(folder, 'types.bpf.o'));
});
afterAll(() => rmSync(folder, { recursive: true }));

describe('btfTypes', () => {
  it('tells typedefs, arrays, anonymous members, nested structs and enums', () => {
    const { structs, enums } = native.btfTypes({ object, names: ['outer'] });
    expect(structs.find((item) => item.name === 'outer')).toEqual({
      name: 'outer',
      size: 32,
      members: [
        { name: 'kind', offset: 0, size: 1, type: '__u8' },
        { name: 'nested', offset: 2, size: 1, type: '__u8' },
        { name: 'either', offset: 4, size: 2, type: '__u16' },
        { name: 'other', offset: 4, size: 2, type: '__u16' },
        { name: 'ports', offset: 6, size: 6, type: '__u16', elements: 3 },
        { name: 'pair', offset: 12, size: 8, type: 'struct inner', elements: 2 },
        { name: 'colour', offset: 20, size: 4, type: 'enum colour' },
        { name: 'last', offset: 24, size: 8, type: '__u64' },
      ],
    });
    expect(structs.find((item) => item.name === 'inner')?.members).toEqual([
      { name: 'address', offset: 0, size: 4, type: '__be32' },
    ]);
    expect(enums).toEqual([{ name: 'colour', values: { COLOUR_RED: 0, COLOUR_BLUE: 7 } }]);
  });

  it('refuses bit-fields, but only where they are asked for', () => {
    expect(() => native.btfTypes({ object })).toThrow(/with_bits\.low.*bit-field/);
    expect(() => native.btfTypes({ object, names: ['with_bits'] })).toThrow(
      expect.objectContaining({ code: 'EINVAL', object: 'with_bits.low' }),
    );
  });

  it('names what is absent', () => {
    const absent = { code: 'ENOENT', errno: 2, syscall: 'BTF', object: 'no_such_struct' };
    expect(() => native.btfTypes({ object, names: ['no_such_struct'] })).toThrow(expect.objectContaining(absent));
    const path = join(folder, 'absent.o');
    expect(() => native.btfTypes({ object: path })).toThrow(expect.objectContaining({ code: 'ENOENT', object: path }));
  });

  it('refuses a file that is no object', () => {
    const path = join(folder, 'text.o');
    writeFileSync(path, 'no object');
    expect(() => native.btfTypes({ object: path })).toThrow(expect.objectContaining({ object: path }));
  });
});
