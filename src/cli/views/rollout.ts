import type { Json, RolloutReport, Status } from '../../agent/api.ts';
import { ageOf, clockTime, humanSpan, shortDigests, shortRevision } from '../format.ts';
import { plural } from '../text.ts';
import type { Field } from './fields.ts';

/** The reason why a revision that was rolled back is not tried again. */
export const QUARANTINED = 'RevisionQuarantined';

export type RolloutView = Json<RolloutReport>;
export type StatusView = Json<Status>;
export type RevisionView = NonNullable<StatusView['revision']['lastApplied']>;

/** `main@sha1:450796dd "fleet: add robot-2" by Ada, 60m ago` */
function revisionWords(revision: RevisionView, nowMs: number): string {
  const subject = revision.subject === undefined ? '' : ` "${revision.subject}"`;
  const author = revision.author === undefined ? '' : ` by ${revision.author}`;
  const time = revision.time === undefined ? '' : `, ${ageOf(revision.time, nowMs)} ago`;
  const signed = revision.signature === undefined ? '' : `, signed by ${signerWords(revision.signature)}`;
  return `${shortRevision(revision.label)}${subject}${author}${time}${signed}`;
}

/** `ada@example.org (ssh SHA256:u3y8wvOw…)`: as much of the key as people compare. */
function signerWords({ signer, format, key }: NonNullable<RevisionView['signature']>): string {
  return `${signer} (${format} ${key.replace(/^((?:SHA256:)?.{8}).+$/, '$1…')})`;
}

/** `2 of 3 probes pass, 21s left; peer/robot-2 pending` */
export function trialWords({ probes, remainingMs }: NonNullable<RolloutView['trial']>): string {
  const passed = probes.filter(({ state }) => state === 'passed').length;
  const counts =
    probes.length === 0 ? 'no probe passed before it' : `${passed} of ${plural(probes.length, 'probe')} pass`;
  const open = probes.filter(({ state }) => state !== 'passed');
  const shown = open.slice(0, MAX_PROBES).map(probeWords);
  const rest = open.length > shown.length ? [`${open.length - shown.length} more`] : [];
  const waitingFor = open.length === 0 ? '' : `; ${[...shown, ...rest].join(', ')}`;
  return `${counts}, ${humanSpan(remainingMs)} left${waitingFor}`;
}

const MAX_PROBES = 3;

function probeWords({ id, state, message }: NonNullable<RolloutView['trial']>['probes'][number]): string {
  return message === undefined ? `${id} ${state}` : `${id} ${state} (${shortDigests(message)})`;
}

function holdWords({ reason, since, until }: NonNullable<RolloutView['hold']>, nowMs: number): string {
  const end = until === undefined ? 'until `omni release`' : untilWords(until, nowMs);
  return `${reason}; for ${ageOf(since, nowMs)}, ${end}`;
}

/** `until 18:30 (in 6h)`, on the clock of this machine. */
export function untilWords(until: string, nowMs: number): string {
  const leftMs = Date.parse(until) - nowMs;
  return `until ${clockTime(until, nowMs)} (${leftMs > 0 ? `in ${humanSpan(leftMs)}` : 'over'})`;
}

function untilText(until: string | undefined, nowMs: number): string {
  return until === undefined ? '' : `, ${untilWords(until, nowMs)}`;
}

const MAX_QUARANTINED = 3;

/** What `omni status` says of revisions: the one in force, the one to fall back on, others, and what keeps them. */
export function rolloutFields({ rollout, revision }: StatusView, nowMs: number): Field[] {
  const { lastKnownGood, trial, waiting, quarantined, revoked, hold, suspension } = rollout;
  const { lastApplied, lastAttempted } = revision;
  const shown = quarantined.slice(0, MAX_QUARANTINED);
  const more = quarantined.length - shown.length;
  return [
    ['Revision', lastApplied === undefined ? 'none applied yet' : revisionWords(lastApplied, nowMs)],
    lastGoodField(lastKnownGood, lastApplied, nowMs),
    lastAttempted === undefined || lastAttempted.id === lastApplied?.id
      ? undefined
      : { name: 'Attempted', text: revisionWords(lastAttempted, nowMs), tone: 'warn' },
    warn('On trial', trial && `${shortRevision(trial.revision.label)}: ${trialWords(trial)}`),
    waitingField(waiting),
    warn('Held', hold && holdWords(hold, nowMs)),
    warn('Suspended', suspension && `${suspension.reason}; for ${ageOf(suspension.since, nowMs)}`),
    ...shown.map(
      ({ revision: { label }, reason, at, until, message }): Field => ({
        name: 'Quarantined',
        text: `${shortRevision(label)}, ${ageOf(at, nowMs)} ago${untilText(until, nowMs)}: ${reason}: ${shortDigests(message)}`,
        tone: 'bad',
      }),
    ),
    more > 0 ? ['Quarantined', `${more} more: omni history`] : undefined,
    revoked.length === 0 ? undefined : ['Revoked', revokedWords(revoked)],
  ];
}

/** A quarantine has a line of its own. */
function waitingField(waiting: RolloutView['waiting']): Field {
  if (waiting === undefined || waiting.reason === QUARANTINED) return undefined;
  const { revision, refused, reason, message } = waiting;
  const text = `${shortRevision(revision.label)}: ${reason}: ${shortDigests(message)}`;
  return refused ? { name: 'Refused', text, tone: 'bad' } : { name: 'Waiting', text, tone: 'warn' };
}

function revokedWords(revoked: RolloutView['revoked']): string {
  const names = revoked.map(({ name }) => name);
  const shown = names.slice(0, MAX_REVOKED);
  const more = names.length > shown.length ? [`${names.length - shown.length} more`] : [];
  return `${plural(names.length, 'key')} that no rollback lets back in: ${[...shown, ...more].join(', ')}`;
}

const MAX_REVOKED = 5;

function warn(name: string, text: string | undefined): Field {
  return text === undefined ? undefined : { name, text, tone: 'warn' };
}

function lastGoodField(good: RolloutView['lastKnownGood'], applied: RevisionView | undefined, nowMs: number): Field {
  if (good === undefined) return ['Last good', 'none yet: no revision has passed its probes here'];
  if (good.id === applied?.id) return ['Last good', `the same, for ${ageOf(good.since, nowMs)}`];
  return { name: 'Last good', text: revisionWords(good, nowMs), tone: 'warn' };
}

/** What comes of newer revisions now that a hold or a suspension is over. */
export function nextWords({ trial, waiting }: RolloutView): string | undefined {
  if (trial !== undefined) return `${shortRevision(trial.revision.label)} is tried now`;
  if (waiting === undefined) return undefined;
  const verb = waiting.refused ? 'is refused' : 'still waits';
  return `${shortRevision(waiting.revision.label)} ${verb}: ${waiting.reason}: ${waiting.message}`;
}
