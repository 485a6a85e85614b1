import { describe, expect, it } from 'vitest';
import { type Feature, missingCapabilities, missingFeatures } from '../../../src/agent/kernel-needs.ts';

const able: Record<Feature['field'], boolean> = {
  bpf: true,
  xdpProgram: true,
  schedClsProgram: true,
  ringbuf: true,
  btf: true,
  spinLock: true,
  bootTime: true,
};

describe('features of the kernel', () => {
  it('finds nothing wrong with a kernel that can do all of it', () => {
    expect(missingFeatures(able)).toEqual([]);
  });

  it.each(Object.keys(able) as Feature['field'][])('names what is missing: %s', (field) => {
    expect(missingFeatures({ ...able, [field]: false })).toMatchObject([{ field }]);
  });

  it('names all that an old kernel lacks at once', () => {
    const old = missingFeatures({ ...able, ringbuf: false, bootTime: false });
    expect(old.map(({ what }) => what)).toEqual(['ring buffers', 'the boot clock']);
  });
});

describe('capabilities', () => {
  it('lets CAP_SYS_ADMIN stand in for those of BPF alone', () => {
    expect(missingCapabilities(['CAP_SYS_ADMIN'])).toEqual(['CAP_NET_ADMIN', 'CAP_NET_RAW']);
    expect(missingCapabilities(['CAP_NET_ADMIN', 'CAP_BPF', 'CAP_PERFMON', 'CAP_NET_RAW'])).toEqual([]);
  });
});
