import { OmniError } from '../../errors.ts';
import type { PublicKey } from '../../manifest/model.ts';
import type { MessagePlane, PeerMessage, Stop } from '../../reconcile/dataplane.ts';
import { messageOf } from '../lock.ts';
import type { Log } from '../log.ts';
import { TokenBuckets } from './buckets.ts';
import { decodeMessage, encodeMessage, type Message, type MessageType, messageTypes } from './codec.ts';

/** A peer on one of our interfaces. */
export interface PeerAddress {
  readonly interface: string;
  readonly peer: PublicKey;
}

type Handler = (from: PeerAddress, message: Message) => void;

export interface MailboxOptions {
  readonly messages: MessagePlane;
  /** Milliseconds of a clock that never jumps. */
  readonly now: () => number;
  readonly log: Log;
}

/** Messages since start. `rx` and `tx`: those that were dealt with; the rest came in and was dropped. */
export interface MessageCounts {
  readonly rx: Readonly<Record<MessageType, number>>;
  readonly tx: Readonly<Record<MessageType, number>>;
  readonly malformed: number;
  readonly overLimit: number;
}

/** One peer: an echo, its repetitions and a few notices at once, with room. */
const PER_PEER = { perSecond: 20, burst: 40 };
/** All peers together: ten thousand that probe at the same time are through in seconds, at some percent of a processor. */
const IN_ALL = { perSecond: 2_000, burst: 4_000 };

/** Sends messages, and hands those that come in to whoever deals with their type; what is too much is dropped unread. */
export class Mailbox {
  readonly #options: MailboxOptions;
  readonly #handlers = new Map<MessageType, Handler>();
  readonly #perPeer: TokenBuckets<PublicKey>;
  readonly #inAll: TokenBuckets<'all'>;
  readonly #rx = noneYet();
  readonly #tx = noneYet();
  #malformed = 0;
  #overLimit = 0;

  constructor(options: MailboxOptions) {
    const { now } = options;
    this.#options = options;
    this.#perPeer = new TokenBuckets({ ...PER_PEER, now });
    this.#inAll = new TokenBuckets({ ...IN_ALL, now });
  }

  /** Receives until stopped. */
  start(): Stop {
    return this.#options.messages.onMessage((message) => this.#receive(message));
  }

  /** One handler per type. */
  on<T extends MessageType>(type: T, handle: (from: PeerAddress, message: Message & { type: T }) => void): void {
    this.#handlers.set(type, (from, message) => handle(from, message as Message & { type: T }));
  }

  /** Never rejects: what cannot be sent is lost, as on a network. Longer ones than the interface's MTU always are. */
  async send({ interface: name, peer }: PeerAddress, message: Message): Promise<void> {
    const { messages, log } = this.#options;
    try {
      await messages.send({ interface: name, peer, payload: encodeMessage(message) });
      this.#tx[message.type]++;
    } catch (error) {
      const expected = error instanceof OmniError && (error.code === 'message-too-long' || error.class !== 'bug');
      log(expected ? 'debug' : 'warn', `a message to a peer was not sent: ${messageOf(error)}`, { type: message.type });
    }
  }

  counts(): MessageCounts {
    return { rx: { ...this.#rx }, tx: { ...this.#tx }, malformed: this.#malformed, overLimit: this.#overLimit };
  }

  #receive({ interface: name, peer, payload }: PeerMessage): void {
    if (!this.#perPeer.take(peer) || !this.#inAll.take('all')) {
      this.#overLimit++;
      return;
    }
    const message = decodeMessage(payload);
    if (message === undefined) {
      this.#malformed++;
      return;
    }
    this.#rx[message.type]++;
    this.#handlers.get(message.type)?.({ interface: name, peer }, message);
  }
}

function noneYet(): Record<MessageType, number> {
  return Object.fromEntries(messageTypes.map((type) => [type, 0])) as Record<MessageType, number>;
}
