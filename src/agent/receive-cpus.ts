import { parseCpuList } from '../cpu-list.ts';
import { ExitCode, OmniError } from '../errors.ts';
import type { AgentConfig } from './config.ts';

/** `auto`, `none`, or CPUs as in `2-3,6`. Throws `receive-cpus-invalid`. */
export function parseReceiveCpus(text: string): NonNullable<AgentConfig['receiveCpus']> {
  if (text === 'auto' || text === 'none') return text;
  const cpus = parseCpuList(text);
  if (cpus !== undefined) return cpus;
  throw new OmniError(`'${text}' names no CPUs`, {
    code: 'receive-cpus-invalid',
    class: 'stall',
    exitCode: ExitCode.usage,
    fix: 'Write auto, none, or CPUs as in 2-3,6.',
  });
}
