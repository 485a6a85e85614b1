import { describe, expect, it } from 'vitest';
import { conditionsOf } from '../../../src/agent/conditions.ts';
import { EventLog } from '../../../src/agent/events.ts';
import type { FollowerState } from '../../../src/agent/follower.ts';
import { encodeJson } from '../../../src/agent/json.ts';
import { createLog } from '../../../src/agent/log.ts';
import { type SessionProblem, SessionShell } from '../../../src/agent/session-shell.ts';
import { OmniError } from '../../../src/errors.ts';
import type { IpAddress, PublicKey } from '../../../src/manifest/model.ts';
import type { Condition } from '../../../src/reconcile/conditions.ts';
import type { Endpoint } from '../../../src/reconcile/dataplane.ts';
import { initialState } from '../../../src/reconcile/rollout/machine.ts';
import { emptyRecord } from '../../../src/reconcile/rollout/record.ts';
import { ManualClock } from '../source/lab.ts';

describe('EventLog', () => {
  it('keeps the last 1,000, numbered from 1, and tells those who listen', () => {
    const events = new EventLog(() => 0);
    const heard: number[] = [];
    const stop = events.subscribe(({ sequence }) => heard.push(sequence));
    for (let index = 0; index < 1_500; index += 1) {
      events.record({ type: 'Normal', reason: 'Test', object: 'node', message: String(index) });
      if (index === 9) stop();
    }
    expect(heard).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
    expect(events.after(0)).toHaveLength(1_000);
    expect(events.after(0)[0]?.sequence).toBe(501);
    expect(events.after(1_498).map(({ message }) => message)).toEqual(['1498', '1499']);
    expect(events.after(0)[0]?.time).toBe('1970-01-01T00:00:00.000Z');
  });
});

describe('encodeJson', () => {
  it('writes u64 as decimal strings and maps as records', () => {
    expect(encodeJson({ id: 2n ** 64n - 1n, map: new Map([['a', { n: 1n }]]), list: [3n] })).toBe(
      '{"id":"18446744073709551615","map":{"a":{"n":"1"}},"list":["3"]}',
    );
  });
});

describe('createLog', () => {
  const secret = { key: Buffer.from('s3cret'), nested: { psk: 's3cret' } };
  it.each(['json', 'text'] as const)('%s: scalars only, so that no key can slip in', (format) => {
    const lines: string[] = [];
    const log = createLog({ format, level: 'info', write: (line) => lines.push(line) });
    log('info', 'hello', { count: 3, big: 7n, ok: true, name: 'x', secret, bytes: secret.key, none: undefined });
    log('debug', 'not shown');
    expect(lines).toHaveLength(1);
    expect(lines[0]).toContain('hello');
    expect(lines[0]).not.toMatch(/s3cret|psk|115,51/);
    if (format === 'json') {
      expect(JSON.parse(lines[0] ?? '')).toMatchObject({ level: 'info', msg: 'hello', count: 3, big: '7', name: 'x' });
    } else {
      expect(lines[0]).toMatch(/^\d\d:\d\d:\d\d info {2}hello {2}count=3 {2}big=7 {2}ok=true {2}name=x\n$/);
    }
  });
});

describe('conditionsOf', () => {
  const ready: Condition = {
    type: 'Ready',
    status: 'True',
    reason: 'ReconciliationSucceeded',
    message: '',
    lastTransitionTime: '2026-01-01T00:00:00.000Z',
    observedRevision: 'main@sha1:a',
  };
  const fetched: FollowerState = { sourceReady: true, sinceMs: 0 };
  const shown = (conditions: readonly { type: string; status: string; reason: string }[]) =>
    conditions.map(({ type, status, reason }) => `${type}=${status} ${reason}`);

  const untried = initialState(emptyRecord, 'boot');
  const conditionsFor = (one: Condition, follower: FollowerState, sessions?: SessionProblem, rollout = untried) =>
    conditionsOf({ reconcile: [one], follower, sessions, rollout, verifies: false });

  it('passes the reconciler’s through', () => {
    expect(shown(conditionsFor(ready, fetched))).toEqual([
      'Ready=True ReconciliationSucceeded',
      'SourceReady=True Fetched',
    ]);
  });

  it('a source that is away leaves Ready as it is', () => {
    const error = new OmniError('gone', { code: 'source-unreachable', class: 'retry', fix: 'Look.' });
    const conditions = conditionsFor(ready, { sourceReady: false, sinceMs: 5, error });
    expect(shown(conditions)).toEqual(['Ready=True ReconciliationSucceeded', 'SourceReady=False SourceUnreachable']);
    expect(conditions[1]).toMatchObject({ message: 'gone. Look.', lastTransitionTime: '1970-01-01T00:00:00.005Z' });
  });

  it('a node that has read nothing yet says why', () => {
    const nothing: Condition = { ...ready, status: 'Unknown', reason: 'NoRevision', message: 'nothing read yet' };
    const error = new OmniError('no branch "mian"', { code: 'source-ref-missing', class: 'stall', fix: 'Push it.' });
    const conditions = conditionsFor(nothing, { sourceReady: false, sinceMs: 5, error });
    expect(shown(conditions)).toEqual(['Ready=Unknown NoRevision', 'SourceReady=False SourceRefMissing']);
    expect(conditions[0]?.message).toBe('nothing read yet: no branch "mian". Push it.');
  });

  it('a node that asks for signatures says whether the source is believed', () => {
    const verified = (follower: FollowerState) =>
      conditionsOf({ reconcile: [ready], follower, sessions: undefined, rollout: untried, verifies: true }).find(
        ({ type }) => type === 'SourceVerified',
      );
    expect(verified({ sourceReady: undefined, sinceMs: 0 })).toMatchObject({ status: 'Unknown' });
    const signature = { format: 'ssh', signer: 'ada@example.org', key: 'SHA256:abc' } as const;
    const attempted = { id: 'b', label: 'main@sha1:b', signature };
    expect(verified({ ...fetched, attempted, lastFetchMs: 1 })).toMatchObject({
      status: 'True',
      reason: 'Verified',
      message: 'signed by ada@example.org with SHA256:abc',
      observedRevision: 'main@sha1:b',
    });
    const error = new OmniError('nobody signed it', { code: 'signature-missing', class: 'stall' });
    expect(verified({ sourceReady: false, sinceMs: 1, attempted, error })).toMatchObject({
      status: 'False',
      reason: 'SignatureMissing',
    });
  });

  it('a revision with errors, or sessions that cannot be had, stall', () => {
    const position = { file: 'a.yaml', line: 3, column: 5 };
    const finding = { severity: 'error', rule: 'x', message: 'is wrong', fix: 'mend it', position } as const;
    const revision = { id: 'b', label: 'main@sha1:b' };
    const invalid = { revision, errors: [finding, finding], sinceMs: 7 };
    const conditions = conditionsFor(ready, { ...fetched, invalid });
    expect(shown(conditions)).toEqual([
      'Ready=False InvalidFleet',
      'Stalled=True InvalidFleet',
      'SourceReady=True Fetched',
    ]);
    expect(conditions[0]).toMatchObject({
      message: 'a.yaml:3:5: error: is wrong [x]; fix: mend it; and 1 more',
      observedRevision: 'main@sha1:b',
      lastTransitionTime: '1970-01-01T00:00:00.007Z',
    });
    const error = new OmniError('in use', { code: 'port-in-use', class: 'stall' });
    expect(shown(conditionsFor(ready, fetched, { error, sinceMs: 1, reason: 'SecretUnreadable' })).slice(0, 2)).toEqual(
      ['Ready=False SecretUnreadable', 'Stalled=True SecretUnreadable'],
    );
    expect(shown(conditionsFor(ready, fetched, { error, sinceMs: 1 }))).toEqual([
      'Ready=False PortInUse',
      'Stalled=True PortInUse',
      'SourceReady=True Fetched',
    ]);
    const failing: Condition = { ...ready, status: 'False' };
    expect(conditionsFor(failing, { ...fetched, invalid })[0]?.lastTransitionTime).toBe('2026-01-01T00:00:00.000Z');
  });
});

describe('SessionShell', () => {
  it('tells of a peer when it comes and when it goes, not at every rekey', () => {
    const clock = new ManualClock();
    const events = new EventLog(() => clock.now());
    const shell = new SessionShell({
      configure: async () => undefined,
      events,
      log: () => undefined,
      after: (delayMs, run) => clock.after(delayMs, run),
      now: () => clock.now(),
    });
    const peer = 'key' as PublicKey;
    for (let rekey = 0; rekey < 3; rekey += 1) {
      shell.onEvent({ type: 'established', name: 'robot-2', peer, initiator: true });
    }
    shell.onEvent({ type: 'unreachable', name: 'robot-2', peer });
    shell.onEvent({ type: 'unreachable', name: 'robot-2', peer });
    shell.onEvent({ type: 'established', name: 'robot-2', peer, initiator: false });
    const error = new OmniError('disk', { code: 'handshake-state-unusable', class: 'retry' });
    shell.onEvent({ type: 'error', error });
    shell.onEvent({ type: 'error', error });
    const places = ['192.0.2.1', '2001:db8::1'].map((address) => ({ address: address as IpAddress, port: 51820 }));
    shell.onEvent({ type: 'key-in-use-twice', name: 'robot-2', peer, places: places as [Endpoint, Endpoint] });
    expect(events.after(0).at(-1)).toMatchObject({
      type: 'Warning',
      message: expect.stringContaining('at 192.0.2.1:51820 and at [2001:db8::1]:51820'),
    });
    shell.onEvent({ type: 'new-generation', ended: 7 });
    expect(events.after(0).at(-1)).toMatchObject({ type: 'Warning', message: expect.stringContaining('7 sessions') });
    for (const lost of [0, 1]) shell.onEvent({ type: 'disturbed', name: 'robot-2', peer, lost });
    expect(events.after(0).map(({ reason, object }) => `${reason} ${object}`)).toEqual([
      'SessionEstablished peer/robot-2',
      'PeerUnreachable peer/robot-2',
      'SessionEstablished peer/robot-2',
      'SessionError node',
      'KeyInUseTwice peer/robot-2',
      'SnapshotRestored node',
      'SessionDisturbed peer/robot-2',
      'SessionDisturbed peer/robot-2',
    ]);
  });

  it('configures again while it cannot, and says so once', async () => {
    const clock = new ManualClock();
    const events = new EventLog(() => clock.now());
    let refuse = true;
    let calls = 0;
    const shell = new SessionShell({
      configure: async () => {
        calls += 1;
        if (refuse) throw new OmniError('in use', { code: 'port-in-use', class: 'stall' });
        return undefined;
      },
      events,
      log: () => undefined,
      after: (delayMs, run) => clock.after(delayMs, run),
      now: () => clock.now(),
    });
    const settle = () => new Promise<void>((resolve) => setImmediate(resolve));
    shell.apply(undefined);
    await settle();
    const since = shell.problem?.sinceMs;
    clock.advance(1_000);
    await settle();
    expect(calls).toBe(2);
    expect(shell.problem).toMatchObject({ error: { code: 'port-in-use' }, sinceMs: since });
    expect(events.after(0)).toHaveLength(1);
    refuse = false;
    clock.advance(1_000);
    await settle();
    expect(shell.problem).toBeUndefined();
    clock.advance(60_000);
    expect(calls).toBe(3);
  });

  it('says what is not as the revision has it, and does not try again by itself', async () => {
    const clock = new ManualClock();
    const events = new EventLog(() => clock.now());
    let unreadable: OmniError | undefined = new OmniError('not for us', { code: 'psk-damaged', class: 'stall' });
    let calls = 0;
    const shell = new SessionShell({
      configure: async () => {
        calls += 1;
        return unreadable;
      },
      events,
      log: () => undefined,
      after: (delayMs, run) => clock.after(delayMs, run),
      now: () => clock.now(),
    });
    const settle = () => new Promise<void>((resolve) => setImmediate(resolve));
    shell.apply(undefined);
    shell.apply(undefined);
    await settle();
    clock.advance(60_000);
    await settle();
    expect(calls).toBe(2);
    expect(shell.problem).toMatchObject({ error: { code: 'psk-damaged' }, reason: 'SecretUnreadable' });
    expect(events.after(0).map(({ type, reason }) => `${type} ${reason}`)).toEqual(['Warning SecretUnreadable']);
    unreadable = undefined;
    shell.apply(undefined);
    await settle();
    expect(shell.problem).toBeUndefined();
  });

  it('configures revisions in their order, however long one takes, and tries only the last one again', async () => {
    const clock = new ManualClock();
    const seen: string[] = [];
    const started: (() => void)[] = [];
    const shell = new SessionShell({
      configure: async (config) => {
        seen.push(config?.cluster ?? 'none');
        await new Promise<void>((resolve) => started.push(resolve));
        throw new OmniError('in use', { code: 'port-in-use', class: 'stall' });
      },
      events: new EventLog(() => clock.now()),
      log: () => undefined,
      after: (delayMs, run) => clock.after(delayMs, run),
      now: () => clock.now(),
    });
    const settle = () => new Promise<void>((resolve) => setImmediate(resolve));
    const timers = {
      rekeyAfterMs: 1,
      lifetimeMs: 2,
      handshakeTimeoutMs: 1,
      postQuantum: 'off' as const,
      newSessionsPerSecondPerSource: 1,
      subnets: [],
    };
    const config = { cluster: 'first', interface: 'omni0', port: 1, ...timers, peers: new Map() };
    shell.apply(config);
    shell.apply({ ...config, cluster: 'second' });
    await settle();
    expect(seen).toEqual(['first']);
    started.shift()?.();
    await settle();
    expect(seen).toEqual(['first', 'second']);
    started.shift()?.();
    await settle();
    clock.advance(1_000);
    await settle();
    expect(seen).toEqual(['first', 'second', 'second']);
    shell.stop();
  });
});
