import { mkdtempSync, readdirSync, rmdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { must } from '../../../lab/shell.ts';
import { loadNative } from '../../../src/dataplane/kernel/native.ts';
import { OBJECTS } from '../../netns/dataplane-fixture.ts';
import type { ProgramStatistics } from '../report.ts';

/** Types for the generator, and no program. */
const LAYOUT = 'omni_layout.bpf.o';

/** Loads each object by itself, unattached, and says what the verifier and the JIT made of its programs. */
export async function loadPrograms(): Promise<readonly ProgramStatistics[]> {
  const native = loadNative();
  const found: ProgramStatistics[] = [];
  for (const file of readdirSync(OBJECTS).sort()) {
    if (!file.endsWith('.bpf.o') || file === LAYOUT) continue;
    const pinMaps = mkdtempSync(join(tmpdir(), 'omni-kernel-'));
    native.mountBpffs({ path: pinMaps });
    try {
      const object = join(OBJECTS, file);
      const { programs, log } = await native.loadObject({ object, pinMaps, pinPrograms: {}, rodata: {}, stats: true });
      for (const program of programs) {
        const { name, instructions, jitedBytes } = program;
        found.push({ instructions, jitedBytes, ...statistics(name, log) });
      }
    } finally {
      await must(['umount', pinMaps]);
      rmdirSync(pinMaps);
    }
  }
  return found;
}

/** From the verifier's log at the level of statistics, where each program's part begins with its name. */
function statistics(
  name: string,
  log: string,
): Pick<ProgramStatistics, 'name' | 'verifiedInstructions' | 'stackBytes' | 'verifierMs'> {
  const [, part = ''] = log.split(new RegExp(`^${name}:\n`, 'm'));
  const number = (pattern: RegExp): string => {
    const [, value] = pattern.exec(part) ?? [];
    if (value === undefined) throw new Error(`the verifier's log of ${name} has no ${pattern.source}`);
    return value;
  };
  return {
    name,
    verifiedInstructions: Number(number(/^processed (\d+) insns/m)),
    stackBytes: number(/^stack depth ([\d+]+)/m)
      .split('+')
      .map(Number),
    verifierMs: Number(number(/^verification time (\d+) usec/m)) / 1000,
  };
}
