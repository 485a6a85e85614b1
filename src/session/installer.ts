import type { SessionId } from '../reconcile/dataplane.ts';
import type { Exchange } from './exchange.ts';
import type { MachineEffect } from './model.ts';
import type { PeerSessions } from './peer.ts';
import type { PeerServices } from './services.ts';

/** Brings what the handshakes agreed on into the data plane. */
export class Installer {
  readonly #services: PeerServices;
  readonly #exchange: Exchange;
  readonly #peer: PeerSessions;

  constructor(services: PeerServices, exchange: Exchange, peer: PeerSessions) {
    this.#services = services;
    this.#exchange = exchange;
    this.#peer = peer;
  }

  /** Installs a session, then answers where it was the peer who asked. False: there is no such session. */
  async install(effect: Extract<MachineEffect, { type: 'install' | 'respond' }>): Promise<boolean> {
    const services = this.#services;
    const peer = this.#peer;
    const { localId } = effect;
    const completed = this.#exchange.complete(localId);
    if (completed === 'released') return false;
    if (completed === 'unusable') {
      services.failed(peer, 'decrypt');
      peer.dispatch({ type: 'lost', localId });
      return false;
    }
    const { remoteId, hybrid, keys, response, from } = completed;
    const { rekeyAfterMs, lifetimeMs } = peer.state.settings;
    const initiator = effect.type === 'install';
    try {
      await services.plane.install({
        interface: services.interface,
        localId,
        remoteId,
        peer: peer.intent.publicKey,
        initiator,
        unconfirmed: !initiator,
        hybrid,
        ...keys,
        rekeyAfterMs,
        lifetimeMs,
      });
    } catch (error) {
      services.failed(peer, 'install');
      peer.dispatch({ type: 'lost', localId });
      throw error;
    } finally {
      keys.sendKey.fill(0);
      keys.receiveKey.fill(0);
    }
    peer.dispatch({ type: 'installed', localId });
    if (effect.type === 'install' || response === undefined) return true;
    if (effect.moveEndpoint) await this.proved(localId, true);
    if (!(await services.send(response, from))) services.failed(peer, 'send');
    return true;
  }

  /** The handshake of `localId` proved where it came from. `only`: no other path is known to be alive. */
  async proved(localId: SessionId, only: boolean): Promise<void> {
    const endpoint = this.#exchange.origin(localId);
    if (endpoint !== undefined) await this.#peer.paths.take({ type: 'proved', endpoint, only });
  }
}
