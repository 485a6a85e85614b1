import { OmniError } from '../errors.ts';
import type { Endpoint, SessionId } from '../reconcile/dataplane.ts';
import type { PeerIntent } from '../reconcile/desired.ts';
import type { Call } from './calls.ts';
import type { InitiationMessage, ResponseMessage } from './codec.ts';
import type { Unanswered } from './contract.ts';
import type { Exchange } from './exchange.ts';
import type { AuthenticHandshake } from './handshake.ts';
import { nextDeadlineMs, step } from './machine.ts';
import type { MachineEffect, MachineInput, MachineState } from './model.ts';
import type { CallerState } from './noise.ts';
import type { PeerServices } from './services.ts';
import { slotsOf } from './slots.ts';

type Initiate = Extract<MachineEffect, { type: 'initiate' }>;

/** One peer: its state machine, and the carrying out of what that decides, in order. */
export class PeerSessions {
  /** Replaced when the manifest changes; the key is the same for life. */
  intent: PeerIntent;
  readonly #exchange: Exchange;
  readonly #services: PeerServices;
  #state: MachineState;
  #work: Promise<void> = Promise.resolve();
  #unanswered: Unanswered | undefined;
  /** The initiation that waits for its turn to be made. */
  #due: Initiate | undefined;
  /** Calls by the ids of their initiations. */
  readonly #calls = new Map<SessionId, Call>();
  #removed = false;

  constructor(services: PeerServices, intent: PeerIntent, exchange: Exchange, state: MachineState) {
    this.#services = services;
    this.intent = intent;
    this.#exchange = exchange;
    this.#state = state;
    services.setDeadline(this, nextDeadlineMs(state));
  }

  get state(): MachineState {
    return this.#state;
  }

  get unanswered(): Unanswered | undefined {
    return this.#unanswered;
  }

  /** Resolves when everything decided so far has been carried out. */
  idle(): Promise<void> {
    return this.#work;
  }

  dispatch(input: MachineInput): readonly MachineEffect[] {
    const { plane, queues } = this.#services;
    const before = this.#state;
    const { state, effects } = step(before, input, { nowMs: plane.now(), jitter: this.#services.jitter() });
    this.#state = state;
    if (state.generation !== before.generation) this.#releaseGone(before, state);
    if (input.type === 'removed') this.#endCalls();
    this.#services.setDeadline(this, nextDeadlineMs(state));
    const later = effects.filter((effect) => !this.#performNow(effect));
    if (later.length > 0) {
      this.#work = this.#work.then(async () => {
        const complete = await this.#perform(later);
        if (!complete && queues.has(this)) this.dispatch({ type: 'frame' });
      });
    }
    return effects;
  }

  /** An initiation whose sender claims to be this peer. Nothing is answered unless it can prove it. */
  receiveInitiation(message: AuthenticHandshake<InitiationMessage>, caller: CallerState, from: Endpoint): void {
    const read = this.#exchange.readInitiation(message, caller, from);
    if (read === undefined) {
      this.#services.failed(this, 'decrypt');
      return;
    }
    const effects = this.dispatch({ type: 'initiation', ...read });
    if (effects.some((effect) => effect.type === 'respond')) this.#services.accepted(this, read.timestampNs);
    else this.#exchange.release(read.localId);
  }

  /** A response to an id that this peer's initiation offered. */
  receiveResponse(message: AuthenticHandshake<ResponseMessage>, from: Endpoint): void {
    const read = this.#exchange.readResponse(message, from);
    if (typeof read === 'string') this.#services.failed(this, read);
    else if (read.sequence === undefined) this.#called(read.localId);
    else this.dispatch({ type: 'response', sequence: read.sequence, localId: read.localId });
  }

  /** Sends an initiation to `to`, whatever else goes on with the peer. Its answer ends the call. */
  async call(to: Endpoint, call: Call): Promise<void> {
    const services = this.#services;
    await new Promise<void>((resolve) => services.pace(resolve));
    const timestampNs = await services.timestampNs();
    if (this.#removed) call.end(false);
    if (call.ended) return;
    const made = this.#exchange.call(timestampNs);
    if (made === undefined) throw unusableKey(this.intent);
    this.#calls.set(made.localId, call);
    await services.send(made.datagram, to);
  }

  /** Answers to what was sent for `call` are no longer welcome. */
  forgetCall(call: Call): void {
    for (const [localId, each] of this.#calls) {
      if (each !== call) continue;
      this.#calls.delete(localId);
      this.#exchange.release(localId);
    }
  }

  #endCalls(): void {
    this.#removed = true;
    for (const call of new Set(this.#calls.values())) call.end(false);
  }

  #called(localId: SessionId): void {
    const call = this.#calls.get(localId);
    this.#calls.delete(localId);
    const effects = this.dispatch({ type: 'called', localId });
    if (!effects.some((effect) => effect.type === 'install')) this.#exchange.release(localId);
    call?.end(true);
  }

  /** Ids of sessions that are no more may be given out again. */
  #releaseGone(before: MachineState, after: MachineState): void {
    const kept = new Set(slotsOf(after).map((slot) => slot.localId));
    for (const { localId } of slotsOf(before)) if (!kept.has(localId)) this.#exchange.release(localId);
  }

  /** Effects that do not wait behind others. */
  #performNow(effect: MachineEffect): boolean {
    const services = this.#services;
    switch (effect.type) {
      case 'initiate':
        this.#awaitTurn(effect);
        return true;
      case 'abandon':
        this.#exchange.abandon();
        return true;
      case 'reject':
        services.failed(this, effect.reason);
        return true;
      case 'poll':
        services.poll(this, effect.generation, effect.ids);
        return true;
      default:
        return false;
    }
  }

  /** A retry that falls due in the line takes the place of its predecessor: else the line fills with what is no longer wanted. */
  #awaitTurn(initiate: Initiate): void {
    const services = this.#services;
    const inLine = this.#due !== undefined;
    this.#due = initiate;
    if (inLine) return;
    services.pace(() => {
      const due = this.#due;
      this.#due = undefined;
      if (due !== undefined) this.#initiate(due).catch((error) => services.report(error));
    });
  }

  async #initiate({ sequence, tries }: Initiate): Promise<void> {
    const services = this.#services;
    const wanted = () => this.#state.attempt?.pending === sequence;
    if (!wanted()) return;
    const to = await services.candidate(this, tries);
    if (to === undefined) {
      this.#tried({ sent: false });
      services.failed(this, 'no-endpoint');
      return;
    }
    const timestampNs = await services.timestampNs();
    if (!wanted()) return;
    const datagram = this.#exchange.initiate(sequence, timestampNs);
    if (datagram === undefined) throw unusableKey(this.intent);
    const sent = await services.send(datagram, to);
    if (this.#state.attempt?.pending === sequence) this.#tried({ to, sent });
    if (!sent) services.failed(this, 'send');
  }

  #tried(outcome: Pick<Unanswered, 'to' | 'sent'>): void {
    const nowMs = this.#services.plane.now();
    const { tries, firstMs } = this.#unanswered ?? { tries: 0, firstMs: nowMs };
    this.#unanswered = { tries: tries + 1, firstMs, lastMs: nowMs, ...outcome };
  }

  /** False: a session could not be installed, and what needed it was left out. */
  async #perform(effects: readonly MachineEffect[]): Promise<boolean> {
    let installed = true;
    for (const effect of effects) {
      try {
        if (effect.type === 'install' || effect.type === 'respond') {
          installed = false;
          installed = await this.#install(effect);
        } else if (installed || effect.type === 'remove' || effect.type === 'discard') await this.#performOne(effect);
      } catch (error) {
        this.#services.report(error);
      }
    }
    return installed;
  }

  async #performOne(effect: MachineEffect): Promise<void> {
    const { plane, queues } = this.#services;
    const { publicKey } = this.intent;
    switch (effect.type) {
      case 'endpoint':
        await this.#setEndpoint(effect.localId);
        break;
      case 'keepalive':
        await plane.keepalive(publicKey);
        break;
      case 'remove':
        await plane.remove(effect.localId);
        break;
      case 'flush':
        await this.#flush();
        break;
      case 'discard':
        queues.drop(this);
        break;
      case 'established':
        this.#unanswered = undefined;
        this.#services.established(this, effect.initiator);
        break;
      case 'gave-up':
        this.#services.failed(this, 'timeout');
        break;
    }
  }

  async #flush(): Promise<void> {
    const { plane, queues, interface: name } = this.#services;
    const frames = queues.take(this);
    let sent = 0;
    try {
      for (const frame of frames) {
        await plane.resend(name, frame);
        sent++;
      }
    } finally {
      queues.countDropped(frames.length - sent);
    }
  }

  /** Installs a session, then answers where it was the peer who asked. False: there is no such session. */
  async #install(effect: Extract<MachineEffect, { type: 'install' | 'respond' }>): Promise<boolean> {
    const services = this.#services;
    const { localId } = effect;
    const completed = this.#exchange.complete(localId);
    if (completed === 'released') return false;
    if (completed === 'unusable') {
      services.failed(this, 'decrypt');
      this.dispatch({ type: 'lost', localId });
      return false;
    }
    const { remoteId, keys, response, from } = completed;
    const { rekeyAfterMs, lifetimeMs } = this.#state.settings;
    const initiator = effect.type === 'install';
    try {
      await services.plane.install({
        interface: services.interface,
        localId,
        remoteId,
        peer: this.intent.publicKey,
        initiator,
        unconfirmed: !initiator,
        hybrid: false,
        ...keys,
        rekeyAfterMs,
        lifetimeMs,
      });
    } catch (error) {
      services.failed(this, 'install');
      this.dispatch({ type: 'lost', localId });
      throw error;
    } finally {
      keys.sendKey.fill(0);
      keys.receiveKey.fill(0);
    }
    this.dispatch({ type: 'installed', localId });
    if (effect.type === 'install' || response === undefined) return true;
    if (effect.moveEndpoint) await this.#setEndpoint(localId);
    if (!(await services.send(response, from))) services.failed(this, 'send');
    return true;
  }

  async #setEndpoint(localId: SessionId): Promise<void> {
    const origin = this.#exchange.origin(localId);
    if (origin !== undefined) await this.#services.plane.setEndpoint(this.intent.publicKey, origin);
  }
}

function unusableKey(intent: PeerIntent): OmniError {
  return new OmniError(`the public key of peer/${intent.name} is of low order`, {
    code: 'peer-key-unusable',
    class: 'stall',
    object: `peer/${intent.name}`,
    fix: 'Make a new identity on that node with `omni init` and commit its key.',
  });
}
