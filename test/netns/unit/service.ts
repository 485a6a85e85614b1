import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { projectRoot } from '../../../lab/lab.ts';
import { must } from '../../../lab/shell.ts';

/** A systemd unit's `[Service]`, as far as this file's functions understand it. */
export type Service = ReadonlyMap<string, readonly string[]>;

export const unitFile = join(projectRoot, 'deploy', 'omni-agent.service');

export async function readService(): Promise<Service> {
  const service = new Map<string, string[]>();
  for (const line of (await readFile(unitFile, 'utf8')).split('\n')) {
    const [, key, value] = /^([A-Za-z]+)=(.*)$/.exec(line) ?? [];
    if (key !== undefined && value !== undefined) service.set(key, [...(service.get(key) ?? []), value]);
  }
  return service;
}

/** The one value of a setting; several lines or none are an error. */
export function settingOf(service: Service, key: string): string {
  const [value, ...more] = service.get(key) ?? [];
  if (value === undefined || more.length > 0)
    throw new Error(`the unit sets ${key} ${more.length + 1} times, or never`);
  return value;
}

/** `cap_net_admin` -> `net_admin`, as setpriv(1) calls them. */
export function capabilitiesOf(service: Service, key: string): readonly string[] {
  return settingOf(service, key)
    .split(' ')
    .map((name) => name.replace(/^CAP_/, '').toLowerCase());
}

/** Numbers of the system calls that `SystemCallFilter` lets through on this machine (systemd.exec(5)). */
export async function allowedCalls(service: Service): Promise<readonly number[]> {
  const names = new Set<string>();
  for (const line of service.get('SystemCallFilter') ?? []) {
    const denies = line.startsWith('~');
    for (const item of line.replace('~', '').split(' ')) {
      for (const name of await callsOf(item)) {
        if (denies) names.delete(name);
        else names.add(name);
      }
    }
  }
  // systemd adds this set to every allow list.
  for (const name of await callsOf('@default')) names.add(name);
  const numbers = await callNumbers();
  return [...names].flatMap((name) => numbers.get(name) ?? []);
}

async function callsOf(item: string): Promise<readonly string[]> {
  if (!item.startsWith('@')) return [item];
  const lines = (await must(['systemd-analyze', '--no-pager', 'syscall-filter', item])).split('\n').slice(1);
  const members = lines.map((line) => line.trim()).filter((line) => line !== '' && !line.startsWith('#'));
  return (await Promise.all(members.map(callsOf))).flat();
}

async function callNumbers(): Promise<ReadonlyMap<string, number>> {
  const macros = await must(['sh', '-c', "echo '#include <sys/syscall.h>' | cc -dM -E - | grep '#define __NR_'"]);
  return new Map(
    macros.split('\n').flatMap((line) => {
      const [, name, number] = /^#define __NR_(\w+) ([0-9]+)$/.exec(line) ?? [];
      return name === undefined ? [] : [[name, Number(number)] as const];
    }),
  );
}
