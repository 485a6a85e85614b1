import { expect, it } from 'vitest';
import { kernelShortcomings } from '../../../src/agent/preflight.ts';

const able = { bpf: true, xdpProgram: true, schedClsProgram: true, ringbuf: true, spinLock: true, bootTime: true };

it('finds nothing wrong with a kernel that can do all of it', () => {
  expect(kernelShortcomings(able)).toEqual([]);
});

it.each(Object.keys(able) as (keyof typeof able)[])('names what is missing: %s', (field) => {
  expect(kernelShortcomings({ ...able, [field]: false })).toHaveLength(1);
});

it('names all that an old kernel lacks at once', () => {
  expect(kernelShortcomings({ ...able, ringbuf: false, bootTime: false })).toEqual([
    'BPF ring buffers',
    'CLOCK_BOOTTIME in BPF',
  ]);
});
