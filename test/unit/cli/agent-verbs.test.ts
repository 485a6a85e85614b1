import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import type { ApplyReport, Contact, Event } from '../../../src/agent/api.ts';
import { ApiFailure } from '../../../src/agent/server.ts';
import { displayWidth } from '../../../src/cli/text.ts';
import { OmniError } from '../../../src/errors.ts';
import {
  type Answers,
  changesOf,
  EVENTS,
  type FakeAgent,
  fakeAgent,
  HELD,
  keyOf,
  manifests,
  NOT_READY,
  OBJECTS,
  ON_TRIAL,
  REVISION,
  SIGNED,
  session,
} from './fixture.ts';
import { interruption, type Outcome, omni, type RunOptions } from './run.ts';

/* The verbs that ask the agent, against the real client and control server with answers made up. */

let agent: FakeAgent | undefined;
afterEach(async () => {
  await agent?.close();
  agent = undefined;
});

async function ask(argv: readonly string[], answers: Answers = {}, options: RunOptions = {}): Promise<Outcome> {
  agent = await fakeAgent(answers);
  return omni([...argv, '--socket', agent.socket], options);
}

function golden(name: string): string {
  return `golden/${name}`;
}

describe('status', () => {
  it('of a node that is ready, exit 0', async () => {
    const outcome = await ask(['status']);
    expect(outcome.code).toBe(0);
    expect(outcome.stderr).toBe('');
    await expect(outcome.stdout).toMatchFileSnapshot(golden('status-ready.txt'));
  });

  it('of one that is not, exit 1, with the reason and the source’s error', async () => {
    const outcome = await ask(['status'], { status: NOT_READY });
    expect(outcome.code).toBe(1);
    await expect(outcome.stdout).toMatchFileSnapshot(golden('status-not-ready.txt'));
  });

  it('says which CPUs share the work of receiving', async () => {
    const { dataPlane } = NOT_READY;
    const interfaces = dataPlane.interfaces.map((each) =>
      each.role === 'overlay' ? { ...each, receiveCpus: [0, 1, 2] } : each,
    );
    const outcome = await ask(['status'], { status: { ...NOT_READY, dataPlane: { ...dataPlane, interfaces } } });
    expect(outcome.stdout).toMatch(/Receiving: +omni0 spreads over CPUs 0, 1, 2 under load\n/);
  });

  it('fits 80 columns of a terminal, in colour', async () => {
    const outcome = await ask(['status'], { status: NOT_READY }, { columns: 80 });
    for (const line of outcome.stdout.split('\n')) expect(displayWidth(line), line).toBeLessThanOrEqual(80);
    expect(outcome.stdout).toContain('\x1b[31mFalse\x1b[0m');
  });

  it('as JSON and YAML: one document, u64 as strings, nothing shortened', async () => {
    const json = JSON.parse((await ask(['status', '-o', 'json'], {}, { columns: 40 })).stdout);
    expect(json).toMatchObject({
      apiVersion: 'omni.io/v1alpha1',
      kind: 'Status',
      counters: { rxPackets: '18446744073709551615', drops: { replay: '1234', 'fdb-miss': '0' } },
      revision: { lastApplied: { id: REVISION.id } },
    });
    const yaml = parse((await ask(['status', '-o', 'yaml'])).stdout);
    expect(yaml).toEqual(json);
  });

  it('as JSON keeps every field that scripts may read', async () => {
    const rollout = { ...HELD, ...ON_TRIAL };
    const source = { ...SIGNED.source, ...NOT_READY.source };
    const json = JSON.parse(
      (await ask(['status', '-o', 'json'], { status: { ...NOT_READY, source, rollout } })).stdout,
    );
    const paths: string[] = [];
    const walk = (value: unknown, path: string): void => {
      if (Array.isArray(value)) walk(value[0], `${path}[]`);
      else if (typeof value !== 'object' || value === null) paths.push(path);
      else for (const [key, inner] of Object.entries(value)) walk(inner, path === '' ? key : `${path}.${key}`);
    };
    walk(json, '');
    await expect(`${paths.sort().join('\n')}\n`).toMatchFileSnapshot(golden('status-json-fields.txt'));
  });
});

describe('get', () => {
  it.each(['peers', 'vips', 'clusters', 'sessions', 'rows', 'all'])('%s as a table', async (kind) => {
    const outcome = await ask(['get', kind]);
    expect(outcome.code).toBe(0);
    await expect(outcome.stdout).toMatchFileSnapshot(golden(`get-${kind}.txt`));
  });

  it('wide, whatever the terminal', async () => {
    const outcome = await ask(['get', 'peers', '-o', 'wide'], {}, { columns: 40, env: { NO_COLOR: '1' } });
    await expect(outcome.stdout).toMatchFileSnapshot(golden('get-peers-wide.txt'));
  });

  it.each(['peer', 'peers', 'pr', 'PEERS'])('knows peers by the name %s', async (kind) => {
    expect((await ask(['get', kind, '-o', 'name'])).stdout).toBe('peer/robot-1\npeer/robot-2\n');
  });

  it('takes one by name, in both of kubectl’s spellings, and exits 1 for one that is not there', async () => {
    expect((await ask(['get', 'peer', 'robot-2', '-o', 'name'])).stdout).toBe('peer/robot-2\n');
    expect((await ask(['get', 'peer/robot-2', '-o', 'name'])).stdout).toBe('peer/robot-2\n');
    const missing = await ask(['get', 'peer', 'robot-9']);
    expect(missing.code).toBe(1);
    expect(missing.stderr).toMatch(/^error: peer\/robot-9 is not known to this node\n {2}fix: /);
  });

  it('selects by labels', async () => {
    expect((await ask(['get', 'peers', '-l', 'site in (berlin)', '-o', 'name'])).stdout).toBe('peer/robot-2\n');
    const none = await ask(['get', 'peers', '-l', 'site=paris']);
    expect(none).toMatchObject({ code: 0, stdout: '' });
    expect(none.stderr).toContain('no peers found');
    expect((await ask(['get', 'rows', '-l', 'site=munich'])).code).toBe(2);
  });

  it('as JSON: a list, or the object itself when it was named', async () => {
    const list = JSON.parse((await ask(['get', 'peers', '-o', 'json'])).stdout);
    expect(list).toMatchObject({ apiVersion: 'omni.io/v1alpha1', kind: 'PeerList' });
    expect(list.items).toHaveLength(2);
    const one = JSON.parse((await ask(['get', 'peer', 'robot-2', '-o', 'json'])).stdout);
    expect(one).toMatchObject({
      kind: 'Peer',
      metadata: { name: 'robot-2', labels: { site: 'berlin' } },
      position: { file: 'robot-2.yaml', line: 1, column: 1 },
      status: { ready: 'False', reason: 'RowFailed', session: { rxPackets: '18446744073709551615' } },
    });
    expect(list.items[1]).toEqual({ ...one, apiVersion: undefined });
  });

  it('sessions and rows by peer and object', async () => {
    expect((await ask(['get', 'sessions', 'robot-2', '-o', 'name'])).stdout).toBe('session/000000000000feed\n');
    const rows = JSON.parse((await ask(['get', 'rows', 'peer/robot-2', '-o', 'json'])).stdout);
    expect(rows.items.map((row: { key: string; state: string }) => [row.key, row.state])).toEqual([
      [expect.stringMatching(/^fdb\/omni0\//), 'missing'],
      [`peer/omni0/${keyOf(2)}`, 'in-sync'],
    ]);
  });
});

describe('describe', () => {
  it('announces no rekey of a session that is replaced already', async () => {
    const sessions = [session(2, { current: false, rekeyAfterMs: 1 })];
    const outcome = await ask(['describe', 'peer/robot-2'], { sessions });
    expect(outcome.stdout).toContain('72s ago; ends in 58m');
  });

  it('names the CPU that a session is opened on under load', async () => {
    const busy = await ask(['describe', 'peer/robot-2'], { sessions: [session(2, { receiveCpu: 3 })] });
    expect(busy.stdout).toMatch(/Received: .*, now opened on CPU 3\n/);
  });

  it('tells all about a peer', async () => {
    const outcome = await ask(['describe', 'peer/robot-2']);
    expect(outcome.code).toBe(0);
    await expect(outcome.stdout).toMatchFileSnapshot(golden('describe-peer.txt'));
  });

  const clockMs = 1_000_000;
  const unanswered = { tries: 4, firstMs: clockMs - 15_000, lastMs: clockMs - 2_000, sent: true };
  it.each<[string, Contact, RegExp]>([
    [
      'nobody answered',
      { state: 'handshaking', unanswered: { ...unanswered, endpoint: '203.0.113.2:51820' } },
      /none: 4 handshakes unanswered, the first 15s ago, the last 2s ago; still trying\nTried: +203\.0\.113\.2:51820\nLook at: +that node/,
    ],
    [
      'it was given up',
      {
        state: 'idle',
        lastHandshakeMs: clockMs - 600_000,
        unanswered: { ...unanswered, endpoint: '203.0.113.2:51820' },
      },
      /gave up until there is traffic\nTried: .*\nLast handshake: +10m ago/,
    ],
    [
      'there was nowhere to send to',
      { state: 'handshaking', unanswered: { ...unanswered, sent: false } },
      /no endpoint is known/,
    ],
    ['nothing was sent to it yet', { state: 'idle' }, /none, and none was asked for/],
  ])('says why there is no session: %s', async (_what, contact, expected) => {
    const objects = OBJECTS.map(({ session: _, ...object }) =>
      object.object === 'peer/robot-2' ? { ...object, contact } : object,
    );
    const status = { ...NOT_READY, sessions: { active: 0, clockMs } };
    const outcome = await ask(['describe', 'peer/robot-2'], { objects, status, sessions: [] });
    expect(outcome.stdout).toMatch(expected);
  });

  it('says that a rollback does not let a peer back in', async () => {
    const revoked = [{ publicKey: keyOf(2), name: 'robot-2', revision: REVISION.label }];
    const status = { ...NOT_READY, rollout: { ...NOT_READY.rollout, revoked } };
    const line = /^Revoked: +by main@sha1:450796dd: no rollback lets it back in$/m;
    expect((await ask(['describe', 'peer/robot-2'], { status })).stdout).toMatch(line);
    expect((await ask(['describe', 'peer/robot-1'], { status })).stdout).not.toMatch(line);
  });

  it('takes kind and name apart, and refuses what is no object', async () => {
    expect((await ask(['describe', 'vip', 'robot-2'])).stdout).toContain('vip/robot-2');
    expect(await ask(['describe', 'robot-2'])).toMatchObject({ code: 2 });
    expect(await ask(['describe', 'session/1'])).toMatchObject({ code: 2 });
    expect(await ask(['describe', 'peer/robot-9'])).toMatchObject({ code: 1 });
  });

  it('as JSON, with sessions, rows and events', async () => {
    const document = JSON.parse((await ask(['describe', 'peer/robot-2', '-o', 'json'])).stdout);
    expect(document).toMatchObject({ kind: 'Peer', sessions: [{ localId: '65261' }], events: [{ sequence: 2 }] });
    expect(document.rows).toHaveLength(2);
  });
});

describe('events', () => {
  it('lists what happened', async () => {
    const outcome = await ask(['events']);
    await expect(outcome.stdout).toMatchFileSnapshot(golden('events.txt'));
    expect((await ask(['events', '--for', 'peer/robot-2'])).stdout).not.toContain('RevisionApplied');
    expect(JSON.parse((await ask(['events', '-o', 'json'])).stdout)).toMatchObject({
      kind: 'EventList',
      items: EVENTS,
    });
  });

  const third: Event = { ...(EVENTS[1] as Event), sequence: 3, message: 'again' };
  const endless = async function* () {
    yield third;
    await new Promise(() => undefined);
  };

  it('watches: a line per event as it comes, until Ctrl-C, exit 130', async () => {
    const { signal, press } = interruption();
    const outcome = await ask(
      ['events', '--watch', '-o', 'json'],
      { later: endless() },
      { signal, onStdout: (text) => text.includes('"again"') && press() },
    );
    const lines = outcome.stdout
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line));
    expect(lines.map(({ sequence }) => sequence)).toEqual([1, 2, 3]);
    expect(outcome).toMatchObject({ code: 130, stderr: 'error: interrupted\n' });
  });

  it('ends quietly, exit 0, when the reader of stdout has gone', async () => {
    const closed = new AbortController();
    const outcome = await ask(
      ['events', '-w'],
      { later: endless() },
      { stdoutClosed: closed.signal, onStdout: () => closed.abort() },
    );
    expect(outcome).toMatchObject({ code: 0, stderr: '' });
    expect(outcome.stdout).toContain('RevisionApplied');
  });
});

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'omni-cli-fleet-'));
  for (const [path, text] of Object.entries(manifests([1, 2, 3]))) await writeFile(join(folder, path), text);
});
afterAll(() => rm(folder, { recursive: true, force: true }));

async function report(ready: boolean): Promise<ApplyReport> {
  return {
    revision: REVISION,
    ready,
    changes: await changesOf([1, 2], [1, 3]),
    objects: [
      { object: 'cluster/warehouse', verb: 'unchanged' },
      { object: 'peer/robot-3', verb: 'created' },
      { object: 'peer/robot-1', verb: 'configured' },
      { object: 'peer/robot-2', verb: 'pruned' },
      { object: 'vip/robot-3', verb: 'failed', message: 'E2BIG' },
    ],
  };
}

describe('apply', () => {
  it('sends the files, prints what became of each object, then the tally', async () => {
    const outcome = await ask(['apply', '-f', folder], { apply: await report(true) });
    expect(outcome.code).toBe(0);
    await expect(outcome.stdout).toMatchFileSnapshot(golden('apply.txt'));
    expect(agent?.posted).toEqual([
      {
        dryRun: false,
        timeoutMs: 300_000,
        allowPartition: false,
        allowPrune: false,
        set: {
          files: expect.arrayContaining([{ path: `${folder}/robot-1.yaml`, text: manifests([1])['robot-1.yaml'] }]),
        },
      },
    ]);
  });

  it('exits 1 where the node is not ready afterwards', async () => {
    const outcome = await ask(['apply', '-f', folder], { apply: await report(false) });
    expect(outcome.code).toBe(1);
    expect(outcome.stderr).toContain('not ready');
  });

  it.each(['node', 'server'])('--dry-run=%s asks the node, writes nothing, and exits 0', async (where) => {
    const outcome = await ask(['apply', '-f', folder, `--dry-run=${where}`], { apply: await report(false) });
    expect(outcome.code).toBe(0);
    expect(outcome.stdout).toContain('peer/robot-3 created (node dry run)\n');
    expect(agent?.posted).toMatchObject([{ dryRun: true }]);
  });

  it('--dry-run=client asks nobody', async () => {
    const outcome = await omni(['apply', '-f', folder, '--dry-run=client', '--socket', '/nowhere']);
    expect(outcome).toMatchObject({ code: 0, stderr: '' });
    expect(outcome.stdout).toContain('vip/robot-3 valid (client dry run)\n7 objects valid, nothing sent\n');
  });

  it('sends nothing that is invalid: exit 2, diagnostics on stderr', async () => {
    const outcome = await ask(['apply', '-f', '-'], {}, { stdin: 'apiVersion: omni.io/v1alpha1\nkind: Pear\n' });
    expect(outcome).toMatchObject({ code: 2, stdout: '' });
    expect(outcome.stderr).toMatch(/^<stdin>:2:\d+: error: .*Pear/);
    expect(agent?.posted).toEqual([]);
  });

  it('passes on the agent’s refusal, with its way out and its exit code', async () => {
    const refusal = new OmniError('this node follows git', {
      code: 'follows-source',
      class: 'stall',
      exitCode: 2,
      fix: 'Commit there.',
    });
    const outcome = await ask(['apply', '-f', folder], { apply: refusal });
    expect(outcome.code).toBe(2);
    expect(outcome.stderr).toContain('error: this node follows git\n  fix: Commit there.\n');
  });
});

describe('reconcile', () => {
  it('prints what was changed, by name', async () => {
    const outcome = await ask(['reconcile'], { reconcile: await report(true) });
    expect(outcome.code).toBe(0);
    await expect(outcome.stdout).toMatchFileSnapshot(golden('reconcile.txt'));
    expect(outcome.stderr).toBe('► fetching and reconciling\n✔ ready at main@sha1:450796dd\n');
  });

  it('exits 1 where the node ended not ready', async () => {
    expect((await ask(['reconcile'], { reconcile: await report(false) })).code).toBe(1);
  });
});

describe('diff of the node', () => {
  it('against its source: the operations in words, exit 1', async () => {
    const changes = await changesOf([1, 2], [1, 3]);
    const outcome = await ask(['diff'], { diff: { revision: REVISION, changes, sessionsCut: ['robot-2'] } });
    expect(outcome.code).toBe(1);
    await expect(outcome.stdout).toMatchFileSnapshot(golden('diff-node.txt'));
    expect(agent?.posted).toEqual([{ against: 'source' }]);
  });

  it('names peers that are no objects of the node yet', async () => {
    const changes = await changesOf([1, 2], [1, 2, 3]);
    const diff = { revision: REVISION, changes, sessionsCut: [], peers: { [keyOf(3)]: 'robot-3' } };
    const outcome = await ask(['diff'], { diff });
    expect(outcome.stdout).toContain('talk to robot-3');
    expect(outcome.stdout).toMatch(/resolve 10\.77\.0\.3 to robot-3/);
  });

  it('shows every error of a source that holds some, each with its place', async () => {
    const position = { file: 'fleet/a.yaml', line: 3, column: 5 };
    const finding = { severity: 'error', rule: 'vip-outside-subnets', fix: 'Move it.', position } as const;
    const refusal = new OmniError('main holds 2 errors', { code: 'fleet-invalid', class: 'stall', exitCode: 2 });
    const findings = ['one is wrong', 'two is wrong'].map((message) => ({ ...finding, message }));
    const outcome = await ask(['diff'], { diff: new ApiFailure(422, refusal, findings) });
    expect(outcome.code).toBe(2);
    expect(outcome.stderr).toBe(
      [
        'fleet/a.yaml:3:5: error: one is wrong [vip-outside-subnets]\n    fix: Move it.\n',
        'fleet/a.yaml:3:5: error: two is wrong [vip-outside-subnets]\n    fix: Move it.\n',
        'error: main holds 2 errors\n',
      ].join(''),
    );
  });

  it('against files, exit 0 where nothing differs', async () => {
    const outcome = await ask(['diff', '-f', folder], { diff: { revision: REVISION, changes: [], sessionsCut: [] } });
    expect(outcome).toMatchObject({ code: 0, stdout: 'no difference from main@sha1:450796dd\n' });
    expect(agent?.posted).toMatchObject([{ against: { files: expect.any(Array) } }]);
  });

  it('as JSON says whether anything changed', async () => {
    const changes = await changesOf([1], [1, 2]);
    const outcome = await ask(['diff', '-o', 'json'], { diff: { revision: REVISION, changes, sessionsCut: [] } });
    expect(outcome.code).toBe(1);
    expect(JSON.parse(outcome.stdout)).toMatchObject({ kind: 'NodeDiff', summary: { changed: true, operations: 3 } });
  });
});

describe('without an agent', () => {
  const verbs = [
    ['status'],
    ['get', 'peers'],
    ['describe', 'peer/x'],
    ['events'],
    ['events', '-w'],
    ['reconcile'],
    ['diff'],
  ];
  it.each(verbs)('%s %s exits 4 and says how to start one', async (...argv) => {
    const outcome = await omni([...argv.filter(Boolean), '--socket', '/nowhere/omni.sock']);
    expect(outcome).toMatchObject({ code: 4, stdout: '' });
    expect(outcome.stderr).toMatch(/error: no agent answers on \/nowhere\/omni.sock\n {2}fix: /);
  });

  it('version answers all the same, and names the agent where there is one', async () => {
    expect(await omni(['version', '--socket', '/nowhere'])).toMatchObject({ code: 0, stderr: '' });
    const both = JSON.parse((await ask(['version', '-o', 'json'])).stdout);
    expect(both).toMatchObject({
      kind: 'Version',
      client: { version: '0.1.0' },
      agent: { version: '0.1.0', pid: 4711 },
    });
  });

  it('names of objects never drive the terminal', async () => {
    const [, , peer] = OBJECTS;
    if (peer === undefined) throw new Error('the fixture has lost its peer');
    const objects = [{ ...peer, message: 'boom\x1b[2J\x07' }];
    const outcome = await ask(['get', 'peers'], { objects });
    for (const code of ['\x1b', '\x07']) expect(outcome.stdout).not.toContain(code);
    expect(outcome.stdout).toContain('boom\\u{1b}[2J\\u{7}');
  });
});
