import type { Mailbox, PeerAddress } from './mailbox.ts';

/** An unanswered request is sent again: frames get lost. */
const REPEAT_MS = 1_000;

export interface EchoOptions {
  readonly mailbox: Pick<Mailbox, 'send' | 'on'>;
  /** 64 random bits: nobody but who got the request can answer it. */
  readonly nonce: () => bigint;
  readonly setTimer: (delayMs: number, run: () => void) => () => void;
}

interface Waiting {
  readonly to: PeerAddress;
  readonly size: number;
  readonly answered: () => void;
}

/** Round trips through the data path, and the other side of those of others. */
export class Echo {
  readonly #options: EchoOptions;
  readonly #waiting = new Map<bigint, Waiting>();

  constructor(options: EchoOptions) {
    this.#options = options;
    const { mailbox } = options;
    mailbox.on('echo-request', (from, { nonce, size }) => {
      void mailbox.send(from, { type: 'echo-reply', nonce, size });
    });
    mailbox.on('echo-reply', (from, { nonce, size }) => {
      const waiting = this.#waiting.get(nonce);
      if (waiting === undefined || waiting.size !== size) return;
      if (waiting.to.peer === from.peer && waiting.to.interface === from.interface) waiting.answered();
    });
  }

  /**
   * Sends the peer `size` bytes, from `ECHO_MIN_BYTES` to the interface's capacity, and resolves when as many came back:
   * frames of that size pass in both directions. Rejects with the reason of `signal` when that is aborted first.
   */
  async echo(to: PeerAddress, size: number, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    const { mailbox, nonce: random, setTimer } = this.#options;
    const nonce = random();
    let cancelRepeat = (): void => undefined;
    const send = (): void => {
      void mailbox.send(to, { type: 'echo-request', nonce, size });
      cancelRepeat = setTimer(REPEAT_MS, send);
    };
    let giveUp = (): void => undefined;
    try {
      await new Promise<void>((answered, reject) => {
        giveUp = () => reject(signal.reason as Error);
        signal.addEventListener('abort', giveUp, { once: true });
        this.#waiting.set(nonce, { to, size, answered });
        send();
      });
    } finally {
      signal.removeEventListener('abort', giveUp);
      cancelRepeat();
      this.#waiting.delete(nonce);
    }
  }
}
