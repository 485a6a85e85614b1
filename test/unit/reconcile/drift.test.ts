import { describe, expect, it } from 'vitest';
import { macOf } from '../../../src/manifest/keys.ts';
import type { Cidr } from '../../../src/manifest/model.ts';
import type { Cause } from '../../../src/reconcile/dataplane.ts';
import { type Row, type RowKey, rowKey } from '../../../src/reconcile/rows.ts';
import { cluster, edit, fleetWith, keyOf, peer, vip } from './fleet.ts';
import { failure, Lab } from './lab.ts';

const three = fleetWith(1, 2, 3);
const address = 'address/omni0/10.77.0.1' as RowKey;
const route = 'route/omni0/10.77.0.0/16' as RowKey;
const link = 'link/omni0' as RowKey;
const MINUTE_MS = 60_000;
const ip: Cause = { pid: 4242, program: 'ip' };
const signal = new AbortController().signal;

const reporting = edit(three, [cluster({ mode: 'report' })]);

async function running(fleet = three, options: ConstructorParameters<typeof Lab>[0] = {}): Promise<Lab> {
  const lab = await new Lab(options).start();
  lab.set(fleet, 'r1', 'all');
  await lab.clock.advance(1);
  lab.events.length = 0;
  lab.attempts.length = 0;
  return lab;
}

/** Somebody takes a row away whenever it is there, `times` times, a second apart. */
async function fight(lab: Lab, key: RowKey, times: number, cause?: Cause): Promise<void> {
  for (let round = 0; round < times; round++) {
    lab.plane.host.remove(key, cause);
    await lab.clock.advance(1_000);
  }
}

const stateOf = (lab: Lab, object: string) => lab.reconciler.objects().find((each) => each.object === object);
const told = (lab: Lab, reason: string) => lab.events.filter((event) => event.reason === reason);

describe('a healed difference', () => {
  it('is told with who made it, as far as the system says', async () => {
    const causes: readonly (readonly [Cause | undefined, string])[] = [
      [ip, 'was removed by ip (pid 4242); made again'],
      [{ pid: 4243 }, 'was removed by pid 4243; made again'],
      [{ pid: 7, program: 'bird', protocol: 'bird' }, 'was removed by bird (pid 7, protocol bird); made again'],
      [{ protocol: 'dhcp' }, 'was removed by protocol dhcp; made again'],
      [undefined, 'was missing; made again'],
    ];
    for (const [cause, message] of causes) {
      const lab = await running();
      lab.plane.host.remove(address, cause);
      await lab.clock.advance(10);
      expect(lab.events).toEqual([{ type: 'Normal', reason: 'DriftHealed', object: address, message }]);
    }
  });

  it('is told with what it was and what it is again', async () => {
    const lab = await running();
    const neighbour = 'neighbour/omni0/10.77.0.2' as RowKey;
    const [right, wrong] = [macOf(keyOf(2)), macOf(keyOf(3))];
    const row = lab.plane.host.rows.get(neighbour)?.row;
    if (row?.kind !== 'neighbour') throw new Error('no such row');
    lab.plane.host.put({ ...row, mac: wrong });
    const stray: Row = { kind: 'route', interface: 'omni0', destination: '10.99.0.0/16' as Cidr };
    lab.plane.host.put(stray);
    await lab.clock.advance(10);
    expect(lab.events.map(({ object, message }) => `${object} ${message}`).sort()).toEqual([
      `${neighbour} had its mac changed from ${right} to ${wrong}; set back`,
      `${rowKey(stray)} was there but is not desired; removed`,
    ]);
  });

  it('of which nobody told is told as found', async () => {
    const lab = await running();
    lab.plane.host.rows.delete(`peer/omni0/${keyOf(2)}` as RowKey);
    await lab.clock.advance(6 * MINUTE_MS);
    expect(lab.events).toEqual([
      {
        type: 'Normal',
        reason: 'DriftHealed',
        object: 'peer/omni0/robot-2',
        message: 'was missing (at 192.0.2.2:51820), found by a look at everything; made again',
      },
    ]);
  });

  it('is counted by kind, and what a commit or this node did itself is not', async () => {
    const lab = await running();
    const { fleet, changed } = edit(three, [peer(4), vip(4)], ['peer/robot-2', 'vip/vip-2']);
    lab.set(fleet, 'r2', changed);
    await lab.clock.advance(10);
    expect(lab.reconciler.stats()).toMatchObject({ driftHealed: 0, drift: { peer: 0, fdb: 0, neighbour: 0 } });
    lab.plane.host.remove(address);
    lab.plane.host.remove(route);
    await lab.clock.advance(10);
    expect(lab.reconciler.stats()).toMatchObject({ driftHealed: 2, drift: { address: 1, route: 1, link: 0 } });
  });

  it('that took several tries is told once, when it is right', async () => {
    const lab = await running();
    const heal = lab.plane.faults.add({ when: ({ key }) => key === address, error: failure('busy', 'retry') });
    lab.plane.host.remove(address, ip);
    await lab.clock.advance(MINUTE_MS);
    expect(told(lab, 'DriftHealed')).toEqual([]);
    heal();
    await lab.clock.advance(MINUTE_MS);
    expect(told(lab, 'DriftHealed').map(({ message }) => message)).toEqual([
      'was removed by ip (pid 4242); made again',
    ]);
    expect(lab.condition('Ready')?.status).toBe('True');
  });
});

describe('a cluster of mode report', () => {
  it('leaves drift, tells of it once per row and value, and says so in conditions and of the object', async () => {
    const lab = await running(reporting.fleet);
    lab.plane.host.remove(address, ip);
    await lab.clock.advance(60 * MINUTE_MS);
    expect(lab.attempts).toEqual([]);
    expect(lab.events).toEqual([
      {
        type: 'Warning',
        reason: 'DriftDetected',
        object: address,
        message: 'was removed by ip (pid 4242); left as it is (mode report)',
      },
    ]);
    expect(lab.condition('Drifted')).toMatchObject({
      status: 'True',
      reason: 'ModeReport',
      message: `1 row: ${address} was removed by ip (pid 4242); left as it is (mode report)`,
      observedRevision: 'r1',
    });
    expect(lab.condition('Ready')).toMatchObject({
      status: 'True',
      message: expect.stringContaining('10 rows verified, 1'),
    });
    expect(lab.condition('Stalled') ?? lab.condition('Reconciling')).toBeUndefined();
    expect(stateOf(lab, 'vip/vip-1')).toMatchObject({ ready: 'False', reason: 'Drifted' });
    expect(stateOf(lab, 'vip/vip-2')).toMatchObject({ ready: 'True' });
    expect(lab.reconciler.stats()).toMatchObject({ driftHealed: 0, drift: { address: 1 }, driftedRows: 1 });
  });

  it('tells again of another value, and of the row when it drifts once more', async () => {
    const lab = await running(reporting.fleet);
    const row = lab.plane.host.rows.get(link)?.row;
    if (row?.kind !== 'link') throw new Error('no link');
    for (const newSessionsPerSecondPerSource of [11, 12, 12]) {
      lab.plane.host.put({ ...row, newSessionsPerSecondPerSource });
      await lab.clock.advance(10);
    }
    expect(told(lab, 'DriftDetected')).toHaveLength(2);
    lab.plane.host.put(row);
    await lab.clock.advance(10);
    expect(lab.condition('Drifted')).toBeUndefined();
    lab.plane.host.put({ ...row, newSessionsPerSecondPerSource: 12 });
    await lab.clock.advance(10);
    expect(told(lab, 'DriftDetected')).toHaveLength(3);
    expect(lab.attempts).toEqual([]);
  });

  it('carries commits out, on drifted rows too, and leaves the others', async () => {
    const lab = await running(reporting.fleet);
    const gone = [address, `peer/omni0/${keyOf(2)}` as RowKey];
    for (const key of gone) lab.plane.host.remove(key);
    await lab.clock.advance(10);
    const next = edit(reporting.fleet, [peer(4), vip(4), peer(2, { endpoints: [{ host: '192.0.2.99', port: 1 }] })]);
    lab.set(next.fleet, 'r2', next.changed);
    await lab.clock.advance(10);
    expect(lab.rowKeys()).toContain(gone[1]);
    expect(lab.rowKeys()).toContain('neighbour/omni0/10.77.0.4');
    expect(lab.rowKeys()).not.toContain(address);
    expect(lab.reconciler.status()).toMatchObject({
      revision: { applied: 'r2' },
      failures: [],
      left: [{ key: address }],
    });
    expect(lab.reconciler.failing('all')).toEqual([]);
    expect(lab.reconciler.failing(new Set([address]))).toHaveLength(1);
  });

  it('finishes what a commit began, however often it takes', async () => {
    const lab = await running(reporting.fleet);
    const heal = lab.plane.faults.add({
      when: ({ key }) => key.endsWith('10.77.0.4'),
      error: failure('busy', 'retry'),
    });
    const { fleet, changed } = edit(reporting.fleet, [peer(4), vip(4)]);
    lab.set(fleet, 'r2', changed);
    await lab.clock.advance(MINUTE_MS);
    heal();
    await lab.clock.advance(MINUTE_MS);
    expect(lab.rowKeys()).toContain('neighbour/omni0/10.77.0.4');
    expect(told(lab, 'DriftDetected')).toEqual([]);
  });

  it('leaves a deleted link and all that it carried, without taking it for a failure', async () => {
    const lab = await running(reporting.fleet);
    lab.plane.host.remove(link, ip);
    await lab.clock.advance(60 * MINUTE_MS);
    expect(lab.attempts).toEqual([]);
    expect(lab.condition('Ready')?.status).toBe('True');
    expect(lab.condition('Drifted')?.message).toMatch(/^11 rows: /);
    expect(told(lab, 'DriftDetected')).toHaveLength(11);
  });

  it('follows its underlay all the same', async () => {
    const lab = await running(reporting.fleet);
    const row = lab.plane.host.rows.get(link)?.row;
    if (row?.kind !== 'link') throw new Error('no link');
    for (const moved of [{ mtu: 1300 }, { port: 0 }]) {
      lab.plane.host.put({ ...row, ...moved });
      await lab.clock.advance(10);
      expect(lab.plane.host.rows.get(link)?.row).toEqual(row);
    }
    expect(lab.events.map(({ message }) => message)).toEqual([
      'had an mtu of 1300 that does not fit the underlay any more; set back',
      'had programs that did not see every packet, or rows of theirs changed; set back',
    ]);
  });

  it('cuts a peer that nobody asks for all the same, and in mode enforce however often it comes', async () => {
    for (const fleet of [reporting.fleet, three]) {
      const lab = await running(fleet);
      const stranger: Row = { kind: 'peer', interface: 'omni0', publicKey: keyOf(9) };
      for (let round = 0; round < 6; round++) {
        lab.plane.host.put(stranger);
        await lab.clock.advance(1_000);
        expect(lab.rowKeys()).not.toContain(rowKey(stranger));
      }
      expect(told(lab, 'DriftHealed')).toHaveLength(6);
      expect(told(lab, 'Contested')).toEqual([]);
    }
  });

  it('heals at once when it becomes one of mode enforce', async () => {
    const lab = await running(reporting.fleet);
    lab.plane.host.remove(address, ip);
    await lab.clock.advance(10);
    const { fleet, changed } = edit(reporting.fleet, [cluster({ mode: 'enforce' })]);
    lab.set(fleet, 'r2', changed);
    await lab.clock.advance(10);
    expect(lab.rowKeys()).toContain(address);
    expect(told(lab, 'DriftHealed')).toHaveLength(1);
    expect(lab.condition('Drifted')).toBeUndefined();
  });

  it('is set up whole by an agent that starts, but for what drifted from the revision that was verified before', async () => {
    const before = await running(reporting.fleet);
    before.plane.host.remove(address);
    await before.clock.advance(10);
    await before.reconciler.stop();
    const { machine } = before.plane;

    const resumed = await new Lab({ machine }).start();
    resumed.set(reporting.fleet, 'r1', 'all');
    resumed.reconciler.resumeVerified();
    await resumed.clock.advance(10);
    expect(resumed.attempts).toEqual([]);
    expect(resumed.reasons()).toEqual(['Adopted', 'DriftDetected', 'RevisionApplied']);
    expect(resumed.condition('Drifted')?.message).toContain(address);
    await resumed.reconciler.stop();

    const fresh = await running(reporting.fleet, { machine });
    expect(fresh.rowKeys()).toContain(address);
  });
});

describe('a row that somebody else keeps changing', () => {
  it('is set right three times, then left and told once, with who it is', async () => {
    const lab = await running();
    await fight(lab, address, 4, ip);
    expect(lab.attempts).toHaveLength(3);
    expect(lab.rowKeys()).not.toContain(address);
    expect(told(lab, 'Contested')).toMatchObject([
      {
        type: 'Warning',
        object: address,
        message: expect.stringMatching(/^was removed by ip \(pid 4242\); it was set right three/),
      },
    ]);
    const message = expect.stringMatching(/^1 row: address.* was removed by ip \(pid 4242\);.*run omni reconcile\.$/);
    expect(lab.condition('Contested')).toMatchObject({ status: 'True', message, observedRevision: 'r1' });
    expect(lab.condition('Ready')).toMatchObject({ status: 'False', reason: 'Contested' });
    expect(lab.condition('Stalled')).toMatchObject({ status: 'True', reason: 'Contested' });
    expect(stateOf(lab, 'vip/vip-1')).toMatchObject({ ready: 'False', reason: 'Contested' });
    expect(stateOf(lab, 'vip/vip-2')).toMatchObject({ ready: 'True' });
    expect(lab.reconciler.stats()).toMatchObject({ contestedRows: 1, driftHealed: 3 });
    expect(lab.reconciler.status().revision.applied).toBe('r1');
  });

  it('is not contested where it takes longer than ten minutes', async () => {
    const lab = await running();
    for (let round = 0; round < 12; round++) {
      lab.plane.host.remove(address);
      await lab.clock.advance(4 * MINUTE_MS);
      expect(lab.rowKeys()).toContain(address);
    }
    expect(told(lab, 'Contested')).toEqual([]);
  });

  it('is tried again after ten quiet minutes, and is over if it stays', async () => {
    const lab = await running();
    await fight(lab, address, 4);
    // Not quiet: somebody goes on with it.
    for (let minute = 0; minute < 12; minute++) {
      lab.reconciler.wake(new Set([address]));
      await lab.clock.advance(MINUTE_MS);
    }
    expect(lab.attempts).toHaveLength(3);
    await lab.clock.advance(10 * MINUTE_MS);
    expect(lab.rowKeys()).toContain(address);
    expect(lab.attempts).toHaveLength(4);
    expect(lab.condition('Contested')).toBeUndefined();
    expect(lab.condition('Ready')?.status).toBe('True');
    // Forgotten: three times again.
    await lab.clock.advance(20 * MINUTE_MS);
    await fight(lab, address, 4);
    expect(lab.attempts).toHaveLength(7);
    expect(told(lab, 'Contested')).toHaveLength(2);
  });

  it('costs one try per ten minutes where nobody gives in, and no further event', async () => {
    const lab = await running(three, {
      onApply: (change, self) => {
        if (change.key === address) self.clock.setTimer(1, () => self.plane.host.remove(address));
      },
    });
    lab.plane.host.remove(address);
    await lab.clock.advance(3 * 60 * MINUTE_MS);
    expect(lab.attempts.length).toBeGreaterThan(15);
    expect(lab.attempts.length).toBeLessThan(22);
    expect(told(lab, 'Contested')).toHaveLength(1);
  });

  it('that is gone before it can be read back is contested too, instead of being tried for ever', async () => {
    const lab = await running();
    const honest = lab.plane.host.write.bind(lab.plane.host);
    lab.plane.host.write = (row) => (rowKey(row) === address ? true : honest(row));
    lab.plane.host.remove(address, ip);
    await lab.clock.advance(9 * MINUTE_MS);
    expect(lab.attempts).toHaveLength(3);
    expect(told(lab, 'DriftHealed')).toEqual([]);
    expect(told(lab, 'Contested')).toHaveLength(1);
    expect(lab.condition('Ready')).toMatchObject({ status: 'False', reason: 'Contested' });
  });

  it('is tried at once when a person asks, and when a commit changes it', async () => {
    const lab = await running();
    const neighbour = 'neighbour/omni0/10.77.0.2' as RowKey;
    await fight(lab, neighbour, 4);
    const asked = lab.reconciler.reconcileNow(signal);
    await lab.clock.advance(10);
    expect(await asked).toMatchObject({ ready: true, left: [] });
    expect(lab.rowKeys()).toContain(neighbour);
    await fight(lab, neighbour, 4);
    expect(lab.rowKeys()).not.toContain(neighbour);
    const { fleet, changed } = edit(three, [vip(2, { peer: 'robot-3' })]);
    lab.set(fleet, 'r2', changed);
    await lab.clock.advance(10);
    expect(lab.rowKeys()).toContain(neighbour);
    expect(lab.reconciler.status().revision.applied).toBe('r2');
    expect(lab.condition('Contested')).toBeUndefined();
  });

  it('may be the link: what it carried waits with it and comes back with it', async () => {
    const lab = await running();
    const all = lab.rowKeys();
    await fight(lab, link, 4, ip);
    expect(lab.rowKeys()).toEqual([]);
    expect(lab.attempts.filter(({ key }) => key === link)).toHaveLength(3);
    expect(told(lab, 'Contested').map(({ object }) => object)).toEqual([link]);
    expect(lab.condition('Contested')?.message).toMatch(/^11 rows: /);
    await lab.clock.advance(10 * MINUTE_MS);
    expect(lab.rowKeys()).toEqual(all);
    expect(lab.condition('Contested')).toBeUndefined();
  });

  it('is no link whose underlay moves all the time', async () => {
    const lab = await running();
    const row = lab.plane.host.rows.get(link)?.row;
    if (row?.kind !== 'link') throw new Error('no link');
    for (let round = 0; round < 20; round++) {
      lab.plane.host.put({ ...row, port: 0 });
      await lab.clock.advance(1_000);
      expect(lab.plane.host.rows.get(link)?.row).toEqual(row);
    }
    expect(told(lab, 'Contested')).toEqual([]);
  });

  it('does not keep others from being healed', async () => {
    const lab = await running();
    await fight(lab, address, 4);
    lab.plane.host.remove(route);
    await lab.clock.advance(10);
    expect(lab.rowKeys()).toContain(route);
    const { fleet, changed } = edit(three, [peer(4), vip(4)]);
    lab.set(fleet, 'r2', changed);
    await lab.clock.advance(10);
    expect(lab.reconciler.status().revision.applied).toBe('r2');
  });

  it('leaves no timer that fires again and again: an hour costs no more than the looks at everything', async () => {
    const lab = await running();
    await fight(lab, address, 4);
    lab.reads.length = 0;
    const { writes } = lab.plane;
    await lab.clock.advance(60 * MINUTE_MS);
    expect(lab.plane.writes - writes).toBe(1);
    expect(lab.reads.length).toBeLessThan(20);
  });
});

describe('when a row was last seen as desired', () => {
  it('is known of each: the last look at all, or a later one at the row', async () => {
    const lab = await running();
    const at = (key: RowKey) => lab.reconciler.view().verifiedAt(key);
    const start = at(address);
    expect(start).toBe(at(route));
    await lab.clock.advance(2 * MINUTE_MS);
    lab.plane.host.remove(address);
    await lab.clock.advance(10);
    expect((at(address) ?? 0) - (start ?? 0)).toBeGreaterThanOrEqual(2 * MINUTE_MS);
    expect(at(route)).toBe(start);
    await lab.clock.advance(4 * MINUTE_MS);
    expect(at(route)).toBe(at(address));
    expect((at(route) ?? 0) - (start ?? 0)).toBeGreaterThanOrEqual(5 * MINUTE_MS - 10);
  });

  it('is unknown for what a commit has just asked for, and stays the last time for what fails since', async () => {
    const lab = await running();
    const at = (key: string) => lab.reconciler.view().verifiedAt(key as RowKey);
    const seen = at(address);
    lab.plane.faults.add({ when: () => true, error: failure('broken', 'stall') });
    lab.plane.host.remove(address);
    const { fleet, changed } = edit(three, [peer(4), vip(4)]);
    lab.set(fleet, 'r2', changed);
    await lab.clock.advance(6 * MINUTE_MS);
    expect(at('neighbour/omni0/10.77.0.4')).toBeUndefined();
    expect(at(address)).toBe(seen);
    expect(at(route)).toBeGreaterThan(seen ?? 0);
  });
});
