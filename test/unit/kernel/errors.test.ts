import { describe, expect, it } from 'vitest';
import { failedWith, toOmniError } from '../../../src/dataplane/kernel/errors.ts';
import { OmniError } from '../../../src/errors.ts';

function kernelFailure(code: string, syscall: string, log?: string): Error {
  const details = { code, errno: 1, syscall, object: '/sys/fs/bpf/omni/omni0/peer_map', ...(log && { log }) };
  return Object.assign(new Error(code), details);
}

describe('failures of the kernel', () => {
  it.each([
    ['EPERM', 'bpf(BPF_MAP_CREATE)', 'stall', 'not-permitted', /CAP_BPF/],
    ['EPERM', 'mount', 'stall', 'not-permitted', /CAP_SYS_ADMIN/],
    ['EPERM', 'RTM_NEWLINK', 'stall', 'not-permitted', /CAP_NET_ADMIN/],
    ['EPERM', 'socket', 'stall', 'not-permitted', /CAP_NET_RAW/],
    ['EBUSY', 'RTM_NEWADDR', 'retry', 'kernel-busy', undefined],
    ['ENODEV', 'RTM_SETLINK', 'retry', 'kernel-busy', undefined],
    ['ENOBUFS', 'sendto', 'retry', 'kernel-busy', undefined],
    ['E2BIG', 'bpf(BPF_MAP_UPDATE_ELEM)', 'stall', 'map-full', /limits/],
    ['EOPNOTSUPP', 'bpf(BPF_LINK_CREATE)', 'stall', 'kernel-refused', /doctor/],
  ] as const)('%s of %s is class %s, code %s', (errno, syscall, kind, code, fix) => {
    const error = toOmniError(kernelFailure(errno, syscall), 'peer/omni0/x');
    expect(error).toBeInstanceOf(OmniError);
    expect(error).toMatchObject({ class: kind, code, object: 'peer/omni0/x' });
    expect((error as OmniError).message).toContain(syscall);
    expect((error as OmniError).message).toContain(errno);
    expect((error as OmniError).message).toContain('/sys/fs/bpf/omni/omni0/peer_map');
    if (fix !== undefined) expect((error as OmniError).fix).toMatch(fix);
    expect(failedWith(error, errno)).toBe(true);
    expect(failedWith(error, 'ESRCH')).toBe(false);
  });

  it('that refuse a program keep the last lines of the log, where the reason is', () => {
    const log = Array.from({ length: 100 }, (_, i) => `line ${i}`).join('\n');
    const error = toOmniError(kernelFailure('EACCES', 'bpf(BPF_PROG_LOAD)', log), 'prog_egress') as OmniError;
    expect(error).toMatchObject({ class: 'stall', code: 'program-refused' });
    expect(error.message).toContain('line 99');
    expect(error.message).not.toContain('line 50');
  });

  it('are the only ones that are touched', () => {
    const bug = new TypeError('unknown option');
    expect(toOmniError(bug, 'x')).toBe(bug);
    expect(failedWith(bug, 'EPERM')).toBe(false);
  });
});
