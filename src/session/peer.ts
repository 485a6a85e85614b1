import type { Endpoint, SessionId, SessionState } from '../reconcile/dataplane.ts';
import type { PeerIntent } from '../reconcile/desired.ts';
import type { Stamp } from './callers.ts';
import type { Call } from './calls.ts';
import type { CookieMessage, InitiationMessage, ResponseMessage } from './codec.ts';
import type { Unanswered } from './contract.ts';
import type { Exchange } from './exchange.ts';
import type { AuthenticHandshake } from './handshake.ts';
import { Initiator } from './initiator.ts';
import { Installer } from './installer.ts';
import { type Heard, isUsedTwice, type KeyUse, observeKeyUse, type Twice, usedOnce } from './key-use.ts';
import { nextDeadlineMs, step } from './machine.ts';
import type { MachineEffect, MachineInput, MachineSettings, MachineState, Slot } from './model.ts';
import type { CallerState } from './noise.ts';
import { PeerPaths } from './paths/peer-paths.ts';
import { PeerCalls } from './peer-calls.ts';
import type { PeerServices } from './services.ts';
import { slotsOf } from './slots.ts';

/** One peer: its state machine, and the carrying out of what that decides, in order. */
export class PeerSessions {
  /** Replaced when the manifest changes, also its key. */
  intent: PeerIntent;
  readonly #exchange: Exchange;
  readonly #services: PeerServices;
  readonly #initiator: Initiator;
  readonly #installer: Installer;
  readonly #calls: PeerCalls;
  readonly paths: PeerPaths;
  #state: MachineState;
  #work: Promise<void> = Promise.resolve();
  #keyUse: KeyUse = usedOnce;
  /** The initiations whose sessions wait to be confirmed. */
  readonly #answered = new Map<SessionId, Stamp>();

  constructor(services: PeerServices, intent: PeerIntent, exchange: Exchange, state: MachineState) {
    this.#services = services;
    this.intent = intent;
    this.#exchange = exchange;
    this.#state = state;
    this.#initiator = new Initiator(services, exchange, this);
    this.#installer = new Installer(services, exchange, this);
    this.#calls = new PeerCalls(services, exchange);
    this.paths = new PeerPaths(services, this);
    this.arm();
    if (state.current !== undefined) this.#work = this.#adopt();
  }

  /** Takes over where an earlier process sent to. */
  async #adopt(): Promise<void> {
    this.paths.findHints();
    void this.paths.take({ type: 'session', present: true, fresh: false });
    await this.paths.findActive();
  }

  get state(): MachineState {
    return this.#state;
  }

  get unanswered(): Unanswered | undefined {
    return this.#initiator.unanswered;
  }

  /** Whether the session that frames go out on has a hybrid handshake behind it; undefined: there is none. */
  get hybrid(): boolean | undefined {
    return this.#state.current && this.#exchange.isHybrid(this.#state.current.localId);
  }

  /** Where else the peer's key is in use; undefined: no sign of it. */
  get keyInUseTwice(): Twice | undefined {
    return isUsedTwice(this.#keyUse, this.#services.plane.now()) ? this.#keyUse.twice : undefined;
  }

  /** The next moment at which anything is due. */
  arm(): void {
    this.#services.setDeadline(this, Math.min(nextDeadlineMs(this.#state), this.paths.deadlineMs));
  }

  /** Another manifest of the same peer. */
  change(intent: PeerIntent, settings: MachineSettings): void {
    this.intent = intent;
    this.dispatch({ type: 'settings', settings });
    if (this.paths.known) this.paths.findHints();
  }

  /** Resolves when everything decided so far has been carried out. */
  idle(): Promise<void> {
    return this.#work;
  }

  dispatch(input: MachineInput): readonly MachineEffect[] {
    const { plane, queues } = this.#services;
    if (!this.paths.known) this.paths.findHints();
    if (input.type === 'timer' && this.paths.deadlineMs <= plane.now()) void this.paths.take(input);
    const before = this.#state;
    const { state, effects } = step(before, input, { nowMs: plane.now(), jitter: this.#services.jitter() });
    this.#state = state;
    if (state.generation !== before.generation) this.#slotsChanged(before, state);
    if (input.type === 'removed') this.#calls.end();
    this.arm();
    const later = effects.filter((effect) => !this.#performNow(effect));
    if (later.length > 0) {
      this.#work = this.#work.then(async () => {
        const complete = await this.#perform(later);
        if (!complete && queues.has(this)) this.dispatch({ type: 'frame' });
      });
    }
    if (input.type === 'snapshot' && before.retiring.length > 0) this.#watchKeyUse(before, input.sessions);
    this.#tellPaths(before, input, effects);
    return effects;
  }

  /** `before`: a previous session that spoke may have been one session too many by now. */
  #watchKeyUse(before: MachineState, sessions: readonly SessionState[]): void {
    const { current, establishedMs } = this.#state;
    if (current?.proven !== true || establishedMs === undefined) return;
    const heard = ({ localId }: Slot): Heard[] => {
      const from = this.#exchange.origin(localId);
      const session = sessions.find((each) => each.localId === localId);
      return from === undefined || session === undefined ? [] : [{ localId, from, rxMs: session.rxLastMs }];
    };
    const [inUse] = heard(current);
    if (inUse === undefined) return;
    const { state, tell } = observeKeyUse(this.#keyUse, {
      nowMs: this.#services.plane.now(),
      current: { ...inUse, sinceMs: establishedMs },
      previous: before.retiring.flatMap(heard),
    });
    this.#keyUse = state;
    if (tell && state.twice !== undefined) this.#services.keyInUseTwice(this, state.twice);
  }

  #tellPaths(before: MachineState, input: MachineInput, effects: readonly MachineEffect[]): void {
    const present = this.#state.current !== undefined;
    const fresh = effects.some(({ type }) => type === 'established');
    if (fresh || present !== (before.current !== undefined)) void this.paths.take({ type: 'session', present, fresh });
    // Thousands of idle peers a second come by here with nothing new, and nothing that waits for it.
    const news = this.#state.seen !== before.seen || this.paths.deadlineMs !== Number.POSITIVE_INFINITY;
    if (input.type === 'snapshot' && input.asked.length > 0 && news) {
      void this.paths.take({ type: 'statistics', seen: this.#state.seen });
    }
  }

  /** An initiation whose sender claims to be this peer. Nothing is answered unless it can prove it. */
  receiveInitiation(message: AuthenticHandshake<InitiationMessage>, caller: CallerState, from: Endpoint): void {
    const read = this.#exchange.readInitiation(message, caller, from);
    if (read === undefined) {
      this.#services.failed(this, 'decrypt');
      return;
    }
    const { localId, timestampNs } = read;
    const { publicKey, nextPublicKey } = this.intent;
    const callers = nextPublicKey === undefined ? [publicKey] : [publicKey, nextPublicKey];
    const stamp: Stamp = { own: message.local.publicKey, callers, timestampNs };
    const effects = this.dispatch({ type: 'initiation', localId, freshness: this.#services.judge(stamp) });
    if (effects.some((effect) => effect.type === 'respond')) {
      this.#services.accepted(stamp);
      this.#answered.set(localId, stamp);
    } else this.#exchange.release(localId);
  }

  /** A response to an id that this peer's initiation offered. */
  receiveResponse(message: AuthenticHandshake<ResponseMessage>, from: Endpoint): void {
    const read = this.#exchange.readResponse(message, from);
    if (typeof read === 'string') this.#services.failed(this, read);
    else if (read.sequence === undefined) this.#called(read.localId);
    else this.#installOrRelease({ type: 'response', sequence: read.sequence, localId: read.localId });
  }

  /** A peer that has much to do wants to see that we receive where we send from: the initiation leaves again, with proof. */
  receiveCookie(reply: { readonly message: CookieMessage; readonly datagram: Uint8Array }, from: Endpoint): void {
    const services = this.#services;
    const offer = this.#exchange.readCookie(reply, from);
    if (typeof offer === 'string') {
      services.failed(this, offer);
      return;
    }
    if (offer === undefined) return;
    const { localId, datagram } = offer;
    services.pace(() => {
      if (this.#exchange.awaits(localId)) services.send(datagram, from).catch((error) => services.report(error));
    });
  }

  /** Sends an initiation to `to`, whatever else goes on with the peer. Its answer ends the call. */
  call(to: Endpoint, call: Call): Promise<void> {
    return this.#calls.call(this.intent, to, call);
  }

  /** Answers to what was sent for `call` are no longer welcome. */
  forgetCall(call: Call): void {
    this.#calls.forget(call);
  }

  /** Ends every session and handshake with the peer, and asks for another session where there was one. */
  endAll(): void {
    this.#exchange.abandonAll();
    this.dispatch({ type: 'ended' });
  }

  #called(localId: SessionId): void {
    const call = this.#calls.take(localId);
    this.#installOrRelease({ type: 'called', localId });
    call?.end(true);
  }

  /** An answer that nobody wants any more leaves neither keys nor an id behind. */
  #installOrRelease(input: Extract<MachineInput, { type: 'response' | 'called' }>): void {
    const effects = this.dispatch(input);
    if (!effects.some((effect) => effect.type === 'install')) this.#exchange.release(input.localId);
  }

  /** Ids of sessions that are no more may be given out again. The one that came into use was confirmed, if the peer asked for it. */
  #slotsChanged(before: MachineState, after: MachineState): void {
    const stamp = after.current && this.#answered.get(after.current.localId);
    if (stamp !== undefined) this.#services.confirmed(stamp);
    if (after.current !== undefined) this.#answered.delete(after.current.localId);
    const kept = new Set(slotsOf(after).map((slot) => slot.localId));
    for (const { localId } of slotsOf(before)) {
      if (kept.has(localId)) continue;
      this.#answered.delete(localId);
      this.#exchange.release(localId);
    }
  }

  /** Effects that do not wait behind others. */
  #performNow(effect: MachineEffect): boolean {
    const services = this.#services;
    switch (effect.type) {
      case 'initiate':
        this.#initiator.awaitTurn(effect);
        return true;
      case 'repeat':
        this.#initiator.repeat(effect).catch((error) => services.report(error));
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

  /** False: a session could not be installed, and what needed it was left out. */
  async #perform(effects: readonly MachineEffect[]): Promise<boolean> {
    let installed = true;
    for (const effect of effects) {
      try {
        if (effect.type === 'install' || effect.type === 'respond') {
          installed = false;
          installed = await this.#installer.install(effect);
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
        await this.#installer.proved(effect.localId, false);
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
        this.#initiator.answered();
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
}
