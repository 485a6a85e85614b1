import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { FleetObject, ObjectRef } from '../../src/manifest/model.ts';
import { desiredState } from '../../src/reconcile/desired.ts';
import type { Change, RowKey } from '../../src/reconcile/rows.ts';
import { cluster, edit, fleetWith, hint, nodeOf, peer, vip } from '../unit/reconcile/fleet.ts';
import { failure, Lab } from '../unit/reconcile/lab.ts';

/** What can happen to a node, in any order. */
type Happening =
  | { readonly type: 'commit'; readonly put: readonly FleetObject[]; readonly remove: readonly ObjectRef[] }
  | { readonly type: 'break'; readonly at: number; readonly told: boolean }
  | { readonly type: 'fail'; readonly kind: 'retry' | 'wait' | 'stall'; readonly share: number; readonly times: number }
  | { readonly type: 'fail-reading'; readonly times: number }
  | { readonly type: 'ask' }
  | { readonly type: 'pause'; readonly ms: number };

const numbers = fc.integer({ min: 2, max: 6 });
const commits = fc
  .tuple(fc.array(numbers, { maxLength: 3 }), fc.array(numbers, { maxLength: 2 }), fc.constantFrom(51820, 51821))
  .map(([come, go, port]): Happening => {
    const stay = come.filter((n) => !go.includes(n));
    return {
      type: 'commit',
      put: [
        ...stay.flatMap((n) => [peer(n, { endpoints: [hint('192.0.2.9', port)] }), vip(n)]),
        ...(come.length > 2 ? [cluster({ port })] : []),
      ],
      remove: go.flatMap((n): ObjectRef[] => [`peer/robot-${n}`, `vip/vip-${n}`]),
    };
  });
const happenings: fc.Arbitrary<Happening> = fc.oneof(
  commits,
  fc.record({ type: fc.constant('break' as const), at: fc.nat(40), told: fc.boolean() }),
  fc.record({
    type: fc.constant('fail' as const),
    kind: fc.constantFrom('retry' as const, 'wait' as const, 'stall' as const),
    share: fc.integer({ min: 1, max: 5 }),
    times: fc.integer({ min: 1, max: 6 }),
  }),
  fc.record({ type: fc.constant('fail-reading' as const), times: fc.integer({ min: 1, max: 3 }) }),
  fc.constant({ type: 'ask' as const }),
  fc.record({ type: fc.constant('pause' as const), ms: fc.constantFrom(0, 1, 7, 150, 5_000) }),
);

describe('whatever happens to a node', () => {
  it('it ends as its fleet says, then writes nothing, and never does two things at once', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(happenings, { maxLength: 14 }),
        fc.infiniteStream(fc.double({ min: 0, max: 0.999, noNaN: true })),
        async (story, chance) => {
          let fleet = fleetWith(1, 2, 3);
          const lab = new Lab({ random: () => chance.next().value });
          await lab.start();
          lab.set(fleet, 'r0', 'all');
          const asked: Promise<unknown>[] = [];
          const heal: (() => void)[] = [];
          for (const [at, happening] of story.entries()) {
            switch (happening.type) {
              case 'commit': {
                const edited = edit(fleet, happening.put, happening.remove);
                fleet = edited.fleet;
                lab.set(fleet, `r${at + 1}`, edited.changed);
                break;
              }
              case 'break': {
                const key = [...lab.plane.host.rows.keys()][happening.at] as RowKey | undefined;
                if (key === undefined) break;
                if (happening.told) lab.plane.host.remove(key);
                else lab.plane.host.erase(key);
                break;
              }
              case 'fail': {
                const { kind, share, times } = happening;
                const when = ({ key }: Change) => key.length % 5 < share;
                heal.push(lab.plane.faults.add({ when, error: failure('random', kind), times }));
                break;
              }
              case 'fail-reading':
                heal.push(
                  lab.plane.faults.add({
                    when: 'observe',
                    error: failure('reading', 'retry'),
                    times: happening.times,
                  }),
                );
                break;
              case 'ask':
                asked.push(lab.reconciler.reconcileNow(new AbortController().signal).catch(() => undefined));
                break;
              case 'pause':
                await lab.clock.advance(happening.ms);
            }
          }
          for (const one of heal) one();
          // Longer than every delay, and several looks at everything: a stall is tried again on each.
          for (let waited = 0; waited < 40; waited++) await lab.clock.advance(60_000);
          await Promise.all(asked);

          const desired = desiredState(fleet, nodeOf(1));
          expect(lab.rowKeys()).toEqual([...desired.rows.keys()].sort());
          expect(lab.reconciler.status().conditions).toMatchObject([{ type: 'Ready', status: 'True' }]);
          expect(lab.reconciler.status().objects).toMatchObject({
            total: desired.rowsOf.size,
            ready: desired.rowsOf.size,
          });
          expect(lab.applied.at(-1)?.sessions?.peers.size).toBe(desired.sessions?.peers.size);
          expect(lab.overlap).toBe(1);

          const { writes } = lab.plane;
          const { passes } = lab.reconciler.stats();
          await lab.clock.advance(3_600_000);
          expect(lab.plane.writes).toBe(writes);
          expect(lab.reconciler.stats().passes - passes).toBe(12);
          await lab.reconciler.stop();
          expect(lab.clock.nextMs).toBe(Number.POSITIVE_INFINITY);
        },
      ),
      { numRuns: 200 },
    );
  }, 30_000);

  it('one object that always fails stops no other', async () => {
    await fc.assert(
      fc.asyncProperty(fc.nat(8), fc.array(commits, { maxLength: 4 }), async (at, story) => {
        let fleet = fleetWith(1, 2, 3);
        const lab = new Lab();
        const victim = [...desiredState(fleet, nodeOf(1)).rows.keys()][at];
        if (victim === undefined || victim.startsWith('link/')) return;
        lab.plane.faults.add({ when: ({ key }) => key === victim, error: failure('always', 'retry') });
        await lab.start();
        lab.set(fleet, 'r0', 'all');
        await lab.clock.advance(10);
        for (const happening of story) {
          if (happening.type !== 'commit') continue;
          const edited = edit(fleet, happening.put, happening.remove);
          fleet = edited.fleet;
          lab.set(fleet, 'next', edited.changed);
          await lab.clock.advance(10);
          const others = [...desiredState(fleet, nodeOf(1)).rows.keys()].filter((key) => key !== victim).sort();
          expect(lab.rowKeys().filter((key) => key !== victim)).toEqual(others);
        }
      }),
      { numRuns: 200 },
    );
  });
});
