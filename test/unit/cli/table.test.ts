import { describe, expect, it } from 'vitest';
import { createStyle } from '../../../src/cli/style.ts';
import { type Cell, type Column, renderTable, tableWriter } from '../../../src/cli/table.ts';
import { displayWidth } from '../../../src/cli/text.ts';

const columns: readonly Column[] = [
  { header: 'NAME' },
  { header: 'READY' },
  { header: 'STATUS', flexible: true },
  { header: 'AGE', optional: true },
];
const rows: readonly (readonly Cell[])[] = [
  ['robot-17', { text: 'True', tone: 'good' }, 'all rows are in force', '5m3s'],
  ['arm-3', { text: 'False', tone: 'bad' }, 'peer/omni0: the kernel refused the endpoint, twice', '12s'],
];
const plain = createStyle({ color: false, utf8: true });

describe('tables', () => {
  it('are as wide as their content where there is no terminal', () => {
    expect(renderTable(columns, rows, { style: plain, width: undefined })).toBe(
      [
        'NAME      READY  STATUS                                              AGE',
        'robot-17  True   all rows are in force                               5m3s',
        'arm-3     False  peer/omni0: the kernel refused the endpoint, twice  12s',
        '',
      ].join('\n'),
    );
  });

  it('shorten messages first, and keep the rest', () => {
    expect(renderTable(columns, rows, { style: plain, width: 50 })).toBe(
      [
        'NAME      READY  STATUS                       AGE',
        'robot-17  True   all rows are in force        5m3s',
        'arm-3     False  peer/omni0: the kernel ref…  12s',
        '',
      ].join('\n'),
    );
  });

  it('leave optional columns out when that is not enough', () => {
    const text = renderTable(columns, rows, { style: plain, width: 30 });
    expect(text).not.toContain('AGE');
    for (const line of text.split('\n')) expect(displayWidth(line)).toBeLessThanOrEqual(30);
  });

  it('colour does not move columns, nor reach beyond its cell', () => {
    const colored = renderTable(columns, rows, { style: createStyle({ color: true, utf8: true }), width: undefined });
    expect(colored).toContain('\x1b[31mFalse\x1b[0m  peer');
    const stripped = colored.replaceAll(new RegExp(`${String.fromCharCode(27)}\\[\\d+m`, 'g'), '');
    expect(stripped).toBe(renderTable(columns, rows, { style: plain, width: undefined }));
  });

  it('show control characters of a cell instead of obeying them', () => {
    const text = renderTable([{ header: 'X' }], [['a\x1b[31m\nb']], { style: plain, width: undefined });
    expect(text).toBe('X\na\\u{1b}[31m b\n');
  });

  it('use ASCII where the terminal has nothing else', () => {
    const ascii = createStyle({ color: false, utf8: false });
    const text = renderTable(columns, rows, { style: ascii, width: 50 });
    expect(text).toContain('kernel r...');
    expect([...text].every((char) => char <= '~')).toBe(true);
  });

  it('in parts have one head, and no column gets narrower', () => {
    const write = tableWriter(columns, { style: plain, width: undefined });
    const parts = [[rows[0]], [rows[1]], [['a', 'True', 'ok', '1s']]] as (readonly (readonly Cell[])[])[];
    expect(parts.map(write)).toEqual([
      'NAME      READY  STATUS                 AGE\nrobot-17  True   all rows are in force  5m3s\n',
      'arm-3     False  peer/omni0: the kernel refused the endpoint, twice  12s\n',
      'a         True   ok                                                  1s\n',
    ]);
  });
});
