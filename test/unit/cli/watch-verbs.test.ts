import { afterEach, describe, expect, it } from 'vitest';
import type { Event, ObjectStatus, Status } from '../../../src/agent/api.ts';
import { ApiFailure } from '../../../src/agent/server.ts';
import { displayWidth } from '../../../src/cli/text.ts';
import { OmniError } from '../../../src/errors.ts';
import {
  type Answers,
  BAD,
  EVENTS,
  type FakeAgent,
  fakeAgent,
  HELD,
  NEWER,
  NOT_READY,
  OBJECTS,
  ON_TRIAL,
  READY,
  REVISION,
  WHY,
} from './fixture.ts';
import { interruption, type Outcome, omni, type RunOptions } from './run.ts';

/* What waits, watches and explains, against the real client and control server with answers made up. */

let agent: FakeAgent | undefined;
afterEach(async () => {
  await agent?.close();
  agent = undefined;
});

async function ask(argv: readonly string[], answers: Answers = {}, options: RunOptions = {}): Promise<Outcome> {
  agent = await fakeAgent(answers);
  return omni([...argv, '--socket', agent.socket], options);
}

/** Answers in turn; the last one stays. */
function inTurn<T>(...answers: readonly T[]): () => T {
  let next = 0;
  return () => answers[Math.min(next++, answers.length - 1)] as T;
}

function withPeer(overrides: Partial<ObjectStatus>): readonly ObjectStatus[] {
  return OBJECTS.map((object) => (object.object === 'peer/robot-2' ? { ...object, ...overrides } : object));
}

describe('wait', () => {
  const ready = withPeer({ ready: 'True', reason: 'Reconciled' });
  const without = OBJECTS.filter(({ object }) => object !== 'peer/robot-2');

  it('for the node, which is what is meant where nothing is named', async () => {
    const outcome = await ask(['wait'], { status: inTurn(NOT_READY, NOT_READY, READY) });
    expect(outcome).toEqual({
      code: 0,
      stdout: 'node condition met\n',
      stderr: '► waiting for node: Ready is False (InvalidFleet)\n',
    });
  });

  it.each<[string, readonly string[], Answers]>([
    ['an object', ['peer/robot-2'], { objects: inTurn(OBJECTS, ready) }],
    ['one that is yet to come', ['peer/robot-2'], { objects: inTurn(without, OBJECTS, ready) }],
    ['a condition that is not', ['--for=condition=Ready=False', 'peer/robot-2'], {}],
    ['one that the node names only while it is', ['--for=condition=stalled=false'], {}],
    ['an object to go', ['--for=delete', 'peer/robot-2'], { objects: inTurn(OBJECTS, without) }],
    ['a revision to be good', ['--for=revision=4507'], {}],
    ['one that a later one followed', ['--for', `revision=${'c'.repeat(40)}`], { status: afterwards('good') }],
  ])('for %s: exit 0', async (_what, argv, answers) => {
    const outcome = await ask(['wait', ...argv], answers);
    expect(outcome.code, outcome.stderr).toBe(0);
    expect(outcome.stdout).toMatch(/^(node|peer\/robot-2) condition met\n$/);
  });

  function afterwards(outcome: 'good' | 'preempted'): Status {
    const [first] = ON_TRIAL.history.filter(({ revision }) => revision.id.startsWith('c'));
    if (first === undefined) throw new Error('the fixture has lost its history');
    return { ...READY, rollout: { ...READY.rollout, history: [...READY.rollout.history, { ...first, outcome }] } };
  }

  it('for several at once', async () => {
    const outcome = await ask(['wait', 'peer/robot-1', 'pr/robot-2'], { objects: inTurn(OBJECTS, ready) });
    expect(outcome).toMatchObject({ code: 0, stdout: 'peer/robot-1 condition met\npeer/robot-2 condition met\n' });
  });

  it.each<[string, readonly string[], Answers, RegExp]>([
    [
      'an object',
      ['peer/robot-2'],
      {},
      /timed out after 5m: peer\/robot-2: Ready is False \(RowFailed\): fdb.*\n.*describe/,
    ],
    ['one that never came', ['vip/robot-9'], {}, /vip\/robot-9: it is not known to this node/],
    [
      'a revision on trial',
      ['--for=revision=dddd'],
      { status: { ...READY, rollout: ON_TRIAL } },
      /it is on trial: 1 of 3/,
    ],
    [
      'one that is held',
      ['--for=revision=dddd'],
      { status: { ...READY, rollout: HELD } },
      /it waits: Held: mission 12/,
    ],
    [
      'one that nobody knows',
      ['--for=revision=0123'],
      {},
      /has not come; the last known good revision is main@sha1:450796dd/,
    ],
    [
      'one that was pre-empted',
      ['--for=revision=cccc'],
      { status: afterwards('preempted') },
      /has not come; the last known good/,
    ],
    ['a single look', ['--timeout', '0s'], { status: NOT_READY }, /the condition is not met: node: Ready is False/],
  ])('in vain for %s: exit 4', async (_what, argv, answers, stderr) => {
    const outcome = await ask(['wait', ...argv], answers);
    expect(outcome).toMatchObject({ code: 4, stdout: '' });
    expect(outcome.stderr).toMatch(stderr);
  });

  it('for a revision that was rolled back: exit 5 at once', async () => {
    const outcome = await ask(['wait', `--for=revision=${BAD.id}`], { status: { ...READY, rollout: ON_TRIAL } });
    expect(outcome).toMatchObject({ code: 5, stdout: '' });
    expect(outcome.stderr).toMatch(/main@sha1:ffffffff was rolled back \(ProbationFailed\): peer\/robot-2/);
  });

  it('for an agent that is yet to be started', async () => {
    const outcome = await omni(['wait', '--timeout', '3s', '--socket', '/nowhere/omni.sock']);
    expect(outcome.code).toBe(4);
    expect(outcome.stderr).toMatch(
      /^⚠ no agent answers on .*; waiting for it\nerror: timed out after 3s: node: no agent answers/,
    );
  });

  it.each([
    [['--for=ready'], /--for=ready cannot be read/],
    [['--for=condition=Shiny'], /no such condition\n {2}fix: Conditions are Ready/],
    [['--for=condition=Ready=Maybe'], /no such condition/],
    [['--for=condition=Held', 'peer/robot-2'], /peer\/robot-2 has no condition Held/],
    [['--for=delete'], /the node itself/],
    [['--for=revision=4507', 'peer/robot-2'], /revisions are adopted by nodes/],
    [['robot-2'], /names no object/],
  ])('%j is refused with exit 2', async (argv, stderr) => {
    const outcome = await ask(['wait', ...argv]);
    expect(outcome).toMatchObject({ code: 2, stdout: '' });
    expect(outcome.stderr).toMatch(stderr);
  });
});

describe('get -w', () => {
  const stop = (needle: string) => {
    const { signal, press } = interruption();
    return { signal, onStdout: (text: string) => void (text.includes(needle) && press()) };
  };
  const changed = withPeer({ ready: 'True', reason: 'Reconciled', message: '4 rows verified' });
  const counted = changed.map((object) =>
    object.session === undefined
      ? object
      : { ...object, revision: NEWER.label, session: { ...object.session, rxBytes: 1n } },
  );
  const fewer = changed.filter(({ object }) => object !== 'peer/robot-1');

  it('prints the table, then a line for each that changes, and none for what only counts or has another revision', async () => {
    const objects = inTurn(OBJECTS, OBJECTS, changed, counted, fewer);
    const outcome = await ask(['get', 'peers', '-w'], { objects }, stop('gone from'));
    expect(outcome.code).toBe(130);
    await expect(outcome.stdout).toMatchFileSnapshot('golden/get-peers-watch.txt');
  });

  it('as JSON: a watch event per line', async () => {
    const outcome = await ask(
      ['get', 'peers', '-w', '-o', 'json'],
      { objects: inTurn(OBJECTS, changed, fewer) },
      stop('DELETED'),
    );
    const lines = outcome.stdout
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line));
    expect(lines.map(({ type, object }) => `${type} ${object.metadata.name} ${object.status.ready}`)).toEqual([
      'ADDED robot-1 True',
      'ADDED robot-2 False',
      'MODIFIED robot-2 True',
      'DELETED robot-1 True',
    ]);
    expect(lines[0].object).toMatchObject({ apiVersion: 'omni.io/v1alpha1', kind: 'Peer' });
  });

  it('outlives an agent that breaks off, and says so', async () => {
    const lost = new ApiFailure(500, new OmniError('gone', { code: 'agent-lost', class: 'retry', exitCode: 4 }));
    const answers = [OBJECTS, lost, lost, changed];
    const objects = () => {
      const next = answers.shift() ?? changed;
      if (next instanceof Error) throw next;
      return next;
    };
    const outcome = await ask(['get', 'peers', '-w', '-o', 'name'], { objects }, stop('robot-2\npeer/robot-2'));
    expect(outcome.stdout).toBe('peer/robot-1\npeer/robot-2\npeer/robot-2\n');
    expect(outcome.stderr).toMatch(/^⚠ gone; waiting for it\n► the agent answers again\nerror: interrupted\n$/);
  });

  it('watches sessions and rows as well, but one kind at a time, and only what is there', async () => {
    expect((await ask(['get', 'sessions', '-w'], {}, stop('feed'))).stdout).toContain('000000000000feed  robot-2');
    expect((await ask(['get', 'rows', '-w'], {}, stop('link/'))).stdout).toMatch(/^ROW /);
    expect(await ask(['get', 'all', '-w'])).toMatchObject({ code: 2 });
    expect(await ask(['get', 'peer', 'robot-9', '-w'])).toMatchObject({ code: 1, stdout: '' });
  });

  it('ends quietly, exit 0, when the reader of stdout has gone', async () => {
    const closed = new AbortController();
    const options = { stdoutClosed: closed.signal, onStdout: () => closed.abort() };
    expect(await ask(['get', 'peers', '-w'], {}, options)).toMatchObject({ code: 0, stderr: '' });
  });
});

describe('events', () => {
  it('of one type, of one object, of the last while', async () => {
    const reasons = async (...flags: readonly string[]) => {
      const { stdout } = await ask(['events', '-o', 'json', ...flags]);
      return JSON.parse(stdout).items.map(({ reason }: Event) => reason);
    };
    expect(await reasons('--types=Warning')).toEqual(['RowFailed']);
    expect(await reasons('--types=normal,warning')).toEqual(['RevisionApplied', 'RowFailed']);
    expect(await reasons('--for', 'node')).toEqual(['RevisionApplied']);
    expect(await reasons('--since', '2m')).toEqual(['RowFailed']);
    expect((await ask(['events', '--types=Odd'])).code).toBe(2);
  });

  it('of a peer include those of its row', async () => {
    const later = (async function* () {
      yield { ...(EVENTS[1] as Event), sequence: 3, object: 'peer/omni0/robot-2', reason: 'DriftHealed' };
      await new Promise(() => undefined);
    })();
    const { signal, press } = interruption();
    const onStdout = (text: string) => void (text.includes('DriftHealed') && press());
    const outcome = await ask(['events', '-w', '--for', 'peer/robot-2'], { later }, { signal, onStdout });
    expect(outcome.stdout.trimEnd().split('\n')).toHaveLength(2);
  });

  it('-w goes on with another agent from its first event, and with the same one from the next', async () => {
    let run = 0;
    const status = () => {
      run += 1;
      // The second time it is the same agent, which had cut us off; the third time another.
      return { ...READY, node: { ...READY.node, pid: run < 3 ? 1 : 2 } };
    };
    const { signal, press } = interruption();
    const onStdout = (text: string) => void (text.trimEnd().split('\n').length === 4 && press());
    const outcome = await ask(['events', '-w', '-o', 'json'], { status }, { signal, onStdout });
    const sequences = outcome.stdout
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line).sequence);
    expect(sequences).toEqual([1, 2, 1, 2]);
    expect(outcome.stderr.split('\n').slice(0, 2)).toEqual([
      '⚠ the agent has ended the stream of events; waiting for it',
      '► the agent answers again',
    ]);
  });
});

describe('why', () => {
  it('goes back from rows to commits', async () => {
    const outcome = await ask(['why', 'robot-2'], { why: WHY });
    expect(outcome).toMatchObject({ code: 0, stderr: '' });
    await expect(outcome.stdout).toMatchFileSnapshot('golden/why.txt');
  });

  it('fits 80 columns of a terminal, and those that know no more than ASCII', async () => {
    const outcome = await ask(['why', 'robot-2'], { why: WHY }, { columns: 80, env: { NO_COLOR: '1', LANG: 'C' } });
    for (const line of outcome.stdout.split('\n')) expect(displayWidth(line), line).toBeLessThanOrEqual(80);
    await expect(outcome.stdout).toMatchFileSnapshot('golden/why-80.txt');
    // biome-ignore lint/suspicious/noControlCharactersInRegex: ASCII is what is asked for
    expect(outcome.stdout).toMatch(/^[\x00-\x7f]*$/);
  });

  it('as JSON, nothing shortened', async () => {
    const json = JSON.parse((await ask(['why', 'robot-2', '-o', 'json'], { why: WHY })).stdout);
    expect(json).toMatchObject({ kind: 'WhyList', items: [{ subject: WHY[0]?.subject, objects: WHY[0]?.objects }] });
  });

  it('asks for what was typed, and passes on what may have been meant', async () => {
    let asked: string | null = null;
    const why: Answers['why'] = ({ query }) => {
      asked = query.get('q');
      const unknown = { code: 'nothing-known', class: 'stall', exitCode: 1, fix: 'Did you mean robot-2?' } as const;
      throw new ApiFailure(404, new OmniError('nothing is called "fd77::1/64 &x"', unknown));
    };
    const outcome = await ask(['why', 'fd77::1/64 &x'], { why });
    expect(asked).toBe('fd77::1/64 &x');
    expect(outcome).toMatchObject({ code: 1, stdout: '' });
    expect(outcome.stderr).toContain('fix: Did you mean robot-2?');
  });
});

it('the fixture has what these tests lean on', () => {
  expect([REVISION.id.slice(0, 4), NEWER.id.slice(0, 4)]).toEqual(['4507', 'dddd']);
});
