import type { Endpoint, PathMessage } from '../../reconcile/dataplane.ts';
import type { PeerSessions } from '../peer.ts';
import type { PeerServices } from '../services.ts';
import { initialPaths, nextPathDeadlineMs, stepPaths } from './machine.ts';
import type { PathEffect, PathInput, PathsState } from './model.ts';
import { candidates, works } from './ways.ts';

/** One peer's paths: their state machine, and the carrying out of what that decides. */
export class PeerPaths {
  readonly #services: PeerServices;
  readonly #peer: PeerSessions;
  #state: PathsState;

  constructor(services: PeerServices, peer: PeerSessions) {
    this.#services = services;
    this.#peer = peer;
    this.#state = initialPaths();
  }

  get state(): PathsState {
    return this.#state;
  }

  get deadlineMs(): number {
    return nextPathDeadlineMs(this.#state);
  }

  /** Where initiations go now, best first. */
  candidates(): readonly Endpoint[] {
    return candidates(this.#state, works(this.#state, this.#services.plane.now()));
  }

  /** Resolves when what follows has been carried out; what fails is reported. */
  async take(input: PathInput): Promise<void> {
    const services = this.#services;
    const { state, effects } = stepPaths(this.#state, input, {
      nowMs: services.plane.now(),
      jitter: services.jitter(),
      stretch: services.watch(this.#peer, this.#state.lookAtMs !== Number.POSITIVE_INFINITY),
      fullSize: services.fullFrame(),
      nonce: () => services.nonce(),
    });
    this.#state = state;
    this.#peer.arm();
    await Promise.all(effects.map((effect) => this.#perform(effect).catch((error) => services.report(error))));
  }

  async #perform(effect: PathEffect): Promise<void> {
    const { plane, paceKeepalive, moved } = this.#services;
    const { publicKey } = this.#peer.intent;
    switch (effect.type) {
      case 'challenge': {
        const message: PathMessage = { kind: 'challenge', nonce: effect.nonce, size: effect.size };
        await plane.sendOnPath(publicKey, { remote: effect.endpoint }, message);
        break;
      }
      case 'respond':
        await plane.sendOnPath(publicKey, effect.path, { kind: 'response', nonce: effect.nonce, size: effect.size });
        break;
      case 'use':
        await plane.setEndpoint(publicKey, effect.endpoint);
        break;
      case 'keepalive':
        if (effect.urgent) await plane.keepalive(publicKey);
        else paceKeepalive(() => plane.keepalive(publicKey));
        break;
      case 'look':
        this.#peer.dispatch({ type: 'look' });
        break;
      case 'handshake':
        this.#peer.dispatch({ type: 'unreachable' });
        break;
      case 'moved':
        moved(this.#peer, effect.move);
        break;
    }
  }
}
