import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { OmniEventType, OmniSessionFlags, type SessionEntry } from '../../src/dataplane/kernel/layout.ts';
import { datagram, ethernet, sealed } from './frames.ts';
import { bootTimeNs, Lab, PORT, REMOTE, words, XDP_DROP, XDP_PASS, XDP_REDIRECT } from './lab.ts';

/** The end of a session: renewed shortly before, and its keys gone after. */

const MINE = '02:00:00:00:00:01';
const THEIRS = '02:00:00:00:00:02';
const PEER = 7n;
const ID = 0x1122334455667788n;
const RX_KEY = randomBytes(32);
const TX_KEY = randomBytes(32);
const NO_KEY = new Array<number>(8).fill(0);
const SECOND = 10n ** 9n;
const LAST_CALL = 15n * SECOND;

let lab: Lab;
beforeAll(async () => {
  lab = await Lab.open();
});
afterAll(() => lab?.close());
beforeEach(() => {
  lab.clear();
  lab.setFdb(THEIRS, PEER);
  lab.setPeer(PEER, { address: REMOTE });
  lab.setSend(PEER, ID);
});

const setSession = (change: Partial<SessionEntry>) =>
  lab.setSession(ID, { peer: PEER, rxKey: words(RX_KEY), txKey: words(TX_KEY), ...change });
const arriving = (counter: bigint, text = ethernet(MINE, THEIRS, 0x88b6, randomBytes(50))) =>
  datagram({ port: PORT, payload: sealed(RX_KEY, ID, counter, text) });
const keepalive = (counter: bigint) => arriving(counter, Buffer.alloc(0));
const leaving = () => ethernet(THEIRS, MINE, 0x88b6, randomBytes(50));

describe('the keys of an expired session', () => {
  it('are wiped by the datagram that comes too late', async () => {
    setSession({ expiresNs: bootTimeNs() - 1n, txCounter: 3n, rxPackets: 4n });
    const { drops } = await lab.counted(() => lab.runAll('omni_ingress', [arriving(0n), arriving(1n)]));
    expect(drops).toEqual({ sessionExpired: 2 });
    // What was counted is still the agent's to read.
    expect(lab.session(ID)).toMatchObject({
      expiresNs: 0n,
      rxKey: NO_KEY,
      txKey: NO_KEY,
      txCounter: 3n,
      rxPackets: 4n,
    });
  });

  it('are wiped by the frame that would have gone out on it; the agent gets the frame', async () => {
    setSession({ expiresNs: bootTimeNs() - 1n });
    const { result, stats } = await lab.counted(() => lab.runAll('omni_egress', [leaving(), leaving()]));
    expect(result.map(({ retval }) => retval)).toEqual([XDP_PASS, XDP_PASS]);
    expect(stats).toEqual({ queued: 2 });
    expect(lab.session(ID)).toMatchObject({ expiresNs: 0n, rxKey: NO_KEY, txKey: NO_KEY });
  });

  it('stay while it lives', async () => {
    setSession({ expiresNs: bootTimeNs() + 60n * SECOND });
    await lab.run('omni_ingress', arriving(0n));
    await lab.run('omni_egress', leaving());
    expect(lab.session(ID)).toMatchObject({ rxKey: words(RX_KEY), txKey: words(TX_KEY), rxPackets: 1n, txCounter: 1n });
  });
});

describe('a session whose keys are being wiped', () => {
  const zeros = new Uint8Array(32);

  it.each([
    ['still there', RX_KEY, {}],
    ['gone', zeros, { rxKey: NO_KEY, txKey: NO_KEY }],
  ])('accepts nothing and sends nothing: keys %s', async (_, key, keys) => {
    setSession({ expiresNs: 0n, ...keys });
    const payload = sealed(key, ID, 0n, ethernet(MINE, THEIRS, 0x88b6, randomBytes(50)));
    const received = await lab.counted(() => lab.run('omni_ingress', datagram({ port: PORT, payload })));
    expect(received.result.retval).toBe(XDP_DROP);
    expect(received.drops).toEqual({ sessionExpired: 1 });
    const sent = await lab.counted(() => lab.run('omni_egress', leaving()));
    expect(sent.result.retval).toBe(XDP_PASS);
    expect(sent.stats).toEqual({ queued: 1 });
    expect(lab.session(ID)).toMatchObject({ rxPackets: 0n, txCounter: 0n });
  });
});

describe('the last call', () => {
  const initiator = OmniSessionFlags.initiator;
  /** Old enough to be renewed with the next datagram that is sent, but nothing is. */
  const ending = (inNs: bigint, change: Partial<SessionEntry> = {}) =>
    setSession({ flags: initiator, rekeyAfterNs: bootTimeNs() - SECOND, expiresNs: bootTimeNs() + inNs, ...change });
  const DUE = [{ type: OmniEventType.rekeyDue, sessionId: ID, peer: PEER }];

  it('a datagram that comes in shortly before the end asks for a new session, once', async () => {
    ending(LAST_CALL - SECOND);
    const events = await lab.events(async () => {
      const runs = await lab.runAll('omni_ingress', [arriving(0n), arriving(1n), keepalive(2n)]);
      expect(runs.map(({ retval }) => retval)).toEqual([XDP_REDIRECT, XDP_REDIRECT, XDP_DROP]);
    });
    expect(events).toEqual(DUE);
    expect(lab.session(ID).flags).toBe(initiator | OmniSessionFlags.rekeySent);
  });
  it('so does a keepalive', async () => {
    ending(LAST_CALL - SECOND);
    expect(await lab.events(() => lab.run('omni_ingress', keepalive(0n)))).toEqual(DUE);
  });
  it('not earlier', async () => {
    ending(LAST_CALL + 60n * SECOND);
    expect(await lab.events(() => lab.run('omni_ingress', arriving(0n)))).toEqual([]);
  });
  it('where lives are short, not before a sender would', async () => {
    ending(SECOND * 5n, { rekeyAfterNs: bootTimeNs() + 4n * SECOND });
    expect(await lab.events(() => lab.run('omni_ingress', arriving(0n)))).toEqual([]);
  });
  it('is the initiator’s business', async () => {
    ending(LAST_CALL - SECOND, { flags: 0 });
    expect(await lab.events(() => lab.run('omni_ingress', arriving(0n)))).toEqual([]);
  });
  it('is nobody’s who cannot authenticate', async () => {
    ending(LAST_CALL - SECOND);
    const forged = datagram({ port: PORT, payload: sealed(randomBytes(32), ID, 0n, Buffer.alloc(60)) });
    expect(await lab.events(() => lab.run('omni_ingress', forged))).toEqual([]);
  });
});
