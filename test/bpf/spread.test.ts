import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { sleep } from '../../lab/shell.ts';
import { onlineCpus } from '../../src/dataplane/kernel/cpus.ts';
import {
  decodeHandoverEntry,
  encodeHandoverEntry,
  encodeSpreadEntry,
  type HandoverEntry,
  loadEntryLayout,
  OMNI_MAX_RECEIVE_CPUS,
  OMNI_MAX_SPREAD_UNDERLAYS,
  OMNI_SESSION_CPU_SHIFT,
} from '../../src/dataplane/kernel/layout.ts';
import { loadNative } from '../../src/dataplane/kernel/native.ts';
import { datagram, ethernet, sealed } from './frames.ts';
import { Lab, PORT, u64, words, XDP_DROP, XDP_REDIRECT } from './lab.ts';

/**
 * Which CPU opens a datagram, step by step: a test run hands nothing over, so a peer's row says that nothing came
 * through until a test says otherwise. Work on the queues themselves: test/netns/cores.test.ts.
 */

const MINE = '02:00:00:00:00:01';
const THEIRS = '02:00:00:00:00:02';
const PEER = 7n;
const ID = 0x8877665544332211n;
const LATER_ID = 0x1122334455667788n;
const KEY = randomBytes(32);
/** More than makes a CPU busy, whatever came before. */
const FLOOD = 300;
/** Until it is no longer, and until all that was handed over counts as done with. */
const LULL_MS = 20;
const ZERO = Buffer.alloc(4);

let lab: Lab;
beforeAll(async () => {
  lab = await Lab.open({}, ['omni_ingress', 'omni_spread']);
  const native = loadNative();
  for (const key of onlineCpus()) {
    native.setProgram({ map: join(lab.folder, 'maps', 'cpu_map'), key, program: lab.pin('omni_spread'), queue: 8 });
  }
});
afterAll(() => lab?.close());
beforeEach(() => {
  lab.clear();
  lab.setFdb(THEIRS, PEER);
  for (const id of [ID, LATER_ID]) lab.setSession(id, { peer: PEER, rxKey: words(KEY) });
  lab.map('handover_map').delete({ key: u64(PEER) });
  for (const cpu of onlineCpus())
    lab.map('load_map').update({ key: u32(cpu), value: Buffer.alloc(loadEntryLayout.size) });
  spreadOver(onlineCpus());
});

function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
}

function spreadOver(cpus: readonly number[]): void {
  const value = encodeSpreadEntry({
    count: cpus.length,
    // Test runs come from the loopback.
    underlays: 1,
    ifindexes: Array.from({ length: OMNI_MAX_SPREAD_UNDERLAYS }, () => 1),
    cpus: Array.from({ length: OMNI_MAX_RECEIVE_CPUS }, (_, at) => cpus[at] ?? 0),
  });
  lab.map('spread_map').update({ key: ZERO, value });
}

function row(): HandoverEntry | undefined {
  const value = lab.map('handover_map').lookup({ key: u64(PEER) });
  return value && decodeHandoverEntry(value);
}

/** What the relay and the CPU at the end of the way did meanwhile. */
function progress(change: Partial<Pick<HandoverEntry, 'relayed' | 'opened'>>): void {
  const before = row();
  if (before === undefined) throw new Error('the peer has no row');
  const value = encodeHandoverEntry({ ...before, ...change });
  lab.map('handover_map').update({ key: u64(PEER), value, mode: 'replace' });
}

const frame = ethernet(MINE, THEIRS, 0x88b6, randomBytes(1300));
const arriving = (id: bigint, counter: bigint) => datagram({ port: PORT, payload: sealed(KEY, id, counter, frame) });

/** Datagrams that are not authentic, of which every one is looked at; the last one's verdict, and its label. */
async function flood(id = ID) {
  const data = arriving(id, 9n);
  data[data.length - 1] = ~(data.at(-1) ?? 0) & 0xff;
  const run = await lab.child.run({ pin: lab.pin('omni_ingress'), data, repeat: FLOOD });
  const ticket = run.data.readUInt32LE(8);
  return { verdict: run.retval, peer: run.data.readBigUInt64LE(0), ticket, relayed: (ticket & 1) === 1 };
}

const shownCpu = (id = ID) => (lab.session(id).flags >>> OMNI_SESSION_CPU_SHIFT) - 1;
const relayOf = ({ route }: HandoverEntry) => (route >>> 16) - 1;
const homeOf = ({ route }: HandoverEntry) => (route & 0xffff) - 1;

describe.skipIf(onlineCpus().length < 2)('a datagram', () => {
  it('is opened where it arrives while there is little to do', async () => {
    const { retval, data } = await lab.run('omni_ingress', arriving(ID, 1n));
    expect([retval, data]).toEqual([XDP_REDIRECT, frame]);
    expect([row(), shownCpu()]).toEqual([undefined, -1]);
  });

  it('is opened where it arrives, however much there is, if there are no CPUs to spread over', async () => {
    spreadOver([]);
    expect((await flood()).verdict).toBe(XDP_DROP);
    expect([row(), shownCpu()]).toEqual([undefined, -1]);
  });

  it('leaves a busy CPU by way of the relay, with its peer and a ticket', async () => {
    const first = await flood();
    expect(first).toMatchObject({ verdict: XDP_REDIRECT, peer: PEER, relayed: true });
    const entry = row();
    expect(entry?.handed).toBe(first.ticket - 1);
    if (entry === undefined) return;
    expect(relayOf(entry)).not.toBe(homeOf(entry));
    expect(shownCpu()).toBe(homeOf(entry));

    // As long as the relay holds any, wherever the next ones arrive.
    progress({ relayed: entry.handed - 2 });
    expect(await flood()).toMatchObject({ relayed: true, ticket: first.ticket + 2 * FLOOD });
    expect(row()?.route).toBe(entry.route);
  });

  it('goes straight to its CPU once the relay has passed everything on', async () => {
    await flood();
    const before = row();
    progress({ relayed: before?.handed ?? 0 });
    await sleep(LULL_MS);
    expect(await flood()).toMatchObject({ verdict: XDP_REDIRECT, peer: PEER, relayed: false });
    expect(row()?.route).toBe((before?.route ?? 0) & 0xffff);
  });

  it('comes back after the load, when nothing is under way any more', async () => {
    await flood();
    progress({ relayed: row()?.handed ?? 0 });
    await sleep(LULL_MS);
    const authentic = arriving(ID, 1n);
    const { data } = await lab.run('omni_ingress', authentic);
    expect([data.readBigUInt64LE(0), data.length]).toEqual([PEER, authentic.length]);
    await sleep(LULL_MS);
    expect((await lab.run('omni_ingress', authentic)).data.length).toBe(authentic.length);

    progress({ opened: row()?.handed ?? 0 });
    await sleep(LULL_MS);
    expect((await lab.run('omni_ingress', authentic)).data).toEqual(frame);
    expect([row()?.route, shownCpu()]).toEqual([0, -1]);
  });

  it('of a later session goes where those of the one before went', async () => {
    await flood();
    const { route } = row() ?? { route: 0 };
    const { ticket } = await flood(LATER_ID);
    expect([row()?.route, row()?.handed]).toEqual([route, ticket & ~1]);
    expect(shownCpu(LATER_ID)).toBe(shownCpu(ID));
  });
});
