import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import type { ApplyReport, RolloutReport, Status, Verdict } from '../../../src/agent/api.ts';
import { ApiFailure } from '../../../src/agent/server.ts';
import { displayWidth } from '../../../src/cli/text.ts';
import { OmniError } from '../../../src/errors.ts';
import {
  type Answers,
  BAD,
  changesOf,
  type FakeAgent,
  fakeAgent,
  HELD,
  NEWER,
  NOT_READY,
  ON_TRIAL,
  READY,
  REVISION,
  SIGNED,
} from './fixture.ts';
import { interruption, NOW_MS, type Outcome, omni, type RunOptions } from './run.ts';

/* The verbs about revisions, against the real client and control server with answers made up. */

let zone: string | undefined;
beforeAll(() => {
  zone = process.env.TZ;
  process.env.TZ = 'UTC';
});
afterAll(() => {
  if (zone === undefined) delete process.env.TZ;
  else process.env.TZ = zone;
});

let agent: FakeAgent | undefined;
afterEach(async () => {
  await agent?.close();
  agent = undefined;
});

async function ask(argv: readonly string[], answers: Answers = {}, options: RunOptions = {}): Promise<Outcome> {
  agent = await fakeAgent(answers);
  return omni([...argv, '--socket', agent.socket], options);
}

const golden = (name: string): string => `golden/${name}`;

function report(verdict: Verdict | undefined, overrides: Partial<ApplyReport> = {}): ApplyReport {
  const ready = verdict === undefined || verdict.outcome === 'good';
  const objects = [{ object: 'peer/robot-2', verb: 'configured' }] as const;
  return { revision: REVISION, objects, changes: [], ready, ...(verdict ? { verdict } : {}), ...overrides };
}

const GOOD: Verdict = { outcome: 'good', reason: 'ProbesPassed', message: '3 probes passed' };
const trialStatus: Status = { ...READY, rollout: ON_TRIAL };

describe('status shows the rollout', () => {
  it('while a revision is on trial', async () => {
    const outcome = await ask(['status'], { status: trialStatus });
    await expect(outcome.stdout).toMatchFileSnapshot(golden('status-trial.txt'));
  });

  it('while nothing new gets in', async () => {
    const outcome = await ask(['status'], { status: { ...READY, rollout: HELD } });
    await expect(outcome.stdout).toMatchFileSnapshot(golden('status-held.txt'));
  });

  it('where a guard refuses a revision, and not twice where a quarantine does', async () => {
    const { trial: _, ...after } = ON_TRIAL;
    const refused = (reason: string, revision = NEWER): Status => ({
      ...READY,
      rollout: { ...after, waiting: { revision, refused: true, reason, message: 'because' } },
    });
    const blocked = await ask(['status'], { status: refused('PruneBlocked') });
    expect(blocked.stdout).toMatch(/^Refused: +main@sha1:dddddddd: PruneBlocked: because$/m);
    const history = await ask(['history'], { status: refused('PruneBlocked') });
    expect(history.stdout).toMatch(/^main@sha1:dddddddd +refused .*PruneBlocked: because$/m);
    const quarantined = refused('RevisionQuarantined', BAD);
    expect((await ask(['status'], { status: quarantined })).stdout).not.toMatch(/^(Refused|Waiting):/m);
    expect((await ask(['history'], { status: quarantined })).stdout).not.toContain('because');
  });

  it.each(['OutsideWindow', 'ClockNotSet', 'Busy', 'NotMeasured', 'StateNotSaved'])(
    'calls what passes by itself no refusal: %s',
    async (reason) => {
      const waiting = { revision: NEWER, refused: false, reason, message: 'because' };
      const { stdout } = await ask(['status'], { status: { ...READY, rollout: { ...HELD, waiting } } });
      expect(stdout).toMatch(new RegExp(`^Waiting: +main@sha1:dddddddd: ${reason}: because$`, 'm'));
    },
  );

  it('before anything was good', async () => {
    const rollout: RolloutReport = { quarantined: [], history: [], revoked: [] };
    const outcome = await ask(['status'], { status: { ...READY, rollout } });
    expect(outcome.stdout).toMatch(/^Last good: +none yet/m);
  });

  it('who signed it, and which remotes were passed over', async () => {
    const outcome = await ask(['status'], { status: SIGNED });
    await expect(outcome.stdout).toMatchFileSnapshot(golden('status-signed.txt'));
  });

  it('within 80 columns of a terminal', async () => {
    for (const status of [{ ...READY, rollout: ON_TRIAL }, { ...READY, rollout: HELD }, SIGNED]) {
      const outcome = await ask(['status'], { status }, { columns: 80 });
      for (const line of outcome.stdout.split('\n')) expect(displayWidth(line), line).toBeLessThanOrEqual(80);
    }
  });
});

describe('history', () => {
  it('newest first, with what each revision is to the node now', async () => {
    const outcome = await ask(['history'], { status: trialStatus });
    expect(outcome.code).toBe(0);
    await expect(outcome.stdout).toMatchFileSnapshot(golden('history.txt'));
  });

  it('who signed, where anybody did', async () => {
    const outcome = await ask(['history'], { status: SIGNED });
    await expect(outcome.stdout).toMatchFileSnapshot(golden('history-signed.txt'));
  });

  it('names what waits before all', async () => {
    const outcome = await ask(['history'], { status: { ...READY, rollout: HELD } });
    expect(outcome.stdout.split('\n')[1]).toMatch(/^main@sha1:dddddddd +waiting +<none> .*Held: mission 12/);
  });

  it('as names: each revision once, as other verbs take it; as JSON: nothing shortened', async () => {
    const names = (await ask(['history', '-o', 'name'], { status: trialStatus })).stdout.trimEnd().split('\n');
    expect(names).toEqual([NEWER.id, BAD.id, REVISION.id, 'c'.repeat(40), 'e'.repeat(40)]);
    const { kind, items } = JSON.parse((await ask(['history', '-o', 'json'], { status: trialStatus })).stdout);
    expect(kind).toBe('HistoryList');
    expect(items[1]).toMatchObject({ revision: BAD, outcome: 'rolled-back', tookMs: 30_250, marks: ['quarantined'] });
    expect(items[2].marks).toEqual(['in-force', 'last-known-good']);
  });

  it('says so where there is none', async () => {
    const status = { ...READY, rollout: { quarantined: [], history: [], revoked: [] } };
    expect(await ask(['history'], { status })).toMatchObject({ code: 0, stdout: '' });
  });
});

describe('the verdict', () => {
  it('good: exit 0', async () => {
    const outcome = await ask(['reconcile'], { reconcile: report(GOOD) });
    expect(outcome).toEqual({
      code: 0,
      stdout: 'peer/robot-2 configured\n0 added, 1 changed, 0 removed; nothing to do on the data path\n',
      stderr: '► fetching and reconciling\n✔ ready at main@sha1:450796dd: 3 probes passed\n',
    });
  });

  it('good, but the node is not Ready: never exit 0', async () => {
    expect(await ask(['reconcile'], { reconcile: report(GOOD, { ready: false }) })).toMatchObject({ code: 1 });
  });

  it.each<[Verdict['outcome'], string, number, RegExp]>([
    [
      'rolled-back',
      'ProbationFailed',
      5,
      /was rolled back \(ProbationFailed\): because\n {2}fix: .*omni retry 450796dd/,
    ],
    [
      'refused',
      'PruneBlocked',
      2,
      /is refused \(PruneBlocked\): because\n {2}fix: .*omni confirm 450796dd.*--allow-prune/,
    ],
    ['refused', 'PartitionBlocked', 2, /fix: .*omni confirm 450796dd --allow-partition/],
    ['refused', 'NotAMember', 2, /fix: Commit this node's Peer again; .*omni confirm 450796dd --allow-partition/],
    ['refused', 'RevisionQuarantined', 2, /fix: .*omni retry 450796dd/],
    ['waiting', 'Held', 2, /is not tried now \(Held\): because\n {2}fix: .*omni release/],
    ['waiting', 'Suspended', 2, /fix: .*omni resume/],
    ['waiting', 'OutsideWindow', 2, /fix: .*by itself/],
    ['trial', 'Probation', 4, /still on trial.*\n {2}fix: .*--timeout/],
  ])('%s, %s: exit %d, and what to do', async (outcome, reason, code, stderr) => {
    for (const verb of ['reconcile', 'confirm', 'retry', 'rollback'] as const) {
      const answer = await ask([verb], { [verb]: report({ outcome, reason, message: 'because' }) });
      expect(answer.code, verb).toBe(code);
      expect(answer.stderr).toMatch(stderr);
      expect(answer.stdout).toContain('peer/robot-2 configured\n');
    }
  });

  it('taken back by hand: what rollback asks for, and what nobody else does', async () => {
    const verdict: Verdict = { outcome: 'rolled-back', reason: 'RolledBackByHand', message: 'taken back by hand' };
    const outcome = await ask(['rollback'], { rollback: report(verdict) });
    expect(outcome.code).toBe(0);
    expect(outcome.stderr).toContain('✔ main@sha1:450796dd is taken back, and quarantined\n');
    expect(await ask(['reconcile'], { reconcile: report(verdict) })).toMatchObject({ code: 5 });
  });

  it('is as much an error to those who read JSON: the report on stdout, the reason on stderr', async () => {
    const verdict: Verdict = { outcome: 'rolled-back', reason: 'ProbationFailed', message: 'because' };
    const outcome = await ask(['reconcile', '-o', 'json'], { reconcile: report(verdict) });
    expect(outcome.code).toBe(5);
    expect(JSON.parse(outcome.stdout)).toMatchObject({ kind: 'ReconcileReport', ready: false, verdict });
    expect(outcome.stderr).toContain('error: main@sha1:450796dd was rolled back');
  });

  const preempted = report({ outcome: 'preempted', reason: 'NewerRevision', message: 'a newer one came' });
  const after = new Date(NOW_MS + 1_000).toISOString();
  const decided = (outcome: 'good' | 'rolled-back', at = after): Status => ({
    ...(outcome === 'good' ? READY : NOT_READY),
    rollout: {
      ...(outcome === 'good'
        ? {}
        : {
            waiting: { revision: NEWER, refused: true, reason: 'RevisionQuarantined', message: 'it was rolled back' },
          }),
      history: [{ revision: NEWER, outcome, message: 'so it ended', at, tookMs: 1 }],
      quarantined: [],
      revoked: [],
    },
  });
  /** Statuses in turn; the last one stays. */
  const inTurn = (...statuses: readonly Status[]) => {
    let next = 0;
    return () => statuses[Math.min(next++, statuses.length - 1)] as Status;
  };

  it.each([
    ['good', 0, /✔ ready at main@sha1:dddddddd: so it ended/],
    ['rolled-back', 5, /error: main@sha1:dddddddd was rolled back/],
  ] as const)('pre-empted: that of the newer revision counts: %s', async (outcome, code, stderr) => {
    const status = inTurn(trialStatus, trialStatus, decided(outcome));
    const answer = await ask(['reconcile'], { reconcile: preempted, status });
    expect(answer.code).toBe(code);
    expect(answer.stderr).toMatch(stderr);
  });

  it('pre-empted, and nothing decided when the time is up: exit 4', async () => {
    const answer = await ask(['reconcile', '--timeout', '3s'], { reconcile: preempted, status: trialStatus });
    expect(answer.code).toBe(4);
    expect(answer.stderr).toMatch(/main@sha1:dddddddd is still on trial.*1 of 3 probes pass/);
  });

  it('pre-empted, and what was decided before is no verdict: exit 1', async () => {
    const status = decided('good', REVISION.time);
    const answer = await ask(['reconcile', '--timeout', '3s'], { reconcile: preempted, status });
    expect(answer.code).toBe(1);
    expect(answer.stderr).toContain('error: main@sha1:450796dd was pre-empted by a newer revision');
  });

  it('pre-empted, by something that waits: exit 2', async () => {
    const status = { ...READY, rollout: HELD };
    expect(await ask(['reconcile'], { reconcile: preempted, status })).toMatchObject({ code: 2 });
  });

  it('pre-empted, where a revision was named: it is not the one in force, exit 1', async () => {
    const answer = await ask(['confirm', '450796dd'], { confirm: preempted, status: decided('good') });
    expect(answer.code).toBe(1);
    expect(answer.stderr).toMatch(/was pre-empted by a newer revision.*\n {2}fix: .*omni history/);
  });
});

describe('while it waits', () => {
  /** Answers once the rollout was looked at that many times. */
  function watched(times: number): Answers {
    let looked = () => {};
    const enough = new Promise<void>((resolve) => {
      looked = resolve;
    });
    let left = times;
    return {
      rollout: () => {
        left -= 1;
        if (left === 0) looked();
        return ON_TRIAL;
      },
      reconcile: async () => {
        await enough;
        return report(GOOD);
      },
    };
  }

  it('tells how the trial goes: elsewhere than on a terminal once for each change', async () => {
    const { stderr } = await ask(['reconcile'], watched(4));
    expect(stderr.split('\n').slice(0, 2)).toEqual([
      '► fetching and reconciling',
      '► trying main@sha1:dddddddd: 1 of 3 probes pass, 21s left; peer/robot-2 failing (no answer within 2 s), declared/dock pending',
    ]);
    expect(stderr.split('\n')).toHaveLength(4);
  });

  it('on a terminal in one changing line that goes away', async () => {
    const { stderr } = await ask(['reconcile'], watched(3), { columns: 60, env: { NO_COLOR: '1' } });
    const lines = stderr.split('\r\x1b[2K');
    expect(lines[1]).toMatch(/^◎ trying main@sha1:dddddddd: 1 of 3 probes pass/);
    for (const line of lines) expect(displayWidth(line.trimEnd())).toBeLessThanOrEqual(60);
    expect(lines.at(-1)).toMatch(/^✔ ready at .*\n$/);
  });

  it('Ctrl-C ends the waiting, exit 130, and says that the agent goes on', async () => {
    const { signal, press } = interruption();
    const never = () => new Promise<never>(() => press());
    const outcome = await ask(['reconcile'], { reconcile: never }, { signal });
    expect(outcome).toMatchObject({ code: 130, stdout: '' });
    expect(outcome.stderr).toContain('the agent goes on by itself');
  });
});

describe('what is sent', () => {
  it.each<[readonly string[], keyof Answers, unknown]>([
    [['reconcile'], 'reconcile', { timeoutMs: 300_000 }],
    [['reconcile', '--accept-rewind', '--timeout', '1m'], 'reconcile', { timeoutMs: 60_000, acceptRewind: true }],
    [['confirm'], 'confirm', { allowPartition: false, timeoutMs: 300_000 }],
    [
      ['confirm', 'dddd', '--allow-partition'],
      'confirm',
      { revision: NEWER.id, allowPartition: true, timeoutMs: 300_000 },
    ],
    [['retry'], 'retry', { timeoutMs: 300_000 }],
    [['retry', 'main@sha1:ffffffff'], 'retry', { revision: BAD.id, timeoutMs: 300_000 }],
    [['rollback'], 'rollback', { to: 'lkg', timeoutMs: 300_000 }],
    [['rollback', '--to', REVISION.label], 'rollback', { to: REVISION.id, timeoutMs: 300_000 }],
    [['rollback', '--to', 'main~2'], 'rollback', { to: 'main~2', timeoutMs: 300_000 }],
  ])('%j', async (argv, verb, body) => {
    const outcome = await ask(argv, { [verb]: report(GOOD), status: trialStatus });
    expect(outcome.code, outcome.stderr).toBe(0);
    expect(agent?.posted).toEqual([body]);
  });

  it('nothing, where a revision is named by what several begin with', async () => {
    const twin = { ...NEWER, id: `${'f'.repeat(39)}0`, label: `main@sha1:${'f'.repeat(39)}0` };
    const status = { ...trialStatus, revision: { lastApplied: twin } };
    const outcome = await ask(['retry', 'ffffff'], { retry: report(GOOD), status });
    expect(outcome.code).toBe(2);
    expect(outcome.stderr).toMatch(/'ffffff' is the beginning of several revisions\n {2}fix: .*f0/);
    expect(agent?.posted).toEqual([]);
  });

  it('apply passes the guards that a human overrides', async () => {
    const argv = ['apply', '-f', 'examples/fleet', '-R', '--allow-partition', '--allow-prune'];
    const outcome = await ask(argv, { apply: report(GOOD) });
    expect(outcome.code, outcome.stderr).toBe(0);
    expect(agent?.posted).toMatchObject([{ allowPartition: true, allowPrune: true }]);
  });

  it('rollback names the peers of what it changed', async () => {
    const changes = await changesOf([1], [1, 2]);
    const outcome = await ask(['rollback'], { rollback: report(GOOD, { changes }) });
    expect(outcome.stdout).toContain('+ talk to robot-2 at 203.0.113.2:51820');
  });
});

describe('hold, release, suspend, resume', () => {
  const until = new Date(NOW_MS + 7_200_000).toISOString();

  it('hold: sends a moment, prints it on the clock of the machine', async () => {
    const outcome = await ask(['hold', '--reason', 'mission 12', '--until', '2h'], { gate: HELD });
    expect(outcome.code, outcome.stderr).toBe(0);
    expect(outcome.stdout).toMatch(/^node held until (?:\d{4}-\d\d-\d\d )?\d\d:\d\d \(in 120m\)\n$/);
    expect(agent?.posted).toEqual([{ reason: 'mission 12', replace: false, until }]);
  });

  it('hold without an end, and as JSON', async () => {
    const outcome = await ask(['hold', '--reason', 'x', '--replace', '-o', 'yaml'], { gate: HELD });
    expect(parse(outcome.stdout)).toMatchObject({ kind: 'Rollout', hold: { reason: 'mission 12' } });
    expect(agent?.posted).toEqual([{ reason: 'x', replace: true }]);
    expect((await ask(['hold', '--reason', 'x'], { gate: HELD })).stdout).toBe('node held until `omni release`\n');
  });

  it.each([
    [[], /a hold needs a reason\n {2}fix: /],
    [['--reason', ' '], /a hold needs a reason/],
    [['--reason', 'x', '--until', 'soon'], /'soon' cannot be read/],
    [['--reason', 'x', '--until', '2026-03-01T11:00:00Z'], /is over already/],
  ])('hold %j is refused with exit 2', async (argv, stderr) => {
    const outcome = await ask(['hold', ...argv], { gate: HELD });
    expect(outcome).toMatchObject({ code: 2, stdout: '' });
    expect(outcome.stderr).toMatch(stderr);
    expect(agent?.posted).toEqual([]);
  });

  it('hold passes on that another one is in force', async () => {
    const taken = new OmniError('held already: mission 11', {
      code: 'held',
      class: 'stall',
      exitCode: 2,
      fix: 'Use --replace.',
    });
    const outcome = await ask(['hold', '--reason', 'x'], { gate: new ApiFailure(409, taken) });
    expect(outcome).toMatchObject({ code: 2, stderr: 'error: held already: mission 11\n  fix: Use --replace.\n' });
  });

  it('release: says what comes of the revision that waited', async () => {
    const outcome = await ask(['release'], { rollout: HELD, gate: ON_TRIAL });
    expect(outcome).toEqual({ code: 0, stdout: 'node released\n', stderr: '► main@sha1:dddddddd is tried now\n' });
    expect(await ask(['release'], { gate: READY.rollout })).toMatchObject({
      code: 0,
      stdout: 'node unchanged: it was not held\n',
    });
  });

  it('suspend and resume', async () => {
    const outcome = await ask(['suspend', '--reason', 'paint'], { gate: HELD });
    expect(outcome).toEqual({ code: 0, stdout: 'node suspended\n', stderr: '' });
    expect(agent?.posted).toEqual([{ reason: 'paint' }]);
    const resumed = await ask(['resume'], { rollout: HELD, gate: HELD });
    expect(resumed.stdout).toBe('node resumed\n');
    expect(resumed.stderr).toMatch(/main@sha1:dddddddd still waits: Held: mission 12/);
  });
});
