import { describe, expect, it } from 'vitest';
import { checkKernel } from '../../../src/agent/preflight.ts';
import type { Native } from '../../../src/dataplane/kernel/native.ts';
import { FEATURES, fixOf, missingCapabilities, missingFeatures } from '../../../src/dataplane/kernel/needs.ts';
import { OmniError } from '../../../src/errors.ts';

type Probed = ReturnType<Native['probe']>;

const able: Probed = {
  kernel: '5.15.0-91-generic',
  bpf: true,
  xdpProgram: true,
  xdpLink: true,
  schedClsProgram: true,
  ringbuf: true,
  btf: true,
  spinLock: true,
  bootTime: true,
  atomics: true,
  jit: true,
  log: '',
};
const NEEDED = FEATURES.filter(({ need }) => need === 'needed');
const DEGRADED = FEATURES.filter(({ need }) => need === 'degraded');

describe('features of the kernel', () => {
  it('stand in the table one by one, whatever the addon probes', () => {
    const probes = Object.keys(able).filter((name) => !['kernel', 'log'].includes(name));
    expect(FEATURES.map(({ field }) => field).sort()).toEqual(probes.sort());
  });

  it('are all there in a kernel that can do all of it', () => {
    expect(missingFeatures(able, 'needed')).toEqual([]);
    expect(missingFeatures(able, 'degraded')).toEqual([]);
  });

  it('names all that an old kernel lacks at once', () => {
    const old = missingFeatures({ ...able, ringbuf: false, bootTime: false }, 'needed');
    expect(old.map(({ what }) => what)).toEqual(['ring buffers', 'the boot clock']);
  });

  it('tells an old kernel from one that was built without', () => {
    const atomics = FEATURES.find(({ field }) => field === 'atomics');
    if (atomics === undefined) throw new Error('no such feature');
    expect(fixOf(atomics, '5.10.0-32-cloud-amd64')).toBe('Boot Linux 5.15 or later.');
    expect(fixOf(atomics, '5.15.0-1040-tegra')).toMatch(/arm64/);
  });
});

describe('the start of an agent', () => {
  const config = { teardown: false, underlay: ['eth0'] };

  /** Every call but these throws: the check changes nothing. */
  function native(change: Partial<Probed>, capabilities = ['CAP_SYS_ADMIN', 'CAP_NET_ADMIN', 'CAP_NET_RAW']): Native {
    const calls: Partial<Native> = {
      capabilities: () => capabilities,
      probe: () => ({ ...able, ...change }),
      links: () => [{ name: 'eth0' }] as ReturnType<Native['links']>,
    };
    return calls as Native;
  }

  function check(change: Partial<Probed>): { readonly error: OmniError | undefined; readonly log: string[] } {
    const log: string[] = [];
    try {
      checkKernel(native(change), config, (_level, message) => void log.push(message));
      return { error: undefined, log };
    } catch (error) {
      if (!(error instanceof OmniError)) throw error;
      return { error, log };
    }
  }

  it('goes on where nothing is missing', () => {
    expect(check({})).toEqual({ error: undefined, log: [] });
  });

  it.each(NEEDED)('refuses a kernel that lacks $what, with the version that brought it', ({ field, what, since }) => {
    const { error } = check({ kernel: '2.6.32', [field]: false });
    expect(error).toMatchObject({ code: 'kernel-unsuitable', exitCode: 2, fix: 'Boot Linux 5.15 or later.' });
    expect(error?.message).toBe(`kernel 2.6.32 refuses ${what} (in Linux since ${since})`);
  });

  it.each(DEGRADED)('warns of a kernel that lacks $what, and goes on', ({ field, what, why }) => {
    const { error, log } = check({ [field]: false });
    expect(error).toBeUndefined();
    expect(log).toEqual([`the kernel gives us no ${what}: ${why}`]);
  });

  it('says one fix once', () => {
    expect(check({ bpf: false, btf: false }).error?.fix).toBe('Boot a kernel built with CONFIG_BPF_SYSCALL=y.');
  });
});

describe('capabilities', () => {
  it('lets CAP_SYS_ADMIN stand in for those of BPF alone', () => {
    expect(missingCapabilities(['CAP_SYS_ADMIN'])).toEqual(['CAP_NET_ADMIN', 'CAP_NET_RAW']);
    expect(missingCapabilities(['CAP_NET_ADMIN', 'CAP_BPF', 'CAP_PERFMON', 'CAP_NET_RAW'])).toEqual([]);
  });
});
