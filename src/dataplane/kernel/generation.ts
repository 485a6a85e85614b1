import type { Context } from './context.ts';
import type { UeventMonitor } from './native.ts';
import { isNewGeneration } from './uevent.ts';

/** `udevadm trigger` makes thousands at once, of some hundred bytes each, and none may be lost among them. Bytes. */
const RECEIVE_BUFFER = 16 << 20;

/** Tells when this machine became another one: it goes on from a snapshot, as one of several maybe. */
export class GenerationWatch {
  readonly #monitor: UeventMonitor | undefined;

  constructor(context: Context, onNewGeneration: () => void) {
    this.#monitor = open(context, (message) => {
      // Of messages that were lost one may be the one: a handshake per peer is cheaper than a nonce that is used twice.
      if (message !== undefined && !isNewGeneration(message)) return;
      // The kernel's own generator has the new generation in it by now, ours a copy of the old one's state.
      if (!context.calls.read('random', (native) => native.reseed())) {
        context.log('warn', 'random numbers of this process were not renewed: restart the agent');
      }
      onNewGeneration();
    });
  }

  close(): void {
    this.#monitor?.close();
  }
}

function open(context: Context, onEvent: (message: Buffer | undefined) => void): UeventMonitor | undefined {
  try {
    return context.calls.read('uevents', (native) => {
      return new native.UeventMonitor({ receiveBuffer: RECEIVE_BUFFER, onEvent });
    });
  } catch (error) {
    context.log('warn', 'a snapshot of this machine would go unnoticed', { reason: String(error) });
    return undefined;
  }
}
