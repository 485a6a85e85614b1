import { describe, expect, it } from 'vitest';
import { ageOf, humanBytes, humanCount, humanSpan, shortRevision } from '../../../src/cli/format.ts';
import { displayWidth, oneLine, plural, printable, truncate, wrap } from '../../../src/cli/text.ts';

const SECOND = 1_000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

describe('ages are kubectl’s', () => {
  it.each([
    [-5 * SECOND, '0s'],
    [0, '0s'],
    [12 * SECOND + 900, '12s'],
    [119 * SECOND, '119s'],
    [2 * MINUTE, '2m'],
    [5 * MINUTE + 3 * SECOND, '5m3s'],
    [45 * MINUTE + 59 * SECOND, '45m'],
    [3 * HOUR + 20 * MINUTE, '3h20m'],
    [30 * HOUR, '30h'],
    [3 * DAY, '3d'],
    [2 * DAY + 5 * HOUR, '2d5h'],
    [400 * DAY, '400d'],
    [800 * DAY, '2y70d'],
    [Number.NaN, '<unknown>'],
  ])('%d ms is %s', (ms, text) => {
    expect(humanSpan(ms)).toBe(text);
  });

  it('of something that never was', () => {
    expect(ageOf(undefined, 0)).toBe('<none>');
    expect(ageOf('1970-01-01T00:00:10Z', 25 * SECOND)).toBe('15s');
  });
});

describe('numbers', () => {
  it.each([
    ['0', '0 B'],
    ['1023', '1023 B'],
    ['1536', '1.50 KiB'],
    ['1073741824', '1.00 GiB'],
    ['18446744073709551615', '16.00 EiB'],
  ])('%s bytes are %s', (bytes, text) => {
    expect(humanBytes(bytes)).toBe(text);
  });
  it('counts have thousands separated, u64 included', () => {
    expect(humanCount('18446744073709551615')).toBe('18,446,744,073,709,551,615');
    expect(plural(1, 'entry', 'entries')).toBe('1 entry');
    expect(plural(1_000, 'entry', 'entries')).toBe('1,000 entries');
  });
});

describe('revisions', () => {
  it.each([
    ['main@sha1:450796dd0f3b1b5f6a4e7a2b3c4d5e6f70819203', 'main@sha1:450796dd'],
    ['dir@sha256:450796dd0f3b1b5f6a4e7a2b3c4d5e6f70819203450796dd0f3b1b5f6a4e7a2b', 'dir@sha256:450796dd'],
    ['v1.2@sha1:450796dd', 'v1.2@sha1:450796dd'],
    ['main', 'main'],
  ])('%s is shown as %s', (label, text) => {
    expect(shortRevision(label)).toBe(text);
  });
});

describe('text from outside', () => {
  it('cannot drive the terminal', () => {
    expect(printable('a\x1b[2Jb\x07\u202ec')).toBe('a\\u{1b}[2Jb\\u{7}\\u{202e}c');
    expect(oneLine('first\n  second\tthird')).toBe('first second third');
  });

  it('is measured in columns', () => {
    expect(displayWidth('\x1b[32mgrün\x1b[0m')).toBe(4);
    expect(displayWidth('机器人')).toBe(6);
    expect(displayWidth('e\u0301')).toBe(1);
  });

  it('is shortened to the columns that there are', () => {
    expect(truncate('robot-17', 8, '…')).toBe('robot-17');
    expect(truncate('robot-171', 8, '…')).toBe('robot-1…');
    expect(truncate('机器人机器人', 7, '…')).toBe('机器人…');
    expect(truncate('robot-171', 8, '...')).toBe('robot...');
  });

  it('wraps at spaces', () => {
    expect(wrap('one two three', 7)).toEqual(['one two', 'three']);
    expect(wrap('unbreakable', 4)).toEqual(['unbreakable']);
  });
});
