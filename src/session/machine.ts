import type { SessionId, SessionState } from '../reconcile/dataplane.ts';
import { adoptSessions } from './adopt.ts';
import { attemptDue, beginAttempt } from './attempt.ts';
import { applySnapshot, poll } from './liveness.ts';
import {
  type Draft,
  type MachineEffect,
  type MachineInput,
  type MachineSettings,
  type MachineState,
  update,
} from './model.ts';
import { renew } from './renew.ts';
import {
  confirm,
  forget,
  installAnswered,
  installCalled,
  installInitiated,
  markInstalled,
  pollBy,
  remove,
  removeDue,
  slotsOf,
  usable,
} from './slots.ts';
import { POLL_MIN_MS } from './timers.ts';

const NEVER = Number.POSITIVE_INFINITY;
const LONG_AGO = Number.NEGATIVE_INFINITY;

/** A peer that has just been configured, with the sessions that an earlier process left, if any. */
export function initialState(
  settings: MachineSettings,
  options: {
    readonly nowMs: number;
    readonly adopted: readonly SessionState[];
  },
): MachineState {
  const empty: MachineState = {
    settings,
    candidates: 1,
    current: undefined,
    next: undefined,
    retiring: [],
    generation: 0,
    attempt: undefined,
    sequence: 0,
    queued: false,
    handshakeSentMs: LONG_AGO,
    initiationAcceptedMs: LONG_AGO,
    establishedMs: undefined,
    seen: { txMs: 0, txDataMs: 0, rxMs: 0, rxDataMs: 0 },
    pollAtMs: NEVER,
    polledMs: LONG_AGO,
    unansweredSinceMs: undefined,
    gaveUpMs: undefined,
    vain: 0,
    establishAtMs: NEVER,
  };
  const state = adoptSessions(empty, options.adopted, options.nowMs);
  const establish = state.current === undefined && settings.keepaliveMs !== undefined;
  return establish ? { ...state, establishAtMs: options.nowMs } : state;
}

/**
 * One peer's handshakes, slots and timers, as a function. Same arguments, same result.
 * `jitter` is uniform in [0, 1). The caller carries out the effects in order, and calls again with `timer` at
 * `nextDeadlineMs`.
 */
export function step(
  state: MachineState,
  input: MachineInput,
  at: { readonly nowMs: number; readonly jitter: number },
): { readonly state: MachineState; readonly effects: readonly MachineEffect[] } {
  const draft: Draft = { state, effects: [], ...at };
  react(draft, input);
  return { state: draft.state, effects: draft.effects };
}

/** When `timer` is due next; Infinity where nothing is pending. */
export function nextDeadlineMs(state: MachineState): number {
  return Math.min(
    state.attempt?.retryAtMs ?? NEVER,
    state.attempt?.repeatAtMs ?? NEVER,
    state.pollAtMs,
    state.establishAtMs,
    state.next?.installed === false ? state.next.removeAtMs : NEVER,
    ...slotsOf(state).map((slot) => slot.expiresMs),
  );
}

function react(draft: Draft, input: MachineInput): void {
  switch (input.type) {
    case 'frame':
      frameQueued(draft);
      break;
    case 'initiation':
      installAnswered(draft, input.localId, input.freshness);
      break;
    case 'response':
      installInitiated(draft, input.localId, input.sequence);
      break;
    case 'called':
      installCalled(draft, input.localId);
      break;
    case 'installed':
      markInstalled(draft, input.localId);
      break;
    case 'lost':
      forget(draft, [input.localId]);
      break;
    case 'confirmed':
      confirm(draft, input.localId);
      break;
    case 'rekey-due':
      rekeyDue(draft, input.localId);
      break;
    case 'vanished':
      vanished(draft, input.ids);
      break;
    case 'snapshot':
      applySnapshot(draft, input.generation, input.asked, input.sessions);
      break;
    case 'renew':
      renew(draft, input.sessions);
      break;
    case 'timer':
      timer(draft);
      break;
    case 'look':
      if (usable(draft) !== undefined) poll(draft);
      break;
    case 'unreachable':
      if (usable(draft) !== undefined) beginAttempt(draft, 'unreachable');
      break;
    case 'candidates':
      update(draft, { candidates: input.count });
      break;
    case 'settings':
      applySettings(draft, input.settings);
      break;
    case 'ended':
      endAll(draft);
      break;
    case 'removed':
      removeAll(draft);
      break;
  }
}

/**
 * With no session: ask for one. With one that we believe in, the data plane disagrees, or the frame crossed with the
 * session's coming: look first, at a bounded rate, so that a frame can never go round in a loop.
 */
function frameQueued(draft: Draft): void {
  update(draft, { queued: true });
  const session = usable(draft);
  if (session === undefined) beginAttempt(draft, 'traffic');
  else if (session.installed) pollBy(draft, Math.max(draft.nowMs, draft.state.polledMs + POLL_MIN_MS));
  else update(draft, { queued: false }); // the flush that follows its installation takes this frame along
}

function rekeyDue(draft: Draft, localId: bigint): void {
  const { current } = draft.state;
  if (current?.localId === localId && current.initiator) beginAttempt(draft, 'rekey');
}

/** The peer does not know, and goes on sending on a session that is not there: a new one is made without waiting for traffic. */
function vanished(draft: Draft, ids: readonly SessionId[]): void {
  const { current } = draft.state;
  forget(draft, ids);
  if (current !== undefined && draft.state.current === undefined) beginAttempt(draft, 'traffic');
}

function timer(draft: Draft): void {
  removeDue(draft);
  attemptDue(draft);
  if (draft.state.establishAtMs <= draft.nowMs) {
    update(draft, { establishAtMs: NEVER });
    if (usable(draft) === undefined) beginAttempt(draft, 'keepalive');
  }
  if (draft.state.pollAtMs <= draft.nowMs) poll(draft);
}

/** Lifetimes hold for sessions to come. A keepalive that was switched on makes itself felt at once. */
function applySettings(draft: Draft, settings: MachineSettings): void {
  const { keepaliveMs } = draft.state.settings;
  update(draft, { settings });
  if (settings.keepaliveMs === keepaliveMs) return;
  if (settings.keepaliveMs === undefined) update(draft, { establishAtMs: NEVER });
  else if (usable(draft) === undefined) update(draft, { establishAtMs: draft.nowMs });
  else pollBy(draft, draft.nowMs);
}

/** What was sent before gives no reason to wait: nobody will hear the answer. */
function endAll(draft: Draft): void {
  const { attempt, queued } = draft.state;
  const wanted = attempt !== undefined || queued || usable(draft) !== undefined;
  if (attempt !== undefined) draft.effects.push({ type: 'abandon' });
  update(draft, { attempt: undefined, handshakeSentMs: LONG_AGO, initiationAcceptedMs: LONG_AGO });
  remove(
    draft,
    slotsOf(draft.state).map((slot) => slot.localId),
  );
  if (wanted) beginAttempt(draft, 'renew');
}

function removeAll(draft: Draft): void {
  update(draft, { queued: false, attempt: undefined, settings: { ...draft.state.settings, keepaliveMs: undefined } });
  draft.effects.push({ type: 'abandon' }, { type: 'discard' });
  remove(
    draft,
    slotsOf(draft.state).map((slot) => slot.localId),
  );
  update(draft, { pollAtMs: NEVER, establishAtMs: NEVER });
}
