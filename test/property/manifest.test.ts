import fc from 'fast-check';
import { expect, test } from 'vitest';
import { createFleetReader, filesFromTexts } from '../../src/manifest/load.ts';
import type { Diagnostic, Fleet, FleetResult, ObjectRef, PublicKey } from '../../src/manifest/model.ts';
import {
  derivation,
  type Edit,
  edit,
  edited,
  expectedFindings,
  type Files,
  textsOf,
  validFiles,
} from './manifest-model.ts';

function isEdit(step: Edit | Files): step is Edit {
  return 'what' in step;
}

function read(reader: ReturnType<typeof createFleetReader>, files: Files): Promise<FleetResult> {
  return reader.read(filesFromTexts(textsOf(files)));
}

function summary({ rule, position, related }: Diagnostic): string {
  const other = related === undefined ? '' : ` ${related.file}:${related.line}`;
  return `${rule} ${position.file}:${position.line}${other}`;
}

const RUNS = Number(process.env.OMNI_PROPERTY_RUNS ?? 150);
/** Not a target: the machine may be busy. */
const PATIENCE_MS = 60_000 + RUNS * 100;

const wholeSet = ['empty-set', 'no-objects'];

/** All that a fleet says, in an order of its own. */
function content(fleet: Fleet): unknown {
  const sets = (map: ReadonlyMap<string, ReadonlySet<string>>) =>
    [...map].map(([key, set]) => [key, [...set].sort()]).sort();
  return {
    objects: objects(fleet),
    peersOfCluster: sets(fleet.peersOfCluster),
    vipsOfPeer: sets(fleet.vipsOfPeer),
    peerByKey: [...fleet.peerByKey].sort(),
  };
}

function objects(fleet: Fleet): ReadonlyMap<ObjectRef, string> {
  const all = [...fleet.clusters.values(), ...fleet.peers.values(), ...fleet.vips.values()];
  const refs = all.map((each) => [`${each.kind.toLowerCase()}/${each.metadata.name}`, JSON.stringify(each)] as const);
  return new Map(refs.sort() as (readonly [ObjectRef, string])[]);
}

/** The indexes that the objects themselves lead to. */
function derived(fleet: Fleet): unknown {
  const add = (map: Map<string, Set<string>>, key: string, name: string) => {
    map.set(key, (map.get(key) ?? new Set()).add(name));
  };
  const peersOfCluster = new Map<string, Set<string>>();
  const vipsOfPeer = new Map<string, Set<string>>();
  const peerByKey = new Map<PublicKey, string>();
  for (const [name, peer] of fleet.peers) {
    for (const cluster of peer.clusters) add(peersOfCluster, cluster, name);
    peerByKey.set(peer.publicKey, name);
    if (peer.nextPublicKey !== undefined) peerByKey.set(peer.nextPublicKey, name);
  }
  for (const [name, vip] of fleet.vips) add(vipsOfPeer, `${vip.cluster}/${vip.peer}`, name);
  return content({ ...fleet, peersOfCluster, vipsOfPeer, peerByKey });
}

function difference(before: ReadonlyMap<ObjectRef, string>, after: ReadonlyMap<ObjectRef, string>): Set<ObjectRef> {
  const refs = new Set([...before.keys(), ...after.keys()]);
  return new Set([...refs].filter((ref) => before.get(ref) !== after.get(ref)));
}

test(
  'after any edits, what is said is what the slow model says',
  async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(edit, { minLength: 1, maxLength: 8 }), async (edits) => {
        const reader = createFleetReader(derivation);
        let files: Files = {};
        for (const change of edits) {
          files = edited(files, change);
          const result = await read(reader, files);
          const said = result.diagnostics.filter(({ rule }) => !wholeSet.includes(rule));
          expect(said.map(summary).sort()).toEqual(expectedFindings(files));
          const errors = result.diagnostics.some(({ severity }) => severity === 'error');
          expect(result.ok).toBe(!errors);
        }
      }),
      { numRuns: RUNS },
    );
  },
  PATIENCE_MS,
);

/** Text of a value that may hold maps. */
function rendered(value: unknown): string {
  return JSON.stringify(value, (_, each) => (each instanceof Map ? [...each] : each));
}

test(
  'after any sets, fleet and difference are those of a reader that begins with these files',
  async () => {
    let good = 0;
    const step = fc.oneof({ weight: 3, arbitrary: validFiles }, { weight: 1, arbitrary: edit });
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 10 }), async (steps) => {
        const reader = createFleetReader();
        let files: Files = {};
        let last: Fleet | undefined;
        const handedOut: [Fleet, string][] = [];
        for (const each of steps) {
          files = isEdit(each) ? edited(files, each) : each;
          const result = await read(reader, files);
          const scratch = await read(createFleetReader(), files);
          expect(result.diagnostics).toEqual(scratch.diagnostics);
          if (!result.ok || !scratch.ok) continue;
          good++;
          expect(content(result.fleet)).toEqual(content(scratch.fleet));
          expect(content(result.fleet)).toEqual(derived(result.fleet));
          const changed = last === undefined ? 'all' : difference(objects(last), objects(result.fleet));
          expect(result.changed).toEqual(changed);
          last = result.fleet;
          handedOut.push([last, rendered(content(last))]);
        }
        for (const [fleet, then] of handedOut) expect(rendered(content(fleet))).toBe(then);
      }),
      { numRuns: RUNS },
    );
    expect(good).toBeGreaterThan(RUNS);
  },
  PATIENCE_MS,
);
