import { macOf } from '../../manifest/keys.ts';
import type { MessagePlane, PeerMessage, Stop } from '../../reconcile/dataplane.ts';
import { messageFrame, readMessageFrame } from '../message-frame.ts';
import type { MemoryHost } from './host.ts';
import type { MemoryPath } from './path.ts';

/** Agents' messages as frames through a memory host. */
export class MemoryMessages implements MessagePlane {
  readonly #host: MemoryHost;
  readonly #path: MemoryPath;

  constructor(host: MemoryHost, path: MemoryPath) {
    this.#host = host;
    this.#path = path;
  }

  async capacity(interfaceName: string): Promise<number> {
    return this.#host.mtu(interfaceName);
  }

  async send({ interface: name, peer, payload }: PeerMessage): Promise<void> {
    const link = this.#host.linkRow(name);
    if (link === undefined) return;
    const frame = messageFrame({ destination: macOf(peer), source: link.mac }, payload, this.#host.mtu(name));
    this.#path.transmit(name, frame);
  }

  onMessage(listener: (message: PeerMessage) => void): Stop {
    return this.#path.onFrame((name, frame) => {
      const message = readMessageFrame(frame, (mac) => this.#host.isOwnMac(name, mac));
      if (message === undefined) return;
      const peer = this.#host.peerOfMac(name, message.source);
      if (peer !== undefined) listener({ interface: name, peer, payload: message.payload });
    });
  }
}
