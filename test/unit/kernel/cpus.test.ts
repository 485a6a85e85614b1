import { describe, expect, it } from 'vitest';
import { parseReceiveCpus } from '../../../src/agent/receive-cpus.ts';
import { parseCpuList } from '../../../src/cpu-list.ts';
import { allowedCpus, onlineCpus, possibleCpuCount } from '../../../src/dataplane/kernel/cpus.ts';

describe('a list of CPUs', () => {
  it.each([
    ['0', [0]],
    ['0-3', [0, 1, 2, 3]],
    ['6,2-3\n', [2, 3, 6]],
    ['3-2,2', [2, 3]],
  ])('%j is read', (text, cpus) => {
    expect(parseCpuList(text)).toEqual(cpus);
  });

  it.each(['', ',', '1,', '-1', '1-', 'a', '0x1', '1.5', '100000'])('%j is none', (text) => {
    expect(parseCpuList(text)).toBeUndefined();
    expect(() => parseReceiveCpus(text)).toThrow(
      expect.objectContaining({ code: 'receive-cpus-invalid', exitCode: 2 }),
    );
  });

  it.each([
    ['auto', 'auto'],
    ['none', 'none'],
    ['4', [4]],
  ])('%s may be what an agent is told', (text, cpus) => {
    expect(parseReceiveCpus(text)).toEqual(cpus);
  });
});

it('this process runs on CPUs that are online, and those are possible', () => {
  expect(onlineCpus()).toEqual(expect.arrayContaining([...allowedCpus()]));
  expect(Math.max(...onlineCpus())).toBeLessThan(possibleCpuCount());
});
