import { type ErrorClass, ExitCode, OmniError } from '../../errors.ts';
import type { NativeError } from './native.ts';

/** What the addon throws for the kernel's failures, known by its shape. */
function isNativeError(error: unknown): error is NativeError {
  return error instanceof Error && 'errno' in error && 'syscall' in error && 'object' in error && 'code' in error;
}

/** True if the kernel refused with one of these errno names; sees through our own wrapping. */
export function failedWith(error: unknown, ...codes: readonly string[]): boolean {
  const failure = error instanceof OmniError ? error.cause : error;
  return isNativeError(failure) && codes.includes(failure.code);
}

interface Verdict {
  readonly class: ErrorClass;
  readonly code: string;
  readonly fix?: string;
}

const RETRY = new Set([
  'EBUSY',
  'ENOBUFS',
  'EAGAIN',
  'EINTR',
  'ENODEV',
  'ENXIO',
  'ENETDOWN',
  'EEXIST',
  'ENOENT',
  'ENOMEM',
]);
const LOG_LINES = 12;

function verdict(failure: NativeError): Verdict {
  if (failure.log !== undefined && failure.syscall.includes('PROG_LOAD')) {
    return { class: 'stall', code: 'program-refused', fix: 'run `omni doctor`: this kernel refuses the program' };
  }
  switch (failure.code) {
    case 'EPERM':
    case 'EACCES':
      return { class: 'stall', code: 'not-permitted', fix: `run as root, or grant ${capabilityFor(failure.syscall)}` };
    case 'E2BIG':
    case 'ENOSPC':
      if (!failure.syscall.includes('MAP_UPDATE')) break;
      return { class: 'stall', code: 'map-full', fix: 'run `omni agent --teardown`, and start it with larger limits' };
  }
  if (RETRY.has(failure.code)) return { class: 'retry', code: 'kernel-busy' };
  return { class: 'stall', code: 'kernel-refused', fix: 'run `omni doctor` to see what this kernel lacks' };
}

function capabilityFor(syscall: string): string {
  if (syscall.startsWith('mount')) return 'CAP_SYS_ADMIN';
  if (syscall.includes('PROG_LOAD')) return 'CAP_BPF, CAP_PERFMON and CAP_NET_ADMIN';
  if (syscall.startsWith('bpf')) return 'CAP_BPF and CAP_NET_ADMIN';
  if (syscall === 'socket' || syscall === 'bind') return 'CAP_NET_RAW';
  return 'CAP_NET_ADMIN';
}

/** Gives a kernel failure its class; keeps errno, syscall and object in the message, and the verifier's last words. */
export function toOmniError(error: unknown, object: string): unknown {
  if (!isNativeError(error)) return error;
  const tail = error.log?.trimEnd().split('\n').slice(-LOG_LINES).join('\n');
  const message = `${object}: ${error.syscall} of ${error.object || object} failed with ${error.code} (errno ${error.errno})`;
  return new OmniError(tail ? `${message}\n${tail}` : message, { ...verdict(error), object, cause: error });
}

/** A condition that only a person can change; exit code 2. */
export function stall(code: string, object: string, message: string, fix: string, cause?: unknown): OmniError {
  return new OmniError(message, { code, class: 'stall', object, fix, exitCode: ExitCode.usage, cause });
}
