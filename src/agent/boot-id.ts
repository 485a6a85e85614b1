import { randomUUID } from 'node:crypto';
import { readFile } from 'node:fs/promises';

/** Another one after each boot of the system (proc_sys_kernel(5)); where it cannot be read, after each start of the agent. */
export async function readBootId(path = '/proc/sys/kernel/random/boot_id'): Promise<string> {
  return (await readFile(path, 'utf8').catch(() => randomUUID())).trim();
}
