import { expect, test } from 'vitest';
import { TokenBuckets } from '../../../src/agent/peers/buckets.ts';
import { encodeMessage } from '../../../src/agent/peers/codec.ts';
import { Mailbox } from '../../../src/agent/peers/mailbox.ts';
import { OmniError } from '../../../src/errors.ts';
import type { PublicKey } from '../../../src/manifest/model.ts';
import type { MessagePlane, PeerMessage } from '../../../src/reconcile/dataplane.ts';
import { keyOf } from '../reconcile/fleet.ts';

/** A message plane that says what it is told to say. */
class FakeMessages implements MessagePlane {
  readonly sent: PeerMessage[] = [];
  failure: Error | undefined;
  #listener: ((message: PeerMessage) => void) | undefined;

  async capacity(): Promise<number> {
    return 1400;
  }
  async send(message: PeerMessage): Promise<void> {
    if (this.failure !== undefined) throw this.failure;
    this.sent.push(message);
  }
  onMessage(listener: (message: PeerMessage) => void) {
    this.#listener = listener;
    return async () => {
      this.#listener = undefined;
    };
  }
  deliver(peer: PublicKey, payload: Uint8Array): void {
    this.#listener?.({ interface: 'omni0', peer, payload });
  }
}

const notice = encodeMessage({ type: 'notice', revision: 'abc' });

function mailboxOf(messages: FakeMessages) {
  const time = { nowMs: 0 };
  const log: string[] = [];
  const mailbox = new Mailbox({ messages, now: () => time.nowMs, log: (level) => log.push(level) });
  const heard: PublicKey[] = [];
  mailbox.on('notice', ({ peer }) => heard.push(peer));
  return { mailbox, heard, time, log, stop: mailbox.start() };
}

test('a flood of one peer is cut off, counted, and leaves room for others', () => {
  const messages = new FakeMessages();
  const { mailbox, heard, time } = mailboxOf(messages);
  const [loud, quiet] = [keyOf(1), keyOf(2)];
  for (let index = 0; index < 100_000; index++) messages.deliver(loud, notice);
  messages.deliver(quiet, notice);
  expect(heard.filter((peer) => peer === loud)).toHaveLength(40);
  expect(heard.at(-1)).toBe(quiet);
  expect(mailbox.counts()).toMatchObject({ rx: { notice: 41 }, overLimit: 99_960 });
  time.nowMs += 1_000;
  for (let index = 0; index < 1_000; index++) messages.deliver(loud, notice);
  expect(heard.filter((peer) => peer === loud)).toHaveLength(60);
});

test('what all peers send together is bounded too', () => {
  const messages = new FakeMessages();
  const { heard, time } = mailboxOf(messages);
  const everybody = Array.from({ length: 10_000 }, (_, index) => `peer-${index}` as PublicKey);
  for (const peer of everybody) messages.deliver(peer, notice);
  expect(heard).toHaveLength(4_000);
  time.nowMs += 500;
  for (const peer of everybody) messages.deliver(peer, notice);
  expect(heard).toHaveLength(5_000);
});

test('what is no message is counted and reaches nobody', async () => {
  const messages = new FakeMessages();
  const { mailbox, heard, stop } = mailboxOf(messages);
  messages.deliver(keyOf(1), new Uint8Array(60));
  expect(heard).toEqual([]);
  expect(mailbox.counts()).toMatchObject({ malformed: 1, overLimit: 0, rx: { notice: 0 } });
  await stop();
  messages.deliver(keyOf(1), notice);
  expect(mailbox.counts().rx.notice).toBe(0);
});

test.each([
  ['a frame that got too long meanwhile', { code: 'message-too-long', class: 'bug' }, 'debug'],
  ['a kernel that is busy', { code: 'kernel-busy', class: 'retry' }, 'debug'],
  ['anything else', { code: 'internal', class: 'bug' }, 'warn'],
] as const)('%s loses a message, and that is all', async (_, options, level) => {
  const messages = new FakeMessages();
  const { mailbox, log } = mailboxOf(messages);
  messages.failure = new OmniError('no', options);
  await mailbox.send({ interface: 'omni0', peer: keyOf(1) }, { type: 'notice', revision: 'abc' });
  expect(log).toEqual([level]);
  expect(mailbox.counts().tx.notice).toBe(0);
});

test('a bucket gives its burst at once, then its rate, and says how long to wait', () => {
  const time = { nowMs: 1_000 };
  const buckets = new TokenBuckets<string>({ perSecond: 2, burst: 3, now: () => time.nowMs });
  const taken = () => Array.from({ length: 5 }, () => buckets.take('x')).filter(Boolean).length;
  expect([buckets.waitMs('x'), taken(), buckets.waitMs('x')]).toEqual([0, 3, 500]);
  time.nowMs += 499;
  expect([taken(), buckets.waitMs('x')]).toEqual([0, 1]);
  time.nowMs += 1;
  expect(taken()).toBe(1);
  time.nowMs += 60_000;
  expect([taken(), buckets.take('y')]).toEqual([3, true]);
});

test('buckets do not pile up', () => {
  const time = { nowMs: 0 };
  const buckets = new TokenBuckets<number>({ perSecond: 1, burst: 1, now: () => time.nowMs });
  for (let key = 0; key < 4_096; key++) buckets.take(key);
  time.nowMs += 1_000;
  buckets.take(5_000);
  expect(buckets.size).toBe(1);
});
