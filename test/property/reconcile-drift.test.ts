import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { FleetObject, ObjectRef } from '../../src/manifest/model.ts';
import { desiredState } from '../../src/reconcile/desired.ts';
import { type RowKey, sameRow } from '../../src/reconcile/rows.ts';
import { cluster, edit, fleetWith, hint, nodeOf, peer, vip } from '../unit/reconcile/fleet.ts';
import { Lab } from '../unit/reconcile/lab.ts';

const link = 'link/omni0' as RowKey;

type Happening =
  | { readonly type: 'commit'; readonly put: readonly FleetObject[]; readonly remove: readonly ObjectRef[] }
  | { readonly type: 'break'; readonly at: number; readonly told: boolean }
  | { readonly type: 'pause'; readonly ms: number };

const numbers = fc.integer({ min: 2, max: 6 });
const happenings: fc.Arbitrary<Happening> = fc.oneof(
  fc
    .tuple(fc.array(numbers, { maxLength: 3 }), fc.array(numbers, { maxLength: 2 }), fc.integer({ min: 1, max: 3 }))
    .map(([come, go, port]): Happening => {
      const put: FleetObject[] = come
        .filter((n) => !go.includes(n))
        .flatMap((n) => [peer(n, { endpoints: [hint('192.0.2.9', port)] }), vip(n)]);
      if (come.length > 2) put.push(cluster({ mode: 'report', port: 51820 + port }));
      return { type: 'commit', put, remove: go.flatMap((n): ObjectRef[] => [`peer/robot-${n}`, `vip/vip-${n}`]) };
    }),
  fc.record({ type: fc.constant('break' as const), at: fc.nat(40), told: fc.boolean() }),
  fc.record({ type: fc.constant('pause' as const), ms: fc.constantFrom(1, 5_000, 6 * 60_000) }),
);

describe('in a cluster of mode report', () => {
  it('rows are as the last commit that touched them says, and as others left them since', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(happenings, { maxLength: 14 }), async (story) => {
        let fleet = edit(fleetWith(1, 2, 3), [cluster({ mode: 'report' })]).fleet;
        let rows = desiredState(fleet, nodeOf(1)).rows;
        const broken = new Set<RowKey>();
        const lab = await new Lab().start();
        lab.set(fleet, 'r0', 'all');
        await lab.clock.advance(10);
        for (const [at, happening] of story.entries()) {
          if (happening.type === 'pause') await lab.clock.advance(happening.ms);
          if (happening.type === 'break') {
            const key = [...lab.plane.host.rows.keys()][happening.at];
            if (key === undefined || key === link) continue;
            if (happening.told) lab.plane.host.remove(key);
            else lab.plane.host.erase(key);
            broken.add(key);
          }
          if (happening.type === 'commit') {
            const edited = edit(fleet, happening.put, happening.remove);
            const next = desiredState(edited.fleet, nodeOf(1)).rows;
            // Whoever touches the link touches what it carries, once something else has to be looked at there.
            for (const key of broken) if (!sameRow(rows.get(key)?.row, next.get(key)?.row)) broken.delete(key);
            const touchesLink = !sameRow(rows.get(link)?.row, next.get(link)?.row);
            if (touchesLink) broken.clear();
            [fleet, rows] = [edited.fleet, next];
            lab.set(fleet, `r${at + 1}`, edited.changed);
            await lab.clock.advance(10);
          }
        }
        await lab.clock.advance(6 * 60_000);
        expect(lab.rowKeys()).toEqual([...rows.keys()].filter((key) => !broken.has(key)).sort());
        const drifted = [...broken].filter((key) => rows.has(key)).length;
        expect(lab.reconciler.stats().driftedRows).toBe(drifted);
        expect(lab.condition('Drifted') !== undefined).toBe(drifted > 0);
        expect(lab.condition('Ready')?.status).toBe('True');

        const { writes } = lab.plane;
        await lab.clock.advance(3_600_000);
        expect(lab.plane.writes).toBe(writes);
      }),
      { numRuns: 200 },
    );
  }, 30_000);
});
