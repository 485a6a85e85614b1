import type { Endpoint, PathMessage } from '../../reconcile/dataplane.ts';
import type { PeerSessions } from '../peer.ts';
import type { PeerServices } from '../services.ts';
import { initialPaths, nextPathDeadlineMs, stepPaths } from './machine.ts';
import type { PathEffect, PathInput, PathsState } from './model.ts';
import { candidates, works } from './ways.ts';

const NEVER = Number.POSITIVE_INFINITY;

/** One peer's paths: their state machine, and the carrying out of what that decides. */
export class PeerPaths {
  readonly #services: PeerServices;
  readonly #peer: PeerSessions;
  #state: PathsState = initialPaths();
  /** The manifest's hints were looked at. */
  #known = false;

  constructor(services: PeerServices, peer: PeerSessions) {
    this.#services = services;
    this.#peer = peer;
  }

  get state(): PathsState {
    return this.#state;
  }

  get known(): boolean {
    return this.#known;
  }

  get deadlineMs(): number {
    return nextPathDeadlineMs(this.#state);
  }

  /** What the manifest's hints mean may have changed: it is another one, or a name has other addresses. */
  findHints(): void {
    this.#known = true;
    const { keepaliveMs, preferred } = this.#peer.state.settings;
    void this.take({ type: 'settings', preferred, keepalive: keepaliveMs !== undefined });
    void this.take({ type: 'hints', endpoints: this.#services.endpoints(this.#peer) });
    const count = Math.max(1, this.#state.ways.length);
    if (count !== this.#peer.state.candidates) this.#peer.dispatch({ type: 'candidates', count });
  }

  /** What the data plane sends to is the path in use. */
  async findActive(): Promise<void> {
    const { active, observed } = this.#state;
    try {
      const found = await this.#services.plane.endpoint(this.#peer.intent.publicKey);
      // What was decided while it was looked up is newer.
      if (this.#state.active !== active || this.#state.observed !== observed) return;
      if (found === undefined) return;
      // An earlier build took it. A handshake with the manifest's endpoints replaces it.
      if (this.#services.isOverlay(found.endpoint.address)) this.#peer.dispatch({ type: 'unreachable' });
      else await this.take({ type: 'found', ...found });
    } catch (error) {
      this.#services.report(error);
    }
  }

  /** Where initiations go now, best first. */
  async candidates(): Promise<readonly Endpoint[]> {
    await this.findActive();
    this.findHints();
    return candidates(this.#state, works(this.#state, this.#services.plane.now()));
  }

  /** Resolves when what follows has been carried out; what fails is reported. */
  async take(input: PathInput): Promise<void> {
    const { plane, paths, jitter, interface: name, report } = this.#services;
    const { state, effects } = stepPaths(this.#state, input, {
      nowMs: plane.now(),
      jitter: jitter(),
      stretch: paths.stretch,
      fullSize: paths.fullFrame(name),
      nonce: () => paths.nonce(),
    });
    this.#state = state;
    paths.watch(this.#peer, state.lookAtMs !== NEVER);
    this.#peer.arm();
    await Promise.all(effects.map((effect) => this.#perform(effect).catch(report)));
  }

  async #perform(effect: PathEffect): Promise<void> {
    const { plane, paths, moved } = this.#services;
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
        else paths.paceKeepalive(() => plane.keepalive(publicKey));
        break;
      case 'look':
        this.#peer.dispatch({ type: 'look' });
        break;
      case 'handshake':
        this.#peer.dispatch({ type: 'unreachable' });
        break;
      case 'moved':
        paths.moved(effect.move.why);
        moved(this.#peer, effect.move);
        break;
    }
  }
}
