import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { encodeConfig, type Settings } from './codec.ts';
import type { Context } from './context.ts';
import { stall } from './errors.ts';
import { isPinned, type Pins, PROGRAMS, type ProgramRole } from './pins.ts';
import type { Pair } from './veth.ts';

const BUILD_HASH = 'blake2s256';
/** They know no configuration, and no maps but their own: what they need comes with each packet. */
const STANDALONE: ReadonlySet<ProgramRole> = new Set(['slowpath', 'spread']);
export const ROLES = Object.keys(PROGRAMS) as ProgramRole[];

function objectPath(objects: string, role: ProgramRole): string {
  return join(objects, `${PROGRAMS[role]}.bpf.o`);
}

/** Digest of the object files; throws a stall if they were never built. */
export function digestObjects(objects: string): Uint8Array {
  const hash = createHash(BUILD_HASH);
  for (const role of ROLES) {
    const path = objectPath(objects, role);
    try {
      hash.update(createHash(BUILD_HASH).update(readFileSync(path)).digest());
    } catch (cause) {
      throw stall(
        'programs-missing',
        path,
        `the compiled BPF program ${path} cannot be read`,
        'run: npm run build',
        cause,
      );
    }
  }
  return hash.digest();
}

/** What the loaded programs were made of: equal build ids have nothing to reload. */
export function buildIdOf(context: Context, settings: Settings, pair: Pair): Buffer {
  const hash = createHash(BUILD_HASH);
  hash.update(context.objectsDigest());
  hash.update(encodeConfig(settings, pair, context.underlay === undefined));
  return hash.digest();
}

/** Loads the programs beside those that run, reusing the pinned maps; nothing that is attached changes. */
export async function loadPrograms(context: Context, pins: Pins, settings: Settings, pair: Pair): Promise<void> {
  const config = encodeConfig(settings, pair, context.underlay === undefined);
  for (const role of ROLES) {
    const configured = !STANDALONE.has(role);
    await context.calls.writeAsync(pins.program(role), (native) =>
      native.loadObject({
        object: objectPath(context.objects, role),
        pinMaps: pins.folder,
        pinPrograms: { [PROGRAMS[role]]: pins.program(role) },
        rodata: configured ? { config } : {},
        maxEntries: configured ? context.maxEntries : {},
      }),
    );
  }
}

/** Id of the program behind a pin; undefined where nothing is pinned. */
export function programId(context: Context, pin: string): number | undefined {
  return isPinned(pin) ? context.calls.read(pin, (native) => native.programInfo({ pin }).id) : undefined;
}
