import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Host, Lab } from '../../lab/lab.ts';
import { datagrams } from '../../lab/pcap.ts';
import { run, until } from '../../lab/shell.ts';
import { Echo } from '../../src/agent/peers/echo.ts';
import { Mailbox } from '../../src/agent/peers/mailbox.ts';
import { macOf } from '../../src/manifest/keys.ts';
import type { IpAddress } from '../../src/manifest/model.ts';
import type { PeerMessage } from '../../src/reconcile/dataplane.ts';
import { converge, freshKey, INTERFACE, installPair, type Node, rowsOf, startPlane } from './dataplane-fixture.ts';

/*
 * Agents' messages through two kernel data planes: out of omni0 as the stack's frames, encrypted over a bridge, and in
 * by the ingress program. Rows and sessions are put in by hand.
 */
let lab: Lab;
let a: Node;
let b: Node;

async function node(host: Host, index: number, mode: 'native' | 'generic'): Promise<Node> {
  const mac1Key = new Uint8Array(32);
  const plane = await startPlane(host, { mac1Key, mode });
  const vip4 = `10.77.0.${index}` as IpAddress;
  return { host, publicKey: freshKey(), vip4, vip6: `fd77::${index}` as IpAddress, mac1Key, plane };
}

/** An agent's echo on a node. */
function echoOf({ plane }: Node): Echo {
  const mailbox = new Mailbox({ messages: plane.messages, now: () => performance.now(), log: () => undefined });
  mailbox.start();
  let nonce = 0n;
  const setTimer = (delayMs: number, expire: () => void) => {
    const timer = setTimeout(expire, delayMs);
    return () => clearTimeout(timer);
  };
  return new Echo({ mailbox, nonce: () => ++nonce, setTimer });
}

function inbox({ plane }: Node): PeerMessage[] {
  const received: PeerMessage[] = [];
  plane.messages.onMessage((message) => received.push(message));
  return received;
}

const toB = (payload: Uint8Array): PeerMessage => ({ interface: INTERFACE, peer: b.publicKey, payload });

describe.each(['native', 'generic'] as const)('messages in %s mode', (mode) => {
  beforeAll(async () => {
    lab = await Lab.open({ name: 'omsg', hosts: ['a', 'b'] });
    a = await node(lab.host('a'), 1, mode);
    b = await node(lab.host('b'), 2, mode);
    for (const each of [a, b]) await each.plane.adopt();
    expect(await converge(a.plane, rowsOf(a, b))).toEqual([]);
    expect(await converge(b.plane, rowsOf(b, a))).toEqual([]);
    await installPair(a, b);
  });
  afterAll(async () => {
    await Promise.all([a, b].map((each) => each?.plane.kill()));
    await lab?.close();
  });

  it('arrive whole at every size up to the MTU, with the name of their sender, unreadable on the way', async () => {
    const received = inbox(b);
    const own = inbox(a);
    const capacity = await a.plane.messages.capacity(INTERFACE);
    expect(capacity).toBe(1426);
    const payloads = [0, 1, 45, 46, 47, 512, capacity].map((size) => Buffer.alloc(size, 'PLAINTEXT-MARKER'));
    const pcap = await lab.capture(a.host, async () => {
      for (const payload of payloads) await a.plane.messages.send(toB(payload));
      await until('all of them are there', () => received.length === payloads.length);
    });
    expect(received.map(({ payload }) => Buffer.from(payload))).toEqual(payloads);
    expect(received.every((each) => each.peer === a.publicKey && each.interface === INTERFACE)).toBe(true);
    expect(own).toEqual([]); // what a host sends there it does not hear
    expect(datagrams(pcap).length).toBeGreaterThanOrEqual(payloads.length);
    expect(pcap.includes('PLAINTEXT-MARKER')).toBe(false);
  });

  it('go round in frames of full size, in both directions', async () => {
    const [ofA, ofB] = [echoOf(a), echoOf(b)];
    const size = await a.plane.messages.capacity(INTERFACE);
    await ofA.echo({ interface: INTERFACE, peer: b.publicKey }, size, AbortSignal.timeout(2_000));
    await ofB.echo({ interface: INTERFACE, peer: a.publicKey }, size, AbortSignal.timeout(2_000));
  });

  it('tell a path that takes small packets only from one that takes all', async () => {
    const echo = echoOf(a);
    echoOf(b);
    const size = await a.plane.messages.capacity(INTERFACE);
    const bridge = ['ip', '-n', lab.underlayNamespace, 'link', 'set', 'b.p', 'mtu'];
    await run([...bridge, '1000']);
    try {
      const to = { interface: INTERFACE, peer: b.publicKey };
      await echo.echo(to, 800, AbortSignal.timeout(2_000));
      await expect(echo.echo(to, size, AbortSignal.timeout(1_500))).rejects.toThrow();
    } finally {
      await run([...bridge, '1500']);
    }
    await echo.echo({ interface: INTERFACE, peer: b.publicKey }, size, AbortSignal.timeout(3_000));
  });

  it('of a sender that takes another MAC never arrive', async () => {
    const received = inbox(b);
    const mac = (text: string) => text.replaceAll(':', '');
    const forged = `${mac(macOf(b.publicKey))}${mac(macOf(freshKey()))}88b600`;
    const send = new URL('./send.mjs', import.meta.url).pathname;
    await a.host.must([process.execPath, send, 'frame', INTERFACE, forged]);
    await a.plane.messages.send(toB(Buffer.from('after it')));
    await until('the message behind it is there', () => received.length > 0);
    expect(received).toHaveLength(1);
    expect((await b.plane.counters()).drops['inner-source']).toBe(1n);
  });

  it('reach the agent that comes after one that was killed', async () => {
    await b.plane.kill();
    b.plane = await startPlane(b.host, { mac1Key: b.mac1Key, mode });
    expect(await b.plane.adopt()).toMatchObject({ adopted: true, sessions: 1 });
    const received = inbox(b);
    await a.plane.messages.send(toB(Buffer.from('are you there')));
    await until('it is there', () => received.length === 1);
    await echoOf(b).echo({ interface: INTERFACE, peer: a.publicKey }, 1426, AbortSignal.timeout(2_000));
  });

  it('come in after the interface was made anew', async () => {
    await b.host.must(['ip', 'link', 'del', INTERFACE]);
    await until('it is healed', async () => (await converge(b.plane, rowsOf(b, a))).length === 0);
    await installPair(a, b);
    const received = inbox(b);
    await a.plane.messages.send(toB(Buffer.from('and again')));
    await until('it is there', () => received.length === 1);
  });
});
