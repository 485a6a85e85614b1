import { readFileSync } from 'node:fs';
import { parseCpuList } from '../../cpu-list.ts';

function listed(text: string, source: string): readonly number[] {
  const cpus = parseCpuList(text);
  if (cpus === undefined) throw new RangeError(`${source} holds no list of CPUs`);
  return cpus;
}

function state(name: 'online' | 'possible'): readonly number[] {
  const path = `/sys/devices/system/cpu/${name}`;
  return listed(readFileSync(path, 'utf8'), path);
}

export const onlineCpus = (): readonly number[] => state('online');

/** One more than the highest number that a CPU of this machine can have. */
export const possibleCpuCount = (): number => Math.max(...state('possible')) + 1;

/** Those that this process may run on: affinity and cpuset. */
export function allowedCpus(): readonly number[] {
  const path = '/proc/self/status';
  const [, list = ''] = /^Cpus_allowed_list:\s*(.*)$/m.exec(readFileSync(path, 'utf8')) ?? [];
  return listed(list, path);
}
