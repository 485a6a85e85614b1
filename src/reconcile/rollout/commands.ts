import { endAftermath } from './aftermath.ts';
import {
  quarantineOf,
  withoutHold,
  withoutQuarantine,
  withoutRetry,
  withoutSuspension,
  withTrial,
} from './bookkeeping.ts';
import { undoRecording } from './candidate.ts';
import { examine } from './examine.ts';
import { type Draft, type RolloutInput, save, say } from './model.ts';
import type { Hold } from './record.ts';
import { failTrial, promote } from './trial.ts';

export type Command = Extract<
  RolloutInput,
  { readonly type: 'confirm' | 'lift' | 'fail' | 'hold' | 'release' | 'suspend' | 'resume' | 'stopped' }
>;

/** What people ask for, once it is known to make sense. */
export function command(draft: Draft, input: Command): void {
  switch (input.type) {
    case 'confirm':
      confirm(draft, input.id, input.allowPartition);
      break;
    case 'lift':
      endAftermath(draft);
      save(draft, (record) => withoutRetry(withoutQuarantine(record, input.id), input.id));
      if (draft.state.candidate?.revision.id === input.id) askAgain(draft);
      break;
    case 'fail':
      failTrial(draft, 'RolledBackByHand', 'taken back by hand');
      break;
    case 'hold':
      hold(draft, input.hold);
      break;
    case 'release':
      release(draft, 'the hold was lifted');
      break;
    case 'suspend':
      suspend(draft, input.reason);
      break;
    case 'resume':
      resume(draft);
      break;
    case 'stopped':
      stopped(draft);
  }
}

/** What waits or was refused is looked at as if it had just come. */
export function askAgain(draft: Draft): void {
  const { candidate } = draft.state;
  if (candidate?.stage.at === 'waiting' || candidate?.stage.at === 'refused') examine(draft, candidate);
}

/** A newer revision that a guard refuses, or else the end of the trial under way. */
function confirm(draft: Draft, id: string, allowPartition: boolean): void {
  const { candidate, trial, record } = draft.state;
  if (candidate?.stage.at === 'refused' && candidate.revision.id === id && quarantineOf(record, id) === undefined) {
    save(draft, (old) => ({ ...old, confirmed: { id, allowPartition } }));
    askAgain(draft);
  } else if (trial?.revision.id === id) {
    promote(draft, 'confirmed by hand');
  }
}

function hold(draft: Draft, wanted: Hold): void {
  save(draft, (record) => ({ ...record, hold: wanted }));
  const until = wanted.until === undefined ? '' : ` until ${wanted.until}`;
  say(draft, 'Normal', 'Held', `no new revision is adopted${until}: ${wanted.reason}`);
}

export function release(draft: Draft, why: string): void {
  if (draft.state.record.hold === undefined) return;
  save(draft, withoutHold);
  say(draft, 'Normal', 'Released', why);
  askAgain(draft);
}

function suspend(draft: Draft, reason: string): void {
  const since = new Date(draft.wallMs).toISOString();
  save(draft, (record) => ({ ...record, suspension: { reason, since } }));
  draft.effects.push({ type: 'pause' });
  say(draft, 'Normal', 'Suspended', `this node neither fetches nor heals: ${reason}`);
}

function resume(draft: Draft): void {
  if (draft.state.record.suspension === undefined) return;
  save(draft, withoutSuspension);
  draft.effects.push({ type: 'go-on' });
  say(draft, 'Normal', 'Resumed', 'this node fetches and heals again');
  askAgain(draft);
}

/** Within the same boot the trial goes on; a revision that was being written down was not tried at all. */
function stopped(draft: Draft): void {
  const { candidate } = draft.state;
  if (candidate?.stage.at === 'recording') undoRecording(draft, candidate.stage);
  if (draft.state.trial === undefined) return;
  save(draft, (record) =>
    record.trial === undefined ? record : withTrial(record, { ...record.trial, stopped: true }),
  );
}
