import { ExitCode, OmniError } from '../../errors.ts';
import { previousGood, quarantineOf } from './bookkeeping.ts';
import type { RolloutState } from './model.ts';
import type { RevisionInfo } from './record.ts';

/*
 * What people ask for, checked against how things stand. Each throws an `OmniError` where it makes no sense.
 */

/** What `omni confirm` means: a newer revision that a guard refuses, else the trial under way. */
export function toConfirm({ candidate, trial, record }: RolloutState, wanted?: string): RevisionInfo {
  const refused =
    candidate?.stage.at === 'refused' && quarantineOf(record, candidate.revision.id) === undefined
      ? candidate.revision
      : undefined;
  const found = [refused, trial?.revision].find((one) => one !== undefined && isCalled(one, wanted));
  if (found !== undefined) return found;
  const what = wanted === undefined ? 'no revision' : `revision ${wanted} neither`;
  throw senseless(
    `${what} is refused by a guard ${wanted === undefined ? 'and none' : 'nor'} is on trial`,
    'nothing-to-confirm',
    'See omni status for what the newest revision waits for.',
  );
}

/** What `omni retry` means: the one that is named, else the newest that came, else the one that was quarantined last. */
export function toRetry({ candidate, record }: RolloutState, wanted?: string): RevisionInfo {
  const quarantined = record.quarantined.map(({ revision }) => revision);
  const newest = quarantined.find(({ id }) => id === candidate?.revision.id) ?? quarantined.at(-1);
  const found = wanted === undefined ? newest : quarantined.findLast((one) => isCalled(one, wanted));
  if (found !== undefined) return found;
  throw senseless(
    wanted === undefined ? 'no revision is quarantined' : `revision ${wanted} is not quarantined`,
    'not-quarantined',
    'See omni history for those that are.',
  );
}

/** What `omni rollback --to lkg` means: the trial under way is to fail, or else the good revision before the present one. */
export function toRollBack({ trial, record }: RolloutState): { readonly fail: RevisionInfo } | { readonly to: string } {
  requireNotSuspended({ record });
  if (trial !== undefined) return { fail: trial.revision };
  const before = previousGood(record);
  if (before !== undefined) return { to: before.id };
  throw senseless(
    'no good revision before the present one is known',
    'nothing-to-roll-back-to',
    'Name one: omni rollback --to REVISION.',
  );
}

export function requireNoHold({ record }: RolloutState): void {
  const { hold } = record;
  if (hold === undefined) return;
  throw senseless(
    `this node is on hold already: ${hold.reason}`,
    'already-held',
    'Run omni release first, or replace it: --replace.',
  );
}

/** A trial under way needs the loop that a suspension stops. */
export function requireQuiet({ trial, reverting, candidate, record }: RolloutState): void {
  requireNotSuspended({ record });
  const writing = candidate?.stage.at === 'recording' ? candidate.revision : undefined;
  const busy = trial?.revision ?? reverting?.revision ?? writing;
  if (busy === undefined) return;
  throw senseless(
    `${busy.label} is on trial: its verdict needs this node to go on`,
    'on-trial',
    'Wait for the verdict, or end it: omni confirm, omni rollback.',
  );
}

export function requireNotSuspended({ record }: Pick<RolloutState, 'record'>): void {
  if (record.suspension === undefined) return;
  throw senseless(`this node is suspended: ${record.suspension.reason}`, 'suspended', 'Run omni resume first.');
}

/** By its id, a beginning of it of seven characters or more, or its label. */
function isCalled({ id, label }: RevisionInfo, wanted: string | undefined): boolean {
  if (wanted === undefined || wanted === id || wanted === label) return true;
  return wanted.length >= 7 && (id.startsWith(wanted) || id.startsWith(`sha256:${wanted}`));
}

function senseless(message: string, code: string, fix: string): OmniError {
  return new OmniError(message, { code, class: 'stall', exitCode: ExitCode.usage, fix });
}
