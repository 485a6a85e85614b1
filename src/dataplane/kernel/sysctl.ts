import { readFileSync, writeFileSync } from 'node:fs';
import type { Context } from './context.ts';
import { stall } from './errors.ts';

/** Settings of one interface in this network namespace. `family` may be switched off: then there is no such file. */
export interface Setting {
  readonly family: 'ipv4' | 'ipv6';
  readonly interface: string;
  readonly name: string;
  readonly value: string;
}

function pathOf(setting: Setting): string {
  return `/proc/sys/net/${setting.family}/conf/${setting.interface}/${setting.name}`;
}

function current(setting: Setting): string | undefined {
  try {
    return readFileSync(pathOf(setting), 'utf8').trim();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

/** Those that exist and have another value. */
export function changedSettings(settings: readonly Setting[]): readonly Setting[] {
  return settings.filter((setting) => {
    const found = current(setting);
    return found !== undefined && found !== setting.value;
  });
}

/** Writes what differs. A kernel without IPv6 has no such files, and needs none. */
export function applySettings(context: Context, settings: readonly Setting[]): void {
  for (const setting of settings) {
    const found = current(setting);
    if (found === undefined || found === setting.value) continue;
    const path = pathOf(setting);
    try {
      context.calls.write(path, () => writeFileSync(path, setting.value));
    } catch (cause) {
      const command = `sysctl -w net.${setting.family}.conf.${setting.interface}.${setting.name}=${setting.value}`;
      throw stall('sysctl-refused', path, `${path} cannot be set to ${setting.value}`, `run: ${command}`, cause);
    }
  }
}
