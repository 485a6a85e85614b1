import { describe, expect, it } from 'vitest';
import { canonicalKey, macOf } from '../../../src/manifest/keys.ts';
import type { IpAddress } from '../../../src/manifest/model.ts';
import type { Change, RowKey } from '../../../src/reconcile/rows.ts';
import { FakeClock } from './clock.ts';
import { cluster, edit, fleetOf, fleetWith, hint, keyOf, nodeOf, peer, vip } from './fleet.ts';
import { failure, Lab } from './lab.ts';

const three = fleetWith(1, 2, 3);
const address = 'address/omni0/10.77.0.1' as RowKey;
const link = 'link/omni0' as RowKey;
const HOUR_MS = 3_600_000;
/** Whether a row of the fleet above is one that `robot-<n>` gives the first node. */
const isOf = (n: number) => (key: string) =>
  key.endsWith(`10.77.0.${n}`) || key.endsWith(keyOf(n)) || key.endsWith(macOf(keyOf(n)));

/** A node that has put `fleet` in force. */
async function running(fleet = three, options: ConstructorParameters<typeof Lab>[0] = {}): Promise<Lab> {
  const lab = await new Lab(options).start();
  lab.set(fleet, 'r1', 'all');
  await lab.clock.advance(1);
  return lab;
}

describe('a revision', () => {
  it('is programmed, read back, and handed to the sessions', async () => {
    const lab = await new Lab().start();
    expect(lab.condition('Ready')).toMatchObject({ status: 'Unknown', reason: 'NoRevision' });
    lab.set(three, 'r1', 'all');
    expect(lab.condition('Ready')).toMatchObject({ status: 'Unknown', reason: 'Progressing' });
    expect(lab.condition('Reconciling')).toMatchObject({ status: 'True' });
    await lab.clock.advance(1);
    expect(lab.rowKeys()).toHaveLength(11);
    expect(lab.condition('Ready')).toMatchObject({ status: 'True', reason: 'ReconciliationSucceeded' });
    expect(lab.reconciler.status()).toMatchObject({
      revision: { attempted: 'r1', applied: 'r1' },
      self: 'robot-1',
      objects: { total: 7, ready: 7, failed: 0 },
      rows: { desired: 11, observed: 11, pending: 0 },
    });
    expect(lab.reconciler.status().conditions.map(({ type }) => type)).toEqual(['Ready']);
    expect(lab.applied.map(({ revision, sessions }) => [revision, sessions?.peers.size])).toEqual([['r1', 2]]);
    expect(lab.reasons()).toEqual(['RevisionApplied']);
  });

  it('costs what it changes: only those rows are read', async () => {
    const lab = await running();
    lab.reads.length = 0;
    const { fleet, changed } = edit(three, [peer(4), vip(4)]);
    lab.set(fleet, 'r2', changed);
    await lab.clock.advance(1);
    const rows = [`fdb/omni0/${macOf(keyOf(4))}`, 'neighbour/omni0/10.77.0.4', `peer/omni0/${keyOf(4)}`];
    expect(lab.reads).toEqual([rows, rows]);
    expect(lab.reconciler.status().revision).toEqual({ attempted: 'r2', applied: 'r2' });
    expect(lab.applied.at(-1)?.sessions?.peers.has(keyOf(4))).toBe(true);
  });

  it('that changes nothing here is applied without a write', async () => {
    const lab = await running();
    const { writes } = lab.plane;
    lab.set(three, 'r2', new Set());
    await lab.clock.advance(1);
    expect(lab.reconciler.status().revision.applied).toBe('r2');
    expect(lab.plane.writes).toBe(writes);
  });

  it('cuts a removed peer before it does anything else', async () => {
    const lab = await running();
    lab.attempts.length = 0;
    const { fleet, changed } = edit(three, [peer(4), vip(4)], ['peer/robot-2', 'vip/vip-2']);
    lab.set(fleet, 'r2', changed);
    await lab.clock.advance(1);
    expect(lab.attempts[0]).toMatchObject({ op: 'delete', key: `peer/omni0/${keyOf(2)}` });
    expect(lab.rowKeys().join()).not.toContain('10.77.0.2');
    expect(lab.reconciler.objects().map(({ object }) => object)).not.toContain('peer/robot-2');
  });

  it('that is newer cuts the pass for an older one short, between two changes', async () => {
    const { fleet, changed } = edit(three, [], ['peer/robot-2', 'vip/vip-2']);
    let interrupted = false;
    const lab = await running(three, {
      onApply: (change, self) => {
        if (interrupted || change.key !== link) return;
        interrupted = true;
        self.set(fleet, 'r2', changed);
      },
    });
    expect(lab.attempts.map(({ key }) => key)).not.toContain(`peer/omni0/${keyOf(2)}`);
    expect(lab.reconciler.status().revision).toEqual({ attempted: 'r2', applied: 'r2' });
    expect(lab.applied.map(({ revision }) => revision)).toEqual(['r2']);
    expect(lab.reconciler.stats().superseded).toBe(1);
    expect(lab.rowKeys()).toHaveLength(8);
  });

  it('that comes while an older one is being read back is not taken for it', async () => {
    const { fleet, changed } = edit(three, [], ['peer/robot-2', 'vip/vip-2']);
    let asked: Promise<unknown> | undefined;
    const lab = await running(three, {
      onRead: (read, self) => {
        if (read === 1) asked = self.reconciler.reconcileNow(new AbortController().signal);
        if (read === 4) self.set(fleet, 'r2', changed);
      },
    });
    expect(lab.applied.map(({ revision }) => revision)).toEqual(['r1', 'r2']);
    expect(lab.reasons()).toEqual(['RevisionApplied', 'RevisionApplied']);
    expect(await asked).toMatchObject({
      revision: 'r2',
      ready: true,
      changes: [{ op: 'delete' }, { op: 'delete' }, { op: 'delete' }],
    });
    expect(lab.reconciler.stats().superseded).toBe(1);
  });

  it('lets others run while it is long', async () => {
    const lab = new Lab({ onApply: (_change, self) => self.clock.spend(4) });
    const seen: number[] = [];
    lab.clock.setTimer(5, () => seen.push(lab.attempts.length));
    await lab.start();
    lab.set(three, 'r1', 'all');
    await lab.clock.advance(100);
    expect(lab.attempts).toHaveLength(11);
    expect(seen[0]).toBeLessThan(6);
  });
});

describe('at rest', () => {
  it('an idle hour makes no write and no noise, and looks at everything now and then', async () => {
    const lab = await running();
    const { writes } = lab.plane;
    lab.events.length = 0;
    lab.reads.length = 0;
    await lab.clock.advance(HOUR_MS);
    expect(lab.plane.writes).toBe(writes);
    expect(lab.events).toEqual([]);
    expect(lab.reads).toEqual(Array.from({ length: 12 }, () => 'all'));
  });

  it('a restarted agent takes over what is there and writes nothing', async () => {
    const before = await running();
    await before.reconciler.stop();
    const lab = await running(three, { machine: before.plane.machine });
    expect(lab.plane.writes).toBe(0);
    expect(lab.reasons()).toEqual(['Adopted', 'RevisionApplied']);
    expect(lab.applied).toHaveLength(1);
    expect(lab.condition('Ready')?.status).toBe('True');
  });

  it('removes what an earlier agent left and no longer belongs', async () => {
    const before = await running();
    await before.reconciler.stop();
    const { fleet } = edit(three, [], ['peer/robot-2', 'vip/vip-2']);
    const lab = await running(fleet, { machine: before.plane.machine });
    expect(lab.attempts.map(({ op }) => op)).toEqual(['delete', 'delete', 'delete']);
    expect(lab.rowKeys()).toHaveLength(8);
  });

  it('leaves no timer and takes no wake-up after it has ended', async () => {
    for (const end of [(lab: Lab) => lab.reconciler.stop(), async (lab: Lab) => lab.end()]) {
      const lab = await running();
      await end(lab);
      expect(lab.clock.nextMs).toBe(Number.POSITIVE_INFINITY);
      lab.plane.host.remove(address);
      await lab.clock.advance(HOUR_MS);
      expect(lab.rowKeys()).not.toContain(address);
      expect(lab.clock.nextMs).toBe(Number.POSITIVE_INFINITY);
    }
  });
});

describe('drift', () => {
  it('is healed within milliseconds of the notification, and told', async () => {
    const lab = await running();
    lab.reads.length = 0;
    lab.plane.host.remove(address);
    await lab.clock.advance(10);
    expect(lab.rowKeys()).toContain(address);
    expect(lab.reads).toEqual([[address], [address]]);
    expect(lab.events.at(-1)).toEqual({
      type: 'Normal',
      reason: 'DriftHealed',
      object: address,
      message: 'was missing; made again',
    });
    expect(lab.reconciler.stats().driftHealed).toBe(1);
  });

  it('is healed although notifications never stop coming', async () => {
    const lab = new Lab({
      clock: new (class extends FakeClock {
        override setTimer(delayMs: number, run: () => void) {
          return super.setTimer(Math.max(1, delayMs), run);
        }
      })(),
    });
    await lab.start();
    lab.set(three, 'r1', 'all');
    await lab.clock.advance(5);
    lab.plane.host.remove(address);
    for (let i = 0; i < 10; i++) {
      lab.reconciler.wake(new Set([link]));
      await lab.clock.advance(0.5);
    }
    expect(lab.rowKeys()).toContain(address);
  });

  it('names the fields that somebody changed', async () => {
    const lab = await running();
    const row = lab.plane.host.rows.get(link)?.row;
    if (row?.kind !== 'link') throw new Error('no link');
    lab.plane.host.put({ ...row, arpSuppression: false });
    await lab.clock.advance(10);
    expect(lab.events.at(-1)).toMatchObject({
      reason: 'DriftHealed',
      object: link,
      message: 'had its arpSuppression changed from true to false; set back',
    });
  });

  it('that nobody told of is found by the periodic look at everything', async () => {
    const lab = await running();
    lab.plane.host.rows.delete(address);
    await lab.clock.advance(6 * 60_000);
    expect(lab.rowKeys()).toContain(address);
    expect(lab.reasons()).toContain('DriftHealed');
  });

  it('of a whole link is healed in one pass, with all that it carried', async () => {
    const lab = await running();
    const all = lab.rowKeys();
    lab.plane.host.rows.clear();
    lab.plane.host.links.clear();
    lab.reconciler.wake(new Set([link]));
    await lab.clock.advance(10);
    expect(lab.rowKeys()).toEqual(all);
    expect(lab.reconciler.stats().passes).toBe(2);
  });

  it('of many rows is told in a few sentences', async () => {
    const lab = await running(fleetWith(...Array.from({ length: 20 }, (_, at) => at + 1)));
    lab.events.length = 0;
    lab.plane.host.remove(link);
    await lab.clock.advance(10);
    expect(lab.events).toHaveLength(11);
    expect(lab.events.at(-1)?.message).toMatch(/^and \d+ more rows$/);
  });

  it('is no drift where a handshake proved another endpoint', async () => {
    const lab = await running();
    await lab.plane.sessions.setEndpoint(keyOf(2), { address: '198.51.100.2' as IpAddress, port: 4000 });
    const { writes } = lab.plane;
    lab.reconciler.wake('unknown');
    await lab.clock.advance(10);
    const { fleet, changed } = edit(three, [peer(2, { endpoints: [hint('192.0.2.99')] })]);
    lab.set(fleet, 'r2', changed);
    await lab.clock.advance(10);
    expect(lab.plane.writes).toBe(writes);
    expect((await lab.plane.sessions.endpoint(keyOf(2)))?.endpoint.port).toBe(4000);
    expect(lab.reasons()).not.toContain('DriftHealed');
  });
});

describe('failures', () => {
  const bad = (change: Change) => change.key === `peer/omni0/${keyOf(2)}`;

  it('of one object do not stop the others, and are tried again with growing delays', async () => {
    const lab = new Lab();
    const heal = lab.plane.faults.add({ when: bad, error: failure('map-busy', 'retry') });
    await lab.start();
    lab.set(three, 'r1', 'all');
    await lab.clock.advance(1);
    expect(lab.rowKeys()).toHaveLength(10);
    expect(lab.condition('Ready')).toMatchObject({ status: 'False', reason: 'ReconcileFailed' });
    expect(lab.condition('Reconciling')).toMatchObject({ status: 'True', reason: 'ProgressingWithRetry' });
    expect(lab.reconciler.status()).toMatchObject({
      revision: { attempted: 'r1' },
      objects: { ready: 6, failed: 1 },
      failures: [{ code: 'map-busy', class: 'retry' }],
    });
    expect(lab.applied.map(({ revision }) => revision)).toEqual(['r1']);
    await lab.clock.advance(60_000);
    const tries = lab.attempts.filter(bad).length;
    expect(tries).toBeGreaterThan(5);
    expect(tries).toBeLessThan(15);
    heal();
    await lab.clock.advance(60_000);
    expect(lab.rowKeys()).toHaveLength(11);
    expect(lab.condition('Ready')?.status).toBe('True');
    expect(lab.reconciler.status().revision.applied).toBe('r1');
    expect(lab.reasons()).toEqual(['ReconcileFailed', 'Recovered', 'RevisionApplied']);
    expect(lab.events[0]).toMatchObject({ type: 'Warning', object: 'peer/robot-2' });
  });

  it('that need a human are not tried on a timer, but when something changes or a person asks', async () => {
    const lab = new Lab();
    lab.plane.faults.add({ when: bad, error: failure('not-permitted', 'stall', 'Run as root.') });
    await lab.start();
    lab.set(three, 'r1', 'all');
    await lab.clock.advance(4 * 60_000);
    expect(lab.attempts.filter(bad)).toHaveLength(1);
    expect(lab.condition('Stalled')).toMatchObject({
      status: 'True',
      message: expect.stringContaining('Run as root.'),
    });
    expect(lab.condition('Reconciling')).toBeUndefined();
    const { fleet, changed } = edit(three, [peer(2, { endpoints: [hint('192.0.2.99')] })]);
    lab.set(fleet, 'r2', changed);
    await lab.clock.advance(1);
    expect(lab.attempts.filter(bad)).toHaveLength(2);
    const asked = lab.reconciler.reconcileNow(new AbortController().signal);
    await lab.clock.advance(1);
    expect(await asked).toMatchObject({ ready: false, failures: [{ code: 'not-permitted' }] });
    expect(lab.attempts.filter(bad)).toHaveLength(3);
  });

  it('do not come back sooner because something else woke the loop', async () => {
    const lab = new Lab();
    lab.plane.faults.add({ when: bad, error: failure('map-busy', 'retry') });
    await lab.start();
    lab.set(three, 'r1', 'all');
    await lab.clock.advance(1);
    for (let i = 0; i < 10; i++) {
      lab.reconciler.wake('unknown');
      await lab.clock.advance(8);
    }
    expect(lab.attempts.filter(bad)).toHaveLength(1);
    expect(lab.reconciler.status().failures).toMatchObject([{ code: 'map-busy' }]);
  });

  it('that wait for something are tried at once when the data plane names them', async () => {
    const lab = new Lab();
    lab.plane.faults.add({ when: bad, error: failure('no-route-to-endpoint', 'wait'), times: 1 });
    await lab.start();
    lab.set(three, 'r1', 'all');
    await lab.clock.advance(1);
    expect(lab.condition('Reconciling')?.status).toBe('True');
    lab.reconciler.wake(new Set([`peer/omni0/${keyOf(2)}` as RowKey]));
    await lab.clock.advance(1);
    expect(lab.rowKeys()).toHaveLength(11);
    expect(lab.condition('Ready')?.status).toBe('True');
  });

  it('of a link keep what it carries from being tried, until it is there', async () => {
    const lab = new Lab();
    const heal = lab.plane.faults.add({ when: ({ key }) => key === link, error: failure('busy', 'retry') });
    await lab.start();
    lab.set(three, 'r1', 'all');
    await lab.clock.advance(1);
    expect(lab.attempts.map(({ key }) => key)).toEqual([link]);
    expect(lab.applied).toEqual([]);
    expect(lab.events.map(({ object }) => object)).toEqual(['cluster/warehouse']);
    heal();
    await lab.clock.advance(1_000);
    expect(lab.rowKeys()).toHaveLength(11);
    expect(lab.applied).toHaveLength(1);
    expect(lab.condition('Ready')?.status).toBe('True');
  });

  it('include a write that was taken but is not there when read again', async () => {
    const lab = new Lab();
    const key = 'neighbour/omni0/10.77.0.2' as RowKey;
    const honest = lab.plane.host.write.bind(lab.plane.host);
    lab.plane.host.write = (row) => (row.kind === 'neighbour' && row.address === '10.77.0.2' ? true : honest(row));
    await lab.start();
    lab.set(three, 'r1', 'all');
    await lab.clock.advance(0);
    expect(lab.reconciler.status().failures).toMatchObject([{ key, code: 'not-observed', class: 'retry' }]);
    expect(lab.reconciler.objects().find(({ object }) => object === 'vip/vip-2')).toMatchObject({
      ready: 'False',
      reason: 'NotObserved',
    });
  });

  it('of reading are tried again, and told once', async () => {
    const lab = await running();
    lab.plane.faults.add({ when: 'observe', error: failure('netlink', 'retry'), times: 4 });
    lab.plane.host.remove(address);
    await lab.clock.advance(10);
    expect(lab.condition('Ready')).toMatchObject({ status: 'False', message: expect.stringContaining('netlink') });
    await lab.clock.advance(5_000);
    expect(lab.rowKeys()).toContain(address);
    expect(lab.condition('Ready')?.status).toBe('True');
    expect(lab.reasons().filter((reason) => reason === 'ReconcileFailed')).toHaveLength(1);
  });

  it('that are bugs are told as such', async () => {
    const lab = new Lab();
    lab.plane.faults.add({ when: bad, error: new TypeError('undefined is not a row') });
    await lab.start();
    lab.set(three, 'r1', 'all');
    await lab.clock.advance(1);
    expect(lab.reconciler.stats().errors).toEqual({ retry: 0, wait: 0, stall: 0, bug: 1 });
    expect(lab.condition('Stalled')?.message).toContain('undefined is not a row');
  });
});

describe('a proposal', () => {
  it('that is not put in force changes nothing, and the next one is right', async () => {
    const lab = await running();
    const all = lab.rowKeys();
    const { fleet: refused, changed } = edit(three, [], ['peer/robot-2', 'vip/vip-2']);
    const proposal = lab.reconciler.propose(refused, { changed, read: true });
    expect([...proposal.touched].sort()).toEqual(all.filter(isOf(2)));
    await lab.clock.advance(10);
    expect(lab.rowKeys()).toEqual(all);
    expect(lab.reconciler.status().revision).toEqual({ attempted: 'r1', applied: 'r1' });

    const next = edit(refused, [peer(2), vip(2)], ['peer/robot-3', 'vip/vip-3']);
    lab.set(next.fleet, 'r3', next.changed);
    await lab.clock.advance(10);
    expect(lab.rowKeys()).toEqual(all.filter((key) => !isOf(3)(key)));
  });

  it('that asks for too much is refused, and the next one starts from scratch', async () => {
    const lab = await running();
    const clusters = fleetOf(cluster(), cluster({ name: 'b' }), peer(1, { clusters: ['warehouse', 'b'] }));
    expect(() => lab.reconciler.propose(clusters, { changed: 'all', read: true })).toThrow(
      expect.objectContaining({ code: 'several-clusters', class: 'stall' }),
    );
    lab.set(fleetWith(1, 3), 'r3', new Set());
    await lab.clock.advance(10);
    expect(lab.rowKeys()).toHaveLength(8);
  });

  it('bars keys, and a refresh lets them in again', async () => {
    const lab = await running();
    const all = lab.rowKeys();
    lab.reconciler.refresh(new Set(), new Set([canonicalKey(keyOf(2))]));
    await lab.clock.advance(10);
    expect(lab.rowKeys()).toHaveLength(8);
    expect(lab.applied.at(-1)?.sessions?.peers.has(keyOf(2))).toBe(false);
    lab.reconciler.refresh(new Set(['peer/robot-3']));
    await lab.clock.advance(10);
    expect(lab.rowKeys()).toHaveLength(8);
    lab.reconciler.refresh(new Set(), new Set());
    await lab.clock.advance(10);
    expect(lab.rowKeys()).toEqual(all);
  });
});

describe('a node', () => {
  it('that is told to pause neither looks nor writes, hands its sessions on, and heals once it goes on', async () => {
    const lab = await running();
    lab.reconciler.pause();
    lab.plane.host.remove(address);
    lab.reads.length = 0;
    await lab.clock.advance(HOUR_MS);
    expect(lab.reads).toEqual([]);
    await expect(lab.reconciler.reconcileNow(new AbortController().signal)).rejects.toMatchObject({
      code: 'suspended',
    });
    lab.set(fleetWith(1, 3), 'r2', 'all');
    expect(lab.applied.at(-1)).toMatchObject({ revision: 'r2' });
    lab.reconciler.resume();
    await lab.clock.advance(10);
    expect(lab.rowKeys()).toHaveLength(8);
    expect(lab.rowKeys()).toContain(address);
  });

  it('from which everything is withdrawn is empty, and is filled by the next revision', async () => {
    const lab = await running();
    lab.reconciler.withdraw();
    await lab.clock.advance(10);
    expect(lab.rowKeys()).toEqual([]);
    expect(lab.reconciler.status().revision).toEqual({});
    expect(lab.applied.at(-1)).toEqual({ sessions: undefined, revision: '' });
    lab.set(three, 'r2', new Set());
    await lab.clock.advance(10);
    expect(lab.rowKeys()).toHaveLength(11);
  });

  it('whose Peer is suspended is emptied, and lifting it fills it again', async () => {
    const lab = await running();
    const { fleet, changed } = edit(three, [peer(1, { suspended: true })]);
    lab.set(fleet, 'r2', changed);
    await lab.clock.advance(10);
    expect(lab.rowKeys()).toEqual([]);
    expect(lab.condition('Ready')).toMatchObject({ status: 'True', reason: 'Suspended' });
    expect(lab.applied.at(-1)).toEqual({ sessions: undefined, revision: 'r2' });
    lab.set(three, 'r3', changed);
    await lab.clock.advance(10);
    expect(lab.rowKeys()).toHaveLength(11);
  });
});

describe('a person', () => {
  const signal = new AbortController().signal;

  it('gets the report of a whole pass that began after the question', async () => {
    const lab = await running();
    lab.plane.host.rows.delete(address);
    const asked = lab.reconciler.reconcileNow(signal);
    await lab.clock.advance(1);
    expect(await asked).toMatchObject({
      revision: 'r1',
      ready: true,
      whole: true,
      changes: [{ op: 'create', key: address }],
      drift: [{ key: address }],
    });
  });

  it('is told when there is nothing to reconcile yet, and can give up waiting', async () => {
    const lab = new Lab();
    await expect(lab.reconciler.reconcileNow(signal)).rejects.toMatchObject({ code: 'no-revision', class: 'wait' });
    lab.set(three, 'r1', 'all');
    const patience = new AbortController();
    const asked = lab.reconciler.reconcileNow(patience.signal);
    patience.abort(new Error('enough'));
    await expect(asked).rejects.toThrow('enough');
  });

  it.each([
    ['is stopped', (lab: Lab) => lab.reconciler.stop()],
    ['ends', (lab: Lab) => lab.end()],
  ])('still waiting when the agent %s is told so', async (_how, end) => {
    const idle = await running();
    const asked = idle.reconciler.reconcileNow(signal);
    await end(idle);
    await expect(asked).rejects.toThrow();

    let busy: Promise<unknown> | undefined;
    const lab = await running(three, {
      onApply: async (change, self) => {
        if (change.key !== link) return;
        busy = self.reconciler.reconcileNow(signal).catch((error: unknown) => error);
        void end(self);
      },
    });
    expect(await busy).toBeInstanceOf(Error);
    expect(lab.attempts).toHaveLength(1);
    await expect(lab.reconciler.reconcileNow(signal)).rejects.toThrow();
  });

  it('sees what a fleet would do, and nothing is written', async () => {
    const lab = await running();
    const { writes } = lab.plane;
    const { fleet } = edit(three, [], ['peer/robot-2', 'vip/vip-2']);
    const preview = await lab.reconciler.preview(fleet, signal);
    expect(preview.sessionsCut).toEqual(['robot-2']);
    expect(preview.changes.map(({ op }) => op)).toEqual(['delete', 'delete', 'delete']);
    expect(lab.plane.writes).toBe(writes);
  });

  it('sees rows with the place where they are written now', async () => {
    const lab = await running();
    const moved = vip(1, { position: { file: 'moved.yaml', line: 4, column: 1 } });
    const { fleet, changed } = edit(three, [moved]);
    lab.set(fleet, 'r2', changed);
    await lab.clock.advance(1);
    const own = lab.reconciler.rows().desired.find(({ row }) => row.kind === 'address');
    expect(own?.origin).toEqual({ object: 'vip/vip-1', position: { file: 'moved.yaml', line: 4, column: 1 } });
    expect(lab.reconciler.rows().observed).toHaveLength(11);
  });

  it('sees since when an object is as it is', async () => {
    const lab = await running();
    const since = () => lab.reconciler.objects().find(({ object }) => object === 'vip/vip-1')?.since;
    const first = since();
    await lab.clock.advance(HOUR_MS);
    expect(since()).toBe(first);
    expect(lab.reconciler.objects().find(({ object }) => object === 'peer/robot-1')).toMatchObject({
      ready: 'True',
      reason: 'NoRows',
      revision: 'r1',
    });
  });
});

it('names of peers resolve later: the same revision again programs them without being drift', async () => {
  const names: Record<string, string> = {};
  const fleet = fleetOf(cluster(), peer(1), vip(1), peer(2, { endpoints: [hint('robot-2.lan')] }));
  const lab = await running(fleet, { node: nodeOf(1, names) });
  names['robot-2.lan'] = '198.51.100.2';
  lab.reconciler.refresh(new Set(['peer/robot-2']));
  await lab.clock.advance(1);
  expect((await lab.plane.sessions.endpoint(keyOf(2)))?.endpoint.address).toBe('198.51.100.2');
  expect(lab.reasons()).toEqual(['RevisionApplied']);
});
