import { describe, expect, it } from 'vitest';
import type { RolloutReport, WhyReport } from '../../../src/agent/api.ts';
import { Fleets } from '../../../src/agent/fleets.ts';
import { type WhyParts, whyOf } from '../../../src/agent/why.ts';
import { canonicalKey, macOf } from '../../../src/manifest/keys.ts';
import type { Fleet, IpAddress, ObjectRef } from '../../../src/manifest/model.ts';
import type { NewSession } from '../../../src/reconcile/dataplane.ts';
import type { RowKey } from '../../../src/reconcile/rows.ts';
import type { LineOrigin, Source } from '../../../src/source/source.ts';
import { cluster, edit, fleetOf, fleetWith, hint, keyOf, peer, vip } from '../reconcile/fleet.ts';
import { failure, Lab } from '../reconcile/lab.ts';

const REVISION = { id: 'c0ffee', label: 'main@sha1:c0ffee' };
const commit: LineOrigin = { id: 'c0ffee', subject: 'fleet: add robot-2', author: 'Ada', time: '2026-01-01T00:00:00Z' };
const idle = new AbortController().signal;

interface Options {
  readonly lab?: Lab;
  readonly blame?: Source['blame'];
  readonly rollout?: Pick<RolloutReport, 'waiting' | 'revoked'>;
  readonly newest?: Fleet;
  readonly unanswered?: boolean;
}

/** A node that has `fleet` in force, and what it answers. */
async function node(fleet = fleetWith(1, 2, 3), options: Options = {}) {
  const lab = options.lab ?? new Lab();
  await lab.start();
  lab.set(fleet, REVISION.label, 'all');
  await lab.clock.advance(1);
  const fleets = new Fleets();
  const offer = (offered: Fleet, revision: typeof REVISION) => ({ fleet: offered, revision, changed: 'all' as const });
  fleets.add(offer(fleet, REVISION), [], true);
  if (options.newest)
    fleets.add(offer(options.newest, { id: 'beef', label: 'main@sha1:beef' }), [REVISION.label], true);
  const blame: Source['blame'] =
    options.blame ?? (async (id, _file, line) => ({ ...commit, subject: `${id} line ${line}` }));
  const unanswered = {
    tries: 4,
    firstMs: 0,
    lastMs: 9,
    sent: true,
    to: { address: '192.0.2.2' as IpAddress, port: 51820 },
  };
  const manager = {
    status: async () =>
      options.unanswered
        ? [{ name: 'robot-2', peer: keyOf(2), state: 'handshaking' as const, paths: [], unanswered }]
        : [],
  };
  const parts = {
    reconciler: lab.reconciler,
    dataPlane: lab.plane,
    manager,
    fleets,
    source: { blame },
    node: { publicKey: keyOf(1) },
    ...(options.rollout && { rollout: { report: () => options.rollout } }),
  } as unknown as WhyParts;
  return { lab, parts, why: (query: string) => whyOf(parts, query, idle) };
}

async function session(lab: Lab, id: bigint, n = 2): Promise<void> {
  const keys = { receiveKey: new Uint8Array(32), sendKey: new Uint8Array(32) };
  const fresh: NewSession = {
    ...keys,
    interface: 'omni0',
    localId: id,
    remoteId: id + 1n,
    peer: keyOf(n),
    initiator: true,
    unconfirmed: false,
    hybrid: false,
    rekeyAfterMs: 1,
    lifetimeMs: 1_000_000,
  };
  await lab.plane.sessions.install(fresh);
}

const subjects = (reports: readonly WhyReport[]) => reports.map(({ subject }) => subject);
const one = (reports: readonly WhyReport[]): WhyReport => {
  const [report] = reports;
  if (report === undefined || reports.length !== 1) throw new Error(`${reports.length} reports`);
  return report;
};

describe('a question', () => {
  it('may name an object, a row, an address, a MAC, a key or its beginning, or just a name', async () => {
    const { why } = await node();
    const peerRow = `peer/omni0/${keyOf(2)}`;
    for (const [query, expected] of [
      ['peer/robot-2', ['peer/robot-2']],
      ['vip/vip-2', ['vip/vip-2']],
      ['cluster/warehouse', ['cluster/warehouse']],
      ['robot-2', ['peer/robot-2']],
      ['warehouse', ['cluster/warehouse']],
      ['10.77.0.2', ['vip/vip-2']],
      ['192.0.2.2', [peerRow]],
      ['10.77.0.0/16', ['route/omni0/10.77.0.0/16']],
      ['omni0', ['link/omni0']],
      ['link/omni0', ['link/omni0']],
      [peerRow, [peerRow]],
      ['peer/omni0/robot-2', [peerRow]],
      [
        macOf(keyOf(2)).toUpperCase().replaceAll(':', '-'),
        [`fdb/omni0/${macOf(keyOf(2))}`, 'neighbour/omni0/10.77.0.2'],
      ],
      [keyOf(2), ['peer/robot-2']],
      [`${keyOf(2).slice(0, 10)}…`, ['peer/robot-2']],
      ['  robot-2 ', ['peer/robot-2']],
    ] as const) {
      expect([...subjects(await why(query))].sort(), query).toEqual([...expected].sort());
    }
  });

  it('may name a session by either id, decimal or hexadecimal', async () => {
    const { why, lab } = await node();
    await session(lab, 0xfeed_beefn);
    for (const query of ['4276993775', 'feedbeef', '0xFEEDBEEF', '0xfeedbef0', 'session/00000000feedbeef']) {
      const report = one(await why(query));
      expect(report.subject).toBe('session/00000000feedbeef');
      expect(report.sessions).toMatchObject([{ localId: 0xfeed_beefn, peer: keyOf(2) }]);
      expect(report.objects.map(({ object }) => object)).toEqual(['peer/robot-2', 'vip/vip-2', 'cluster/warehouse']);
    }
  });

  it('about nothing is answered with what may have been meant', async () => {
    const { why } = await node();
    await expect(why('robto-2')).rejects.toMatchObject({
      status: 404,
      code: 'nothing-known',
      fix: 'Did you mean robot-2?',
    });
    await expect(why('peer/robot-22')).rejects.toMatchObject({ fix: 'Did you mean peer/robot-2?' });
    await expect(why('10.77.9.9')).rejects.toMatchObject({ code: 'nothing-known' });
    for (const query of ['', '  ', 'x'.repeat(201)]) await expect(why(query)).rejects.toMatchObject({ status: 400 });
  });
});

describe('the answer', () => {
  it('leads from the rows to manifest, line and commit, with when each was last verified', async () => {
    const { why, lab } = await node();
    await session(lab, 7n);
    const verifiedAt = new Date(lab.clock.wall() - 1).toISOString();
    const report = one(await why('10.77.0.2'));
    expect(report.revision).toEqual(REVISION);
    expect(report.rows).toEqual([
      {
        key: 'neighbour/omni0/10.77.0.2',
        text: `neighbour/omni0/10.77.0.2 -> ${macOf(keyOf(2))}`,
        state: 'verified',
        verifiedAt,
      },
      {
        key: `peer/omni0/${keyOf(2)}`,
        text: 'peer/omni0/robot-2 at 192.0.2.2:51820',
        state: 'verified',
        verifiedAt,
      },
      {
        key: `fdb/omni0/${macOf(keyOf(2))}`,
        text: `fdb/omni0/${macOf(keyOf(2))} -> robot-2`,
        state: 'verified',
        verifiedAt,
      },
    ]);
    expect(report.sessions).toMatchObject([{ localId: 7n }]);
    expect(
      report.objects.map(({ object, position, commit: origin }) => [object, position.line, origin?.subject]),
    ).toEqual([
      ['vip/vip-2', expect.any(Number), expect.stringMatching(/^c0ffee line \d+$/)],
      ['peer/robot-2', 3, 'c0ffee line 3'],
      ['cluster/warehouse', 1, 'c0ffee line 1'],
    ]);
  });

  it('goes without the commit where git does not know or does not answer, and says which', async () => {
    const silent = await node(undefined, { blame: async () => undefined });
    expect(one(await silent.why('vip/vip-2')).objects[0]).not.toHaveProperty('commit');
    const broken = await node(undefined, { blame: () => Promise.reject(new Error('the cache is damaged')) });
    const report = one(await broken.why('vip/vip-2'));
    expect(report.rows).toHaveLength(3);
    expect(report.notes.filter((note) => note.includes('the cache is damaged'))).toHaveLength(1);
  });

  it('tells of a row that fails, waits, drifted or is nobody’s', async () => {
    const lab = new Lab();
    lab.plane.faults.add({
      when: ({ key }) => key === 'neighbour/omni0/10.77.0.2',
      error: failure('map-full', 'stall', 'Raise the limit.'),
    });
    const { why } = await node(undefined, { lab });
    expect(one(await why('neighbour/omni0/10.77.0.2')).rows).toEqual([
      expect.objectContaining({ state: 'failed', message: 'the test says map-full. Raise the limit.' }),
    ]);

    const reporting = await node(edit(fleetWith(1, 2), [cluster({ mode: 'report' })]).fleet);
    reporting.lab.plane.host.remove('address/omni0/10.77.0.1' as RowKey, { pid: 4242, program: 'ip' });
    reporting.lab.plane.host.put({ kind: 'address', interface: 'omni0', address: '10.77.0.9' as IpAddress });
    await reporting.lab.clock.advance(10);
    expect(one(await reporting.why('10.77.0.1')).rows).toEqual([
      expect.objectContaining({ state: 'failed', message: expect.stringContaining('was removed by ip (pid 4242)') }),
    ]);
    const stray = one(await reporting.why('10.77.0.9'));
    expect(stray).toMatchObject({ subject: 'address/omni0/10.77.0.9', objects: [], rows: [{ state: 'undesired' }] });
    expect(stray.notes.join()).toMatch(/nobody asks for it/);
  });

  it('says why an object has no rows: this node, suspended, elsewhere, revoked', async () => {
    const fleet = fleetOf(
      cluster({ revokedKeys: [keyOf(4), keyOf(9)] }),
      cluster({ name: 'office', interface: 'omni1', port: 51821 }),
      ...[1, 2, 3, 4].map((n) =>
        peer(n, { ...(n === 2 && { suspended: true }), ...(n === 3 && { clusters: ['office'] }) }),
      ),
      vip(1),
    );
    const { why } = await node(fleet);
    const notes = async (query: string) => one(await why(query)).notes.join('\n');
    expect(await notes('robot-1')).toMatch(/is this node/);
    expect(await notes('robot-2')).toMatch(/suspended/);
    expect(await notes('robot-3')).toMatch(/is in cluster office, and this node in warehouse/);
    expect(await notes('robot-4')).toMatch(/revokedKeys of cluster\/warehouse \(fleet\.yaml:1\)/);
    const stranger = one(await why(keyOf(9)));
    expect(stranger).toMatchObject({ subject: `key/${keyOf(9)}`, rows: [], objects: [] });
    expect(stranger.notes.join()).toMatch(/revokedKeys/);
  });

  it('says what a newer revision would change, and why it is not in force', async () => {
    const { fleet } = edit(fleetWith(1, 2, 3), [peer(4), vip(4)], ['peer/robot-3', 'vip/vip-3'] satisfies ObjectRef[]);
    const waiting = {
      revision: { id: 'beef', label: 'main@sha1:beef' },
      refused: false,
      reason: 'Held',
      message: 'in a mission',
    };
    const { why } = await node(undefined, { newest: fleet, rollout: { waiting, revoked: [] } });
    expect(one(await why('robot-4'))).toMatchObject({
      rows: [],
      notes: ['declared in main@sha1:beef, which is not in force: Held: in a mission'],
    });
    const leaving = one(await why('robot-3'));
    expect(leaving.rows).toHaveLength(3);
    expect(leaving.notes).toContain('main@sha1:beef takes it out, and is not in force: Held: in a mission');
    expect(one(await why('robot-2')).notes.join()).not.toMatch(/beef/);
  });

  it('says which endpoint is used, and why there is no session', async () => {
    const { why, lab } = await node(undefined, { unanswered: true });
    expect(one(await why('robot-2')).notes).toEqual(['no session: 4 handshakes to 192.0.2.2:51820 were not answered']);
    await lab.plane.sessions.setEndpoint(keyOf(2), { address: '198.51.100.2' as IpAddress, port: 4000 });
    await session(lab, 7n);
    lab.reconciler.wake('unknown');
    await lab.clock.advance(10);
    const report = one(await why('robot-2'));
    expect(report.rows[0]?.text).toBe('peer/omni0/robot-2 at 198.51.100.2:4000');
    expect(report.notes).toEqual([
      'a handshake proved the endpoint 198.51.100.2:4000; the manifest says 192.0.2.2:51820',
    ]);
    const silent = await node(
      fleetOf(cluster(), peer(1), peer(2, { endpoints: [] }), peer(3, { endpoints: [hint('::1')] })),
    );
    expect(one(await silent.why('robot-2')).notes.join()).toMatch(/has no endpoint: it must call this node/);
  });

  it('tells of a key that no rollback lets back in', async () => {
    const revoked = [{ publicKey: keyOf(3), name: 'robot-3', revision: 'main@sha1:beef' }];
    const { why, lab } = await node(undefined, { rollout: { revoked } });
    lab.reconciler.refresh(new Set(['peer/robot-3']), new Set([canonicalKey(keyOf(3))]));
    await lab.clock.advance(10);
    const report = one(await why('robot-3'));
    expect(report.rows).toEqual([]);
    expect(report.notes).toContain(
      'barred: main@sha1:beef took out peer/robot-3, and no rollback lets its key back in',
    );
  });
});
