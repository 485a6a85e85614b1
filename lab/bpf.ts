import { join } from 'node:path';
import type { Host } from './lab.ts';
import { must } from './shell.ts';

/** A row as bpftool(8) prints it: bytes in hexadecimal, and what BTF makes of them. */
export interface MapRow<V> {
  readonly key: readonly string[];
  /** Absent from maps with a value per processor. */
  readonly value?: readonly string[];
  readonly formatted: V;
}

function pinOf(host: Host, map: string): string {
  return join(host.folder, 'bpf', 'omni', 'omni0', map);
}

/** What is in a map of the host's `omni0` now, read past the agent. */
export async function dumpMap<V>(host: Host, map: string): Promise<readonly MapRow<V>[]> {
  return JSON.parse(await must(['bpftool', '-j', 'map', 'dump', 'pinned', pinOf(host, map)])) as MapRow<V>[];
}

/** Deletes a row of a map of the host's `omni0`, past the agent. */
export async function deleteRow(host: Host, map: string, key: Uint8Array): Promise<void> {
  await must(['bpftool', 'map', 'delete', 'pinned', pinOf(host, map), 'key', ...Array.from(key, String)]);
}

/** Makes or overwrites a row, likewise. */
export async function writeRow(host: Host, map: string, key: Uint8Array, value: Uint8Array): Promise<void> {
  const [keyBytes, valueBytes] = [key, value].map((bytes) => Array.from(bytes, String)) as [string[], string[]];
  await must(['bpftool', 'map', 'update', 'pinned', pinOf(host, map), 'key', ...keyBytes, 'value', ...valueBytes]);
}
