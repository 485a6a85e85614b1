import { describe, expect, it } from 'vitest';
import { parseSelector } from '../../../src/cli/selector.ts';

const labels = { site: 'munich', role: 'amr', 'example.com/zone': 'b', empty: '' };

describe('selectors', () => {
  it.each([
    ['site=munich', true],
    ['site==munich', true],
    ['site=berlin', false],
    ['site!=berlin', true],
    ['absent!=x', true],
    ['site!=munich', false],
    ['site = munich', true],
    ['site in (munich, berlin)', true],
    ['site in (berlin)', false],
    ['absent in (x)', false],
    ['site notin (berlin)', true],
    ['absent notin (x)', true],
    ['site notin (munich,berlin)', false],
    ['role', true],
    ['!role', false],
    ['! absent', true],
    ['empty=', true],
    ['example.com/zone=b', true],
    ['site=munich,role=arm', false],
    ['site in (munich,berlin),role!=arm,!spare', true],
  ])('%s is %s', (text, matches) => {
    expect(parseSelector(text)(labels)).toBe(matches);
  });

  it.each(['', 'site=munich,', 'site in munich', 'site>3', 'a=b=c', 'site in (a', '=x'])('%j is refused', (text) => {
    expect(() => parseSelector(text)).toThrow(expect.objectContaining({ exitCode: 2 }));
  });
});
