import { macOf } from '../../manifest/keys.ts';
import type { MessagePlane, PeerMessage, Stop } from '../../reconcile/dataplane.ts';
import { messageFrame } from '../message-frame.ts';
import type { Context } from './context.ts';
import { findLink } from './veth.ts';

/** Agents' messages as frames: sent on the overlay's interface as the stack would, received there by a packet socket. */
export class KernelMessages implements MessagePlane {
  readonly #context: Context;

  constructor(context: Context) {
    this.#context = context;
  }

  async capacity(interfaceName: string): Promise<number> {
    if (!this.#context.overlays.has(interfaceName)) return 0;
    return findLink(this.#context, interfaceName)?.mtu ?? 0;
  }

  async send({ interface: name, peer, payload }: PeerMessage): Promise<void> {
    const overlay = this.#context.overlays.get(name);
    const capacity = await this.capacity(name);
    if (overlay === undefined || capacity === 0) return;
    const addresses = { destination: macOf(peer), source: overlay.meta.mac };
    this.#context.events.send(name, messageFrame(addresses, payload, capacity));
  }

  onMessage(listener: (message: PeerMessage) => void): Stop {
    return this.#context.events.onMessage(listener);
  }
}
