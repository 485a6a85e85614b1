import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { askBusy, type BusyAnswer, type BusyHook } from '../../../src/agent/busy.ts';
import { Gates } from '../../../src/agent/gates.ts';
import { isOpen, isTimeZone, nextOpening, type Window } from '../../../src/agent/windows.ts';

const at = (text: string): number => Date.parse(text);
const minutes = (text: string): number => Number(text.slice(0, 2)) * 60 + Number(text.slice(3));
function window(from: string, to: string, timeZone = 'UTC', days?: readonly number[]): Window {
  return { from: minutes(from), to: minutes(to), timeZone, ...(days === undefined ? {} : { days }) };
}

describe('a window', () => {
  const night = window('22:00', '05:00', 'Europe/Berlin', [1, 2, 3, 4, 5]); // Mon to Fri
  it.each([
    ['the minute before', '2026-03-02T20:59:59.999Z', false],
    ['the minute it opens', '2026-03-02T21:00:00Z', true],
    ['midnight', '2026-03-02T23:00:00Z', true],
    ['the last minute, on the next day', '2026-03-03T03:59:59.999Z', true],
    ['the minute it closes', '2026-03-03T04:00:00Z', false],
    ['the morning of a day before which it did not open', '2026-03-02T02:00:00Z', false],
    ['the morning after the last day', '2026-03-07T02:00:00Z', true],
    ['the evening of that day', '2026-03-07T22:00:00Z', false],
  ])('that crosses midnight: %s', (_, time, open) => {
    expect(isOpen(night, at(time))).toBe(open);
  });

  it('of a whole day has no edge at midnight', () => {
    for (const time of ['2026-03-02T00:00:00Z', '2026-03-02T23:59:59Z']) {
      expect(isOpen(window('00:00', '24:00'), at(time))).toBe(true);
    }
    expect(isOpen(window('00:00', '24:00', 'UTC', [2]), at('2026-03-02T23:59:59Z'))).toBe(false);
    expect(isOpen(window('00:00', '24:00', 'UTC', [2]), at('2026-03-03T00:00:00Z'))).toBe(true);
  });

  it('follows the wall clock of its zone into summer and back', () => {
    const early = window('02:30', '03:30', 'Europe/Berlin');
    // On 29 March 2026 the clock goes from 01:59 to 03:00: half an hour of it is left.
    expect(isOpen(early, at('2026-03-29T00:59:00Z'))).toBe(false);
    expect(isOpen(early, at('2026-03-29T01:00:00Z'))).toBe(true);
    expect(isOpen(early, at('2026-03-29T01:30:00Z'))).toBe(false);
    // On 25 October 2026 the hour from 02:00 comes twice: it opens, closes, opens.
    const open = ['00:29', '00:30', '00:59', '01:00', '01:29', '01:30', '02:29', '02:30'].map((time) =>
      isOpen(early, at(`2026-10-25T${time}:00Z`)),
    );
    expect(open).toEqual([false, true, true, false, false, true, true, false]);
  });

  it('knows zones far from Greenwich, days included', () => {
    const monday = window('00:00', '01:00', 'Pacific/Kiritimati', [1]); // UTC+14
    expect(isOpen(monday, at('2026-03-01T10:30:00Z'))).toBe(true);
    const chatham = window('00:00', '00:15', 'Pacific/Chatham'); // UTC+13:45 in March
    expect(isOpen(chatham, at('2026-03-01T10:15:00Z'))).toBe(true);
    expect(isOpen(chatham, at('2026-03-01T10:14:59Z'))).toBe(false);
    expect([isTimeZone('Pacific/Chatham'), isTimeZone('Mars/Base'), isTimeZone('')]).toEqual([true, false, false]);
  });

  it('is right before 1970, where a robot without a clock may be', () => {
    expect(isOpen(window('23:00', '24:00'), at('1969-12-31T23:30:00Z'))).toBe(true);
  });

  it.each([
    ['later today', [night], '2026-03-02T12:00:00Z', '2026-03-02T21:00:00Z'],
    ['after the weekend', [night], '2026-03-07T05:00:00Z', '2026-03-09T21:00:00Z'],
    ['the first of several', [night, window('06:00', '07:00')], '2026-03-02T05:00:00Z', '2026-03-02T06:00:00Z'],
    ['a week from now', [window('12:00', '12:01', 'UTC', [1])], '2026-03-02T12:01:00Z', '2026-03-09T12:00:00Z'],
    [
      'over the change to summer time',
      [window('22:00', '23:00', 'Europe/Berlin')],
      '2026-03-28T22:30:00Z',
      '2026-03-29T20:00:00Z',
    ],
    [
      'at the end of a skipped hour',
      [window('02:30', '03:30', 'Europe/Berlin')],
      '2026-03-28T12:00:00Z',
      '2026-03-29T01:00:00Z',
    ],
    [
      'on the day after, where all of it is skipped',
      [window('02:15', '02:45', 'Europe/Berlin')],
      '2026-03-28T12:00:00Z',
      '2026-03-30T00:15:00Z',
    ],
    [
      'for the second time',
      [window('02:30', '02:45', 'Europe/Berlin')],
      '2026-10-25T00:45:00Z',
      '2026-10-25T01:30:00Z',
    ],
  ])('opens next: %s', (_, windows, now, next) => {
    expect(new Date(nextOpening(windows, at(now)) ?? Number.NaN).toISOString()).toBe(new Date(next).toISOString());
  });
});

describe('the busy hook', () => {
  let folder: string;
  let server: Server | undefined;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'omni-busy-'));
  });
  afterEach(async () => {
    await new Promise<void>((done) => (server === undefined ? done() : server.close(() => done())));
    server = undefined;
    rmSync(folder, { recursive: true, force: true });
  });

  function script(body: string): readonly string[] {
    const path = join(folder, 'hook');
    writeFileSync(path, `#!/bin/sh\n${body}\n`, { mode: 0o755 });
    return [path];
  }
  function command(body: string, changes: { timeoutMs?: number; onError?: 'busy' | 'free' } = {}): BusyHook {
    return { kind: 'command', command: script(body), timeoutMs: 5_000, onError: 'busy', ...changes };
  }
  async function gone(pidFile: string): Promise<boolean> {
    const pid = Number(readFileSync(pidFile, 'utf8'));
    for (let tries = 0; tries < 200; tries += 1) {
      const state = existsSync(`/proc/${pid}/stat`) ? readFileSync(`/proc/${pid}/stat`, 'utf8') : '';
      if (state === '' || state.includes(') Z ')) return true;
      await sleep(10);
    }
    return false;
  }

  function ask(hook: BusyHook, signal = new AbortController().signal): Promise<BusyAnswer> {
    return askBusy(hook, signal);
  }

  it('is free at exit code 0, whatever it prints', async () => {
    expect(await ask(command('echo busy'))).toMatchObject({ busy: false, failed: false });
  });

  it.each([
    ['with a reason', 'echo "mission 7"; echo more; exit 1', 'busy: mission 7'],
    ['without one', 'exit 75', 'busy, by the busy hook'],
    ['with what no terminal should see', `printf 'a\\033[2Jb\\r\\n'; exit 1`, 'busy: a [2Jb'],
    ['with more than anybody reads', 'yes x | tr -d "\\n" | head -c 3000000; exit 1', `busy: ${'x'.repeat(200)}`],
    ['with bytes that are no text', `printf '\\377\\n'; exit 1`, 'busy: \uFFFD'],
  ])('is busy at another one, %s', async (_, body, message) => {
    expect(await ask(command(body))).toEqual({ busy: true, message, failed: false });
  });

  it('is run without a shell, from /, with nothing of the agent’s environment', async () => {
    process.env.OMNI_SECRET_OF_A_TEST = 'x';
    const hook = command('echo "$# $1 $(pwd) $OMNI_SECRET_OF_A_TEST$HOME"; exit 1');
    const answer = await ask({
      ...hook,
      ...(hook.kind === 'command' ? { command: [...hook.command, '$(id)'] } : {}),
    });
    delete process.env.OMNI_SECRET_OF_A_TEST;
    expect(answer.message).toBe('busy: 1 $(id) /');
  });

  it.each(['busy', 'free'] as const)('that gives no answer is %s, as the configuration has it', async (onError) => {
    const missing: BusyHook = { kind: 'command', command: ['/nowhere/hook'], timeoutMs: 5_000, onError };
    expect(await ask(missing)).toMatchObject({ busy: onError === 'busy', failed: true });
    expect(await ask(command('kill -9 $$', { onError }))).toMatchObject({ busy: onError === 'busy', failed: true });
  });

  it('that takes too long is killed with its children', async () => {
    const pids = join(folder, 'pid');
    const answer = await ask(command(`sleep 600 & echo $! > ${pids}; wait`, { timeoutMs: 500 }));
    expect(answer).toMatchObject({ busy: true, failed: true, message: expect.stringContaining('longer than 500 ms') });
    expect(await gone(pids)).toBe(true);
  });

  it('is killed with its children when the agent ends', async () => {
    const pids = join(folder, 'pid');
    const end = new AbortController();
    const asked = ask(command(`sleep 600 & echo $! > ${pids}; wait`, { timeoutMs: 60_000 }), end.signal);
    await vi.waitFor(() => expect(readFileSync(pids, 'utf8')).toMatch(/\d\n/), { timeout: 5_000, interval: 10 });
    end.abort();
    expect(await asked).toMatchObject({ busy: true, failed: true });
    expect(await gone(pids)).toBe(true);
  });

  it('that leaves children behind is answered, and they go', async () => {
    const pids = join(folder, 'pid');
    const answer = await ask(command(`sleep 600 & echo $! > ${pids}; echo mission; exit 1`));
    expect(answer.message).toBe('busy: mission');
    expect(await gone(pids)).toBe(true);
  });

  it('is answered though a child that left the group holds its output', async () => {
    const pids = join(folder, 'pid');
    const body = `setsid sh -c 'echo $$ > ${pids}; exec sleep 600' & while [ ! -s ${pids} ]; do sleep 0.01; done; echo mission; exit 1`;
    const answer = await ask(command(body, { timeoutMs: 1_000 }));
    process.kill(Number(readFileSync(pids, 'utf8')), 'SIGKILL');
    expect(answer).toEqual({ busy: true, message: 'busy: mission', failed: false });
  });

  function listen(answer: (socket: Socket) => void): Promise<BusyHook> {
    const path = join(folder, 'busy.sock');
    server = createServer(answer);
    return new Promise((resolve) =>
      server?.listen(path, () => resolve({ kind: 'socket', path, timeoutMs: 500, onError: 'busy' })),
    );
  }

  it.each([
    ['free', 'free\n', { busy: false, failed: false }],
    ['busy', 'busy docking\nfree\n', { busy: true, failed: false, message: 'busy: docking' }],
    ['busy without a reason or a line end', 'busy', { busy: true, failed: false, message: 'busy, by the busy hook' }],
    ['another word', 'perhaps\n', { busy: true, failed: true }],
    ['nothing', '', { busy: true, failed: true }],
    ['a flood', 'x'.repeat(1_000_000), { busy: true, failed: true }],
  ])('on a socket: %s', async (_, text, expected) => {
    const hook = await listen((socket) => socket.on('error', () => undefined).end(text));
    expect(await ask(hook)).toMatchObject(expected);
  });

  it('on a socket that says nothing, and on one that is not there', async () => {
    const hook = await listen((socket) => socket.on('error', () => undefined).resume());
    expect(await ask(hook)).toMatchObject({ busy: true, failed: true, message: expect.stringContaining('500 ms') });
    expect(await ask({ ...hook, kind: 'socket', path: '/nowhere', onError: 'free' })).toMatchObject({
      busy: false,
      failed: true,
    });
  });

  describe('behind the gates', () => {
    const signal = new AbortController().signal;

    it('is asked once a second at most, and again later', async () => {
      let asked = 0;
      const busy = await listen((socket) => socket.end(asked++ < 1 ? 'busy one\n' : 'free\n'));
      let now = 0;
      const gates = new Gates({ windows: [], busy, wall: () => 0, now: () => now });
      const closed = { open: false, reason: 'Busy', message: 'busy: one', recheckMs: 5_000 };
      expect(await Promise.all([gates.check(signal), gates.check(signal)])).toEqual([closed, closed]);
      now = 999;
      expect(await gates.check(signal)).toEqual(closed);
      expect(asked).toBe(1);
      now = 1_000;
      expect(await gates.check(signal)).toEqual({ open: true });
    });

    it('is not asked outside the windows', async () => {
      let asked = 0;
      const busy = await listen((socket) => {
        asked += 1;
        socket.end('free\n');
      });
      let wall = at('2026-03-02T11:59:00Z');
      const gates = new Gates({ windows: [window('12:00', '13:00')], busy, wall: () => wall, now: () => 0 });
      expect(await gates.check(signal)).toEqual({
        open: false,
        reason: 'OutsideWindow',
        message: 'outside the windows for changes; the next one opens at 2026-03-02T12:00:00.000Z',
        recheckMs: 60_000,
      });
      expect(asked).toBe(0);
      wall += 60_000;
      expect(await gates.check(signal)).toEqual({ open: true });
      expect(asked).toBe(1);
    });

    it('looks at the clock every ten minutes while a window is far: clocks are set', async () => {
      const wall = (): number => at('2026-03-02T01:00:00Z');
      const gates = new Gates({ windows: [window('12:00', '13:00')], wall, now: () => 0 });
      expect(await gates.check(signal)).toMatchObject({ recheckMs: 600_000 });
    });

    it('are closed while the clock was never set, and asked again soon', async () => {
      let wall = at('1970-01-01T12:30:00Z');
      const gates = new Gates({ windows: [window('12:00', '13:00')], wall: () => wall, now: () => 0 });
      expect(await gates.check(signal)).toMatchObject({ open: false, reason: 'ClockNotSet', recheckMs: 10_000 });
      wall = at('2026-03-02T12:30:00Z');
      expect(await gates.check(signal)).toEqual({ open: true });
      const unbound = new Gates({ windows: [], wall: () => 0, now: () => 0 });
      expect(await unbound.check(signal)).toEqual({ open: true });
    });

    it('lets nobody wait who was told to end', async () => {
      const busy = await listen((socket) => socket.on('error', () => undefined).resume());
      const stop = new AbortController();
      const checked = new Gates({ windows: [], busy, wall: () => 0, now: () => 0 }).check(stop.signal);
      stop.abort(new Error('told to end'));
      await expect(checked).rejects.toThrow('told to end');
    });

    it('are open where nobody asks for anything', async () => {
      expect(await new Gates({ windows: [], wall: () => 0, now: () => 0 }).check(signal)).toEqual({ open: true });
    });
  });
});
