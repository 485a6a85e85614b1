import type { SessionState } from '../reconcile/dataplane.ts';
import { latest } from './liveness.ts';
import type { MachineState, Slot } from './model.ts';
import { unconfirmedMs } from './slots.ts';
import { RETIRE_GRACE_MS } from './timers.ts';

const NEVER = Number.POSITIVE_INFINITY;

/** Takes over what an earlier process left in the data plane. */
export function adoptSessions(state: MachineState, sessions: readonly SessionState[], nowMs: number): MachineState {
  if (sessions.length === 0) return state;
  const slots = sessions.map((session) => ({ session, slot: adoptedSlot(session, nowMs) }));
  const current = slots.find(({ session }) => session.current)?.slot;
  const next = slots.find(({ session }) => session.unconfirmed && !session.current)?.slot;
  const retiring = slots.map(({ slot }) => slot).filter((slot) => slot !== current && slot !== next);
  return {
    ...state,
    current: current && { ...current, removeAtMs: NEVER },
    next: next && { ...next, removeAtMs: nowMs + unconfirmedMs(state.settings) },
    retiring,
    establishedMs: current?.createdMs,
    seen: latest(state.seen, sessions),
    pollAtMs: nowMs,
  };
}

function adoptedSlot(session: SessionState, nowMs: number): Slot {
  return {
    localId: session.localId,
    initiator: session.initiator,
    createdMs: session.createdMs,
    rekeyAfterMs: session.rekeyAfterMs,
    expiresMs: session.expiresMs,
    installed: true,
    proven: session.rxPackets > 0n,
    confirmations: 0,
    confirmAtMs: session.initiator && session.rxPackets === 0n ? nowMs : NEVER,
    removeAtMs: nowMs + RETIRE_GRACE_MS,
    unfit: false,
  };
}
