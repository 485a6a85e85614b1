import { describe, expect, test } from 'vitest';
import type { PublicKey } from '../../../src/manifest/model.ts';
import type { SessionState } from '../../../src/reconcile/dataplane.ts';
import { initialState, nextDeadlineMs, step } from '../../../src/session/machine.ts';
import type {
  Freshness,
  MachineEffect,
  MachineInput,
  MachineSettings,
  MachineState,
} from '../../../src/session/model.ts';
import { slotsOf } from '../../../src/session/slots.ts';

const SETTINGS: MachineSettings = {
  rekeyAfterMs: 120_000,
  lifetimeMs: 3_600_000,
  handshakeTimeoutMs: 5_000,
  keepaliveMs: undefined,
  preferred: true,
};
const START = 1_000_000;

/** A machine and the time that it lives in. */
class Driver {
  nowMs = START;
  jitter = 0;
  state: MachineState;

  constructor(settings: Partial<MachineSettings> = {}, adopted: readonly SessionState[] = []) {
    const merged = { ...SETTINGS, ...settings };
    this.state = initialState(merged, { nowMs: START, adopted });
  }

  put(input: MachineInput): readonly MachineEffect[] {
    const { state, effects } = step(this.state, input, { nowMs: this.nowMs, jitter: this.jitter });
    this.state = state;
    return effects;
  }

  /** Lets the time pass, with a `timer` at each deadline. */
  wait(ms: number): readonly MachineEffect[] {
    const untilMs = this.nowMs + ms;
    const effects: MachineEffect[] = [];
    for (let at = nextDeadlineMs(this.state); at <= untilMs; at = nextDeadlineMs(this.state)) {
      this.nowMs = Math.max(this.nowMs, at);
      effects.push(...this.put({ type: 'timer' }));
    }
    this.nowMs = untilMs;
    return effects;
  }

  /** Lets the time pass; when initiations left, in milliseconds since the start. */
  initiationsIn(ms: number): readonly number[] {
    const untilMs = this.nowMs + ms;
    const times: number[] = [];
    while (nextDeadlineMs(this.state) <= untilMs) {
      const effects = this.wait(Math.max(0, nextDeadlineMs(this.state) - this.nowMs));
      if (types(effects).includes('initiate')) times.push(this.nowMs - START);
    }
    this.nowMs = untilMs;
    return times;
  }

  /** A session that we initiated, and that the peer has shown to have. */
  established(localId = 1n): this {
    this.put({ type: 'frame' });
    this.wait(10_000);
    this.put({ type: 'response', sequence: this.state.sequence, localId });
    this.put({ type: 'installed', localId });
    this.snapshot([session(localId, { initiator: true, current: true, rxPackets: 1n, rxLastMs: this.nowMs + 1 })]);
    return this;
  }

  snapshot(sessions: readonly SessionState[], generation = this.state.generation): readonly MachineEffect[] {
    return this.put({ type: 'snapshot', generation, asked: sessions.map(({ localId }) => localId), sessions });
  }
}

function session(localId: bigint, changes: Partial<SessionState> = {}): SessionState {
  return {
    interface: 'omni0',
    localId,
    remoteId: localId + 100n,
    peer: 'peer' as PublicKey,
    initiator: false,
    unconfirmed: false,
    hybrid: false,
    current: false,
    createdMs: START,
    rekeyAfterMs: START + 120_000,
    expiresMs: START + 3_600_000,
    txPackets: 0n,
    txBytes: 0n,
    rxPackets: 0n,
    rxBytes: 0n,
    txLastMs: 0,
    txDataLastMs: 0,
    rxLastMs: 0,
    rxDataLastMs: 0,
    ...changes,
  };
}

const types = (effects: readonly MachineEffect[]) => effects.map(({ type }) => type);

test('same state, input and time, same result; the state given is not touched', () => {
  const { state } = new Driver();
  const frozen = Object.freeze({ ...state });
  const at = { nowMs: START, jitter: 0.5 };
  expect(step(frozen, { type: 'frame' }, at)).toEqual(step(frozen, { type: 'frame' }, at));
  expect(frozen).toEqual(state);
});

test('a machine with nothing to do has no deadline', () => {
  expect(nextDeadlineMs(new Driver().state)).toBe(Number.POSITIVE_INFINITY);
});

describe('attempts', () => {
  test.each([0, 0.5, 0.999])('retries come early, then after the timeout, and %f of a third or of 333 ms', (jitter) => {
    const driver = new Driver();
    driver.jitter = jitter;
    expect(types(driver.put({ type: 'frame' }))).toEqual(['initiate']);
    for (const pause of [250, 500, 500, 1_000, 2_000, 5_000, 5_000, 5_000]) {
      const retryAtMs = driver.nowMs + pause + jitter * Math.min(333, pause / 3);
      expect(nextDeadlineMs(driver.state)).toBe(retryAtMs);
      driver.nowMs = retryAtMs;
      expect(types(driver.put({ type: 'timer' }))).toEqual(['initiate']);
    }
  });

  test.each<[string, (driver: Driver) => readonly MachineEffect[]]>([
    [
      'a rekey',
      (driver) => {
        driver.nowMs += 5_000;
        return driver.put({ type: 'rekey-due', localId: 1n });
      },
    ],
    [
      'a silent peer',
      (driver) => {
        const sent = { txLastMs: driver.nowMs + 2, txDataLastMs: driver.nowMs + 2 };
        driver.nowMs += 15_002;
        return driver.snapshot([session(1n, { initiator: true, current: true, rxLastMs: 1, ...sent })]);
      },
    ],
  ])('while a session is in use, each initiation of %s gets the whole timeout', (_, begin) => {
    const driver = new Driver().established();
    expect(types(begin(driver))).toContain('initiate');
    const begun = driver.nowMs - START;
    expect(driver.initiationsIn(15_000)).toEqual([begun + 5_000, begun + 10_000, begun + 15_000]);
  });

  test('of an expired session are as early as without one', () => {
    const driver = new Driver().established();
    driver.nowMs += 3_600_000;
    const begun = driver.nowMs - START;
    expect(types(driver.put({ type: 'frame' }))).toContain('initiate');
    expect(driver.initiationsIn(1_000)).toEqual([begun + 250, begun + 750]);
  });

  test('that a keepalive makes singly, after a vain one, wait for the answer as long as the timeout', () => {
    const driver = new Driver({ keepaliveMs: 25_000 });
    expect(types(driver.wait(94_250))).toContain('gave-up');
    expect(types(driver.wait(25_000))).toEqual(['initiate']);
    expect(types(driver.wait(4_999))).toEqual([]);
    const { sequence } = driver.state;
    expect(types(driver.put({ type: 'response', sequence, localId: 5n }))).toContain('install');
  });

  test("follow the cluster's timeout", () => {
    const driver = new Driver({ handshakeTimeoutMs: 700 });
    driver.put({ type: 'frame' });
    expect(driver.initiationsIn(7_100)).toEqual([
      250, 750, 1_250, 1_950, 2_650, 3_350, 4_050, 4_750, 5_450, 6_150, 6_850,
    ]);
  });

  test('number their tries from 0, so that endpoints take turns', () => {
    const driver = new Driver();
    const effects = [...driver.put({ type: 'frame' }), ...driver.wait(10_000)];
    expect(effects).toEqual([0, 1, 2, 3, 4, 5, 6].map((tries) => ({ type: 'initiate', sequence: tries + 1, tries })));
  });

  test('one frame after another starts no second attempt, but keeps the first from giving up', () => {
    const driver = new Driver();
    driver.put({ type: 'frame' });
    for (let second = 0; second < 200; second++) {
      expect(types(driver.put({ type: 'frame' }))).toEqual([]);
      expect(types(driver.wait(1_000))).not.toContain('gave-up');
    }
    expect(types(driver.wait(100_000))).toContain('gave-up');
  });

  test('a frame that comes after the end of an attempt waits for the handshake timeout', () => {
    const driver = new Driver();
    driver.put({ type: 'frame' });
    driver.wait(1_000);
    driver.put({ type: 'lost', localId: 9n });
    driver.put({ type: 'removed' });
    expect(types(driver.put({ type: 'frame' }))).toEqual([]);
    expect(types(driver.wait(4_749))).toEqual([]); // the last one left 750 ms after the start
    expect(types(driver.wait(1))).toEqual(['initiate']);
  });

  test.each([1, 2])('an answer to initiation %i of two is welcome, and ends the attempt', (sequence) => {
    const driver = new Driver();
    driver.put({ type: 'frame' });
    expect(types(driver.wait(250))).toEqual(['initiate']);
    expect(driver.put({ type: 'response', sequence: 3, localId: 5n })).toEqual([]);
    expect(types(driver.put({ type: 'response', sequence, localId: 6n }))).toEqual(
      expect.arrayContaining(['abandon', 'install']),
    );
    for (const late of [1, 2]) expect(driver.put({ type: 'response', sequence: late, localId: 7n })).toEqual([]);
  });

  test('the only initiations of a turn are made in turns of their own', () => {
    const driver = new Driver({ keepaliveMs: 25_000 });
    driver.wait(100_000);
    const tries = driver.wait(150_000).flatMap((effect) => (effect.type === 'initiate' ? [effect.tries] : []));
    expect(tries).toEqual([1, 2, 3, 4, 5]);
    driver.put({ type: 'frame' });
    driver.wait(5_000);
    expect(driver.put({ type: 'response', sequence: driver.state.sequence, localId: 9n })).not.toEqual([]);
    expect(driver.state.vain).toBe(0);
  });
});

describe('an answered initiation', () => {
  test('proves the address, installs, confirms by a keepalive, and only then sends what waits', () => {
    const driver = new Driver();
    driver.put({ type: 'frame' });
    expect(types(driver.put({ type: 'response', sequence: 1, localId: 5n }))).toEqual([
      'abandon',
      'endpoint',
      'install',
      'keepalive',
      'flush',
      'established',
    ]);
  });

  test('repeats the keepalive four times, unless the responder shows that it has the session', () => {
    const driver = new Driver();
    driver.put({ type: 'frame' });
    driver.put({ type: 'response', sequence: 1, localId: 5n });
    driver.put({ type: 'installed', localId: 5n });
    const silent = session(5n, { initiator: true, current: true });
    const at: number[] = [];
    for (let round = 0; round < 200; round++) {
      const polled = driver.wait(100).some(({ type }) => type === 'poll');
      if (polled && types(driver.snapshot([silent])).includes('keepalive')) at.push(driver.nowMs - START);
    }
    expect(at).toEqual([500, 1_500, 3_500, 7_500]);
  });

  test('nobody who shows to have it: a new handshake', () => {
    const driver = new Driver();
    driver.put({ type: 'frame' });
    driver.put({ type: 'response', sequence: 1, localId: 5n });
    driver.put({ type: 'installed', localId: 5n });
    driver.nowMs += 15_000;
    expect(types(driver.snapshot([session(5n, { initiator: true, current: true })]))).toContain('initiate');
  });
});

describe('an answer at an endpoint that was called', () => {
  test('changes nothing while a session is known to be alive', () => {
    const driver = new Driver().established();
    const before = driver.state;
    driver.nowMs += 24_000;
    expect(driver.put({ type: 'called', localId: 5n })).toEqual([]);
    expect(driver.state).toBe(before);
  });

  test('becomes the session where none shows life, and ends whatever was being tried', () => {
    const silent = new Driver().established();
    silent.nowMs += 26_000;
    expect(types(silent.put({ type: 'called', localId: 5n }))).toContain('install');
    expect(silent.state.retiring.map(({ localId }) => localId)).toEqual([1n]);
    const fresh = new Driver();
    fresh.put({ type: 'frame' });
    expect(types(fresh.put({ type: 'called', localId: 5n }))).toEqual([
      'abandon',
      'endpoint',
      'install',
      'keepalive',
      'flush',
      'established',
    ]);
    expect(fresh.state.attempt).toBeUndefined();
    expect(fresh.put({ type: 'response', sequence: 1, localId: 6n })).toEqual([]);
  });
});

describe('an initiation', () => {
  const call = (localId: bigint, freshness: Freshness = 'newest'): MachineInput => ({
    type: 'initiation',
    freshness,
    localId,
  });

  test('is answered unless its time stamp was used, or is none', () => {
    const driver = new Driver();
    expect(driver.put(call(1n))).toEqual([{ type: 'respond', localId: 1n, moveEndpoint: true }]);
    driver.nowMs += 1_000;
    for (const reason of ['replayed', 'timestamp'] as const) {
      expect(driver.put(call(2n, reason))).toEqual([{ type: 'reject', reason }]);
    }
    expect(types(driver.put(call(3n)))).toEqual(['respond']);
  });

  test('is not answered more than ten times a second, and may come again then', () => {
    const driver = new Driver();
    driver.put(call(1n));
    driver.nowMs += 99;
    expect(driver.put(call(2n))).toEqual([{ type: 'reject', reason: 'rate-limited' }]);
    driver.nowMs += 1;
    expect(types(driver.put(call(2n)))).toEqual(['respond']);
  });

  test('that is late is answered, and holds up nothing that this node or a newer one wants', () => {
    const driver = new Driver({ preferred: false });
    driver.put({ type: 'frame' }); // this node calls
    expect(driver.put(call(2n, 'late'))).toEqual([{ type: 'respond', localId: 2n, moveEndpoint: false }]);
    expect(driver.state.attempt?.pending).toBe(1);
    driver.nowMs += 1;
    expect(driver.put(call(3n, 'late'))).toEqual([{ type: 'reject', reason: 'rate-limited' }]);
    expect(types(driver.put(call(4n)))).toEqual(['abandon', 'respond']);
  });

  test('that is late waits until the session of an earlier one is confirmed or gone, and is confirmed as any', () => {
    const driver = new Driver();
    driver.put(call(1n));
    driver.put({ type: 'installed', localId: 1n });
    driver.nowMs += 4_000;
    expect(driver.put(call(2n, 'late'))).toEqual([{ type: 'reject', reason: 'rate-limited' }]);
    driver.nowMs += 1_000;
    driver.wait(0);
    driver.snapshot([session(1n, { unconfirmed: true })]);
    expect(types(driver.put(call(3n, 'late')))).toEqual(['respond']);
    driver.put({ type: 'installed', localId: 3n });
    expect(types(driver.put({ type: 'confirmed', localId: 3n }))).toContain('established');
  });

  describe.each([
    [5_000, 5_000],
    [60_000, 60_000],
    [100, 2_000],
  ])('whose session is never used, with a handshakeTimeout of %i ms', (handshakeTimeoutMs, endsMs) => {
    test(`is forgotten after ${endsMs} ms`, () => {
      const driver = new Driver({ handshakeTimeoutMs });
      driver.put(call(1n));
      driver.put({ type: 'installed', localId: 1n });
      const removedMs: number[] = [];
      while (nextDeadlineMs(driver.state) < Number.POSITIVE_INFINITY) {
        const due = driver.wait(nextDeadlineMs(driver.state) - driver.nowMs);
        const asked = due.some(({ type }) => type === 'poll')
          ? driver.snapshot([session(1n, { unconfirmed: true })])
          : [];
        if (asked.some(({ type }) => type === 'remove')) removedMs.push(driver.nowMs - START);
      }
      expect(removedMs).toEqual([endsMs]);
    });

    test('is confirmed instead where the data plane says so at that moment, and nobody told', () => {
      const driver = new Driver({ handshakeTimeoutMs });
      driver.put(call(1n));
      driver.put({ type: 'installed', localId: 1n });
      while (driver.nowMs < START + endsMs) {
        driver.wait(nextDeadlineMs(driver.state) - driver.nowMs);
        const used = driver.nowMs >= START + endsMs;
        driver.snapshot([session(1n, used ? { current: true, rxPackets: 1n } : { unconfirmed: true })]);
      }
      expect(driver.state.current?.localId).toBe(1n);
    });
  });

  test('is answered though the data plane never took the one before, which is forgotten as well', () => {
    const driver = new Driver();
    driver.put(call(1n));
    expect(driver.wait(5_000)).toContainEqual({ type: 'remove', localId: 1n });
    expect(types(driver.put(call(2n, 'late')))).toEqual(['respond']);
  });

  test('that is repeated after the timeout finds the answers to both alive, each for its own time', () => {
    const driver = new Driver();
    driver.put(call(1n));
    driver.put({ type: 'installed', localId: 1n });
    driver.nowMs += 4_900;
    driver.put(call(2n));
    driver.put({ type: 'installed', localId: 2n });
    expect(slotsOf(driver.state).map(({ localId }) => localId)).toEqual([2n, 1n]);
    driver.wait(100);
    const unused = [session(1n, { unconfirmed: true }), session(2n, { unconfirmed: true })];
    expect(driver.snapshot(unused)).toContainEqual({ type: 'remove', localId: 1n });
    expect(types(driver.put({ type: 'confirmed', localId: 2n }))).toContain('established');
  });

  test('does not move the endpoint of a session that is alive', () => {
    const driver = new Driver().established();
    expect(driver.put(call(2n))).toEqual([{ type: 'respond', localId: 2n, moveEndpoint: false }]);
    driver.nowMs += 25_001;
    expect(driver.put(call(3n))).toMatchObject([{ type: 'respond', localId: 3n, moveEndpoint: true }]);
  });

  test('of several that were answered an earlier one may be used: that is no crossing with an old session of ours', () => {
    const driver = new Driver({ preferred: true }).established();
    driver.nowMs += 30_000;
    driver.put(call(2n));
    driver.nowMs += 250;
    driver.put(call(3n));
    expect(types(driver.put({ type: 'confirmed', localId: 2n }))).toContain('established');
    expect(driver.state.attempt).toBeUndefined();
  });

  test('that crosses ours: the preferred end goes on, the other yields and asks later', () => {
    for (const preferred of [true, false]) {
      const driver = new Driver({ preferred });
      driver.put({ type: 'frame' });
      expect(types(driver.put(call(2n)))).toEqual(preferred ? ['respond'] : ['abandon', 'respond']);
      const answered = driver.put({ type: 'response', sequence: 1, localId: 3n });
      expect(types(answered).includes('install')).toBe(preferred);
    }
    const driver = new Driver({ preferred: false });
    driver.put({ type: 'frame' });
    driver.nowMs += 3_000;
    driver.put(call(2n));
    expect(types(driver.wait(4_999))).toEqual([]);
    expect(types(driver.wait(100))).toContain('initiate');
  });

  test('confirmed ends our own asking, in both roles', () => {
    for (const preferred of [true, false]) {
      const driver = new Driver({ preferred });
      driver.put({ type: 'frame' });
      driver.put(call(2n));
      driver.put({ type: 'installed', localId: 2n });
      expect(types(driver.put({ type: 'confirmed', localId: 2n }))).toEqual([
        ...(preferred ? ['abandon'] : []),
        'endpoint',
        'keepalive',
        'flush',
        'established',
      ]);
      expect(types(driver.wait(20_000))).not.toContain('initiate');
    }
  });
});

describe('previous sessions', () => {
  /** Session 1 was replaced by 2, which we initiated as well. */
  function rekeyed(): Driver {
    const driver = new Driver().established(1n);
    driver.nowMs += 120_000;
    driver.put({ type: 'rekey-due', localId: 1n });
    driver.put({ type: 'response', sequence: driver.state.sequence, localId: 2n });
    driver.put({ type: 'installed', localId: 2n });
    return driver;
  }
  const removed = (effects: readonly MachineEffect[]) => effects.filter(({ type }) => type === 'remove');

  test('stay until the new one is proven, then for a grace period without traffic', () => {
    const driver = rekeyed();
    const old = session(1n, { initiator: true, rxPackets: 5n, rxLastMs: driver.nowMs });
    const fresh = session(2n, { initiator: true, current: true });
    driver.nowMs += 14_000;
    expect(removed(driver.snapshot([fresh, old]))).toEqual([]);
    const proven = { ...fresh, rxPackets: 1n, rxLastMs: driver.nowMs };
    driver.snapshot([proven, old]);
    driver.nowMs += 9_999;
    expect(removed(driver.snapshot([proven, old]))).toEqual([]);
    driver.nowMs += 1;
    expect(removed(driver.snapshot([proven, old]))).toEqual([{ type: 'remove', localId: 1n }]);
  });

  test('stay as long as the peer sends on them', () => {
    const driver = rekeyed();
    const proven = session(2n, { initiator: true, current: true, rxPackets: 1n, rxLastMs: driver.nowMs });
    for (let second = 0; second < 60; second++) {
      driver.nowMs += 1_000;
      const old = session(1n, { initiator: true, rxPackets: 5n, rxLastMs: driver.nowMs });
      expect(removed(driver.snapshot([proven, old]))).toEqual([]);
    }
    driver.nowMs += 10_000;
    const old = session(1n, { initiator: true, rxPackets: 5n, rxLastMs: driver.nowMs - 10_000 });
    expect(removed(driver.snapshot([proven, old]))).toEqual([{ type: 'remove', localId: 1n }]);
  });

  test('are never more than two', () => {
    const driver = new Driver().established(1n);
    const gone: MachineEffect[] = [];
    for (let id = 2n; id < 10n; id++) {
      driver.nowMs += 6_000;
      driver.put({ type: 'rekey-due', localId: id - 1n });
      gone.push(...removed(driver.put({ type: 'response', sequence: driver.state.sequence, localId: id })));
    }
    expect(gone.map((effect) => effect.type === 'remove' && effect.localId)).toEqual([1n, 2n, 3n, 4n, 5n, 6n]);
  });
});

describe('rekey', () => {
  test("is asked for by the initiator's event only", () => {
    const driver = new Driver().established(1n);
    driver.nowMs += 120_000;
    expect(driver.put({ type: 'rekey-due', localId: 99n })).toEqual([]);
    expect(types(driver.put({ type: 'rekey-due', localId: 1n }))).toEqual(['initiate']);
    const responder = new Driver({}, [session(1n, { current: true, rxPackets: 1n })]);
    expect(responder.put({ type: 'rekey-due', localId: 1n })).toEqual([]);
  });

  test("is the initiator's job also when its event was lost, and when keepalives are all that it sends", () => {
    for (const initiator of [true, false]) {
      const driver = new Driver({}, [session(1n, { current: true, initiator, rxPackets: 1n })]);
      const sent = (txLastMs: number) =>
        session(1n, { current: true, initiator, rxPackets: 9n, rxLastMs: driver.nowMs, txLastMs });
      driver.nowMs = START + 121_000;
      expect(types(driver.snapshot([sent(START + 119_999)]))).not.toContain('initiate');
      expect(types(driver.snapshot([sent(START + 120_000)])).includes('initiate')).toBe(initiator);
    }
  });

  test('an old session that answers nothing is not trusted: whoever sends on it asks anew', () => {
    const driver = new Driver({}, [session(1n, { current: true, rxPackets: 1n })]);
    driver.nowMs = START + 180_000;
    const sending = (txLastMs: number, rxLastMs: number) =>
      session(1n, { current: true, rxPackets: 1n, rxLastMs, txLastMs });
    expect(types(driver.snapshot([sending(START + 179_999, START)]))).not.toContain('initiate');
    expect(types(driver.snapshot([sending(START + 180_000, START + 120_001)]))).not.toContain('initiate');
    driver.nowMs += 1;
    expect(types(driver.snapshot([sending(START + 180_000, START + 120_001)]))).toContain('initiate');
  });
});

describe('liveness', () => {
  const at = (driver: Driver, changes: Partial<SessionState>) =>
    types(driver.snapshot([session(1n, { initiator: true, current: true, rxPackets: 9n, ...changes })]));

  test('received and nothing sent for 10 s: an empty datagram, once', () => {
    const driver = new Driver().established();
    driver.nowMs += 60_000;
    const changes = { rxLastMs: driver.nowMs, rxDataLastMs: driver.nowMs, txLastMs: driver.nowMs - 9_999 };
    expect(at(driver, changes)).not.toContain('keepalive');
    driver.nowMs += 1;
    expect(at(driver, changes)).toContain('keepalive');
    expect(at(driver, changes)).not.toContain('keepalive');
  });

  test('a received keepalive is not answered by one', () => {
    const driver = new Driver().established();
    driver.nowMs += 60_000;
    expect(at(driver, { rxLastMs: driver.nowMs, txLastMs: START })).not.toContain('keepalive');
  });

  test('sent and nothing received for 15 s: a handshake', () => {
    const driver = new Driver().established();
    driver.nowMs += 20_000;
    const sent = driver.nowMs;
    expect(at(driver, { txLastMs: sent, txDataLastMs: sent })).not.toContain('initiate');
    driver.nowMs += 14_999;
    expect(at(driver, { txLastMs: sent, txDataLastMs: sent })).not.toContain('initiate');
    driver.nowMs += 1;
    expect(at(driver, { txLastMs: sent, txDataLastMs: sent })).toContain('initiate');
  });

  test('an answer, be it empty, settles it', () => {
    const driver = new Driver().established();
    driver.nowMs += 20_000;
    const sent = driver.nowMs;
    at(driver, { txLastMs: sent, txDataLastMs: sent });
    driver.nowMs += 20_000;
    expect(at(driver, { txLastMs: sent, txDataLastMs: sent, rxLastMs: sent + 10_000 })).not.toContain('initiate');
  });

  test('a persistent keepalive is sent when nothing else was', () => {
    const driver = new Driver({ keepaliveMs: 20_000 }).established();
    driver.nowMs += 60_000;
    const changes = { txLastMs: driver.nowMs - 19_999 };
    expect(at(driver, changes)).not.toContain('keepalive');
    driver.nowMs += 1;
    expect(at(driver, changes)).toContain('keepalive');
    expect(at(driver, changes)).not.toContain('keepalive');
    expect(driver.state.pollAtMs).toBeLessThanOrEqual(driver.nowMs + 20_000);
  });

  test('idle sessions are looked at every 10 s, together with others', () => {
    const driver = new Driver().established();
    let polls = 0;
    for (let second = 0; second < 100; second++) {
      const due = driver.wait(1_000).filter(({ type }) => type === 'poll');
      polls += due.length;
      if (due.length > 0) at(driver, { rxLastMs: START });
    }
    expect(polls).toBeGreaterThanOrEqual(9);
    expect(polls).toBeLessThanOrEqual(13);
    expect(driver.state.pollAtMs % 250).toBe(0);
  });
});

describe('what the data plane says', () => {
  test('a snapshot from before a change of slots does not turn it back', () => {
    const driver = new Driver().established(1n);
    const asked = driver.state.generation;
    driver.put({ type: 'initiation', freshness: 'newest', localId: 2n });
    driver.put({ type: 'installed', localId: 2n });
    driver.put({ type: 'confirmed', localId: 2n });
    const late = [session(1n, { initiator: true, current: true, rxPackets: 1n }), session(2n, { unconfirmed: true })];
    expect(types(driver.snapshot(late, asked))).not.toContain('established');
    expect(driver.state.current?.localId).toBe(2n);
  });

  test('a confirmation that nobody told of is found', () => {
    const driver = new Driver().established(1n);
    driver.put({ type: 'initiation', freshness: 'newest', localId: 2n });
    driver.put({ type: 'installed', localId: 2n });
    const effects = driver.snapshot([
      session(1n, { initiator: true, rxPackets: 1n }),
      session(2n, { current: true, rxPackets: 1n }),
    ]);
    expect(types(effects)).toContain('established');
    expect(driver.state.current?.localId).toBe(2n);
  });

  test('a session that is not there any more is replaced if somebody waits', () => {
    const driver = new Driver().established(1n);
    driver.nowMs += 10_000;
    driver.put({ type: 'frame' });
    const effects = driver.put({ type: 'snapshot', generation: driver.state.generation, asked: [1n], sessions: [] });
    expect(types(effects)).toEqual(['initiate']);
    expect(driver.state.current).toBeUndefined();
  });

  test('a frame on a session that is there is sent again, at a bounded rate', () => {
    const driver = new Driver().established(1n);
    driver.nowMs += 1_000;
    const there = [session(1n, { initiator: true, current: true, rxPackets: 1n, rxLastMs: START })];
    let flushes = 0;
    for (let ms = 0; ms < 1_000; ms++) {
      driver.put({ type: 'frame' }); // it comes back every time
      const polled = driver.wait(1).some(({ type }) => type === 'poll');
      if (polled && types(driver.snapshot(there)).includes('flush')) flushes++;
    }
    expect(flushes).toBeGreaterThanOrEqual(9);
    expect(flushes).toBeLessThanOrEqual(11);
  });

  test('what cannot be read is asked again later', () => {
    const driver = new Driver().established(1n);
    driver.wait(60_000);
    const effects = driver.put({ type: 'snapshot', generation: driver.state.generation, asked: [], sessions: [] });
    expect(effects).toEqual([]);
    expect(driver.state.current?.localId).toBe(1n);
    expect(nextDeadlineMs(driver.state)).toBe(driver.nowMs + 5_000);
  });
});

describe('adoption', () => {
  test('an initiation does not move the endpoint of a session that was alive a moment ago', () => {
    const driver = new Driver({}, [session(1n, { current: true, rxPackets: 1n, rxLastMs: START - 5_000 })]);
    expect(driver.put({ type: 'initiation', freshness: 'newest', localId: 2n })).toEqual([
      { type: 'respond', localId: 2n, moveEndpoint: false },
    ]);
  });

  test('takes each session for what it is, and asks how they are', () => {
    const driver = new Driver({}, [
      session(1n, { current: true, initiator: true, rxPackets: 4n }),
      session(2n, { unconfirmed: true }),
      session(3n, { rxPackets: 1n }),
    ]);
    expect(driver.state).toMatchObject({
      current: { localId: 1n, initiator: true, proven: true },
      next: { localId: 2n },
      retiring: [{ localId: 3n }],
    });
    expect(driver.wait(0)).toMatchObject([{ type: 'poll', ids: [1n, 2n, 3n] }]);
  });

  test('leaves a keepalive nothing to establish', () => {
    const adopted = new Driver({ keepaliveMs: 25_000 }, [session(1n, { current: true, rxPackets: 1n })]);
    expect(types(adopted.wait(0))).toEqual(['poll']);
    expect(types(new Driver({ keepaliveMs: 25_000 }).wait(0))).toEqual(['initiate']);
  });
});

test('a removed peer leaves nothing behind', () => {
  const driver = new Driver({ keepaliveMs: 25_000 }).established(1n);
  driver.put({ type: 'initiation', freshness: 'newest', localId: 2n });
  driver.put({ type: 'rekey-due', localId: 1n });
  const effects = driver.put({ type: 'removed' });
  expect(effects.filter(({ type }) => type === 'remove')).toHaveLength(2);
  expect(types(effects)).toContain('discard');
  expect(nextDeadlineMs(driver.state)).toBe(Number.POSITIVE_INFINITY);
});

test('a session that somebody deleted from the data plane is replaced at once; one that was retiring is just forgotten', () => {
  const driver = new Driver().established(1n);
  driver.wait(10_000);
  const effects = driver.put({ type: 'vanished', ids: [1n] });
  expect(types(effects)).toContain('initiate');
  expect(driver.state.current).toBeUndefined();
  expect(types(driver.put({ type: 'vanished', ids: [1n] }))).toEqual([]);

  const renewed = new Driver().established(1n);
  renewed.wait(10_000);
  renewed.put({ type: 'rekey-due', localId: 1n });
  renewed.put({ type: 'response', sequence: renewed.state.sequence, localId: 2n });
  renewed.put({ type: 'installed', localId: 2n });
  expect(types(renewed.put({ type: 'vanished', ids: [1n] }))).not.toContain('initiate');
  expect(renewed.state.current?.localId).toBe(2n);
});
