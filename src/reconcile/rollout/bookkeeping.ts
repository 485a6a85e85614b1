import { canonicalKey } from '../../manifest/keys.ts';
import type { HistoryEntry, Quarantined, Retried, RevisionInfo, Revocation, RolloutRecord, Trial } from './record.ts';

const MAX_QUARANTINED = 100;
const MAX_HISTORY = 50;
const MAX_RETRIED = 16;

export function withHistory(record: RolloutRecord, entry: HistoryEntry): RolloutRecord {
  return { ...record, history: [...record.history, entry].slice(-MAX_HISTORY) };
}

export function withQuarantine(record: RolloutRecord, entry: Quarantined): RolloutRecord {
  const others = record.quarantined.filter(({ revision }) => revision.id !== entry.revision.id);
  return { ...record, quarantined: [...others, entry].slice(-MAX_QUARANTINED) };
}

export function withoutQuarantine(record: RolloutRecord, id: string): RolloutRecord {
  return { ...record, quarantined: record.quarantined.filter(({ revision }) => revision.id !== id) };
}

export function quarantineOf({ quarantined }: RolloutRecord, id: string): Quarantined | undefined {
  return quarantined.find(({ revision }) => revision.id === id);
}

export function retryOf({ retried }: RolloutRecord, id: string): Retried | undefined {
  return retried?.find((one) => one.id === id);
}

export function withRetry(record: RolloutRecord, retry: Retried): RolloutRecord {
  const others = record.retried?.filter(({ id }) => id !== retry.id) ?? [];
  return { ...record, retried: [...others, retry].slice(-MAX_RETRIED) };
}

/** It is trusted now, or tried by a person's word, as if for the first time. */
export function withoutRetry(record: RolloutRecord, id: string): RolloutRecord {
  const { retried, ...rest } = record;
  const others = retried?.filter((one) => one.id !== id) ?? [];
  return others.length === 0 ? rest : { ...rest, retried: others };
}

/** A key that is in already keeps the first that took it out. */
export function withRevoked(record: RolloutRecord, revocations: readonly Revocation[]): RolloutRecord {
  const known = new Set(record.revoked.map(({ publicKey }) => canonicalKey(publicKey)));
  const added = revocations.filter(({ publicKey }) => !known.has(canonicalKey(publicKey)));
  return added.length === 0 ? record : { ...record, revoked: [...record.revoked, ...added] };
}

export function withTrial(record: RolloutRecord, trial: Trial | undefined): RolloutRecord {
  const { trial: _, ...rest } = record;
  return trial === undefined ? rest : { ...rest, trial };
}

/** Nobody has its files any more. */
export function withoutLastKnownGood(record: RolloutRecord): RolloutRecord {
  const { lastKnownGood: _, ...rest } = record;
  return rest;
}

export function withoutHold(record: RolloutRecord): RolloutRecord {
  const { hold: _, ...rest } = record;
  return rest;
}

export function withoutSuspension(record: RolloutRecord): RolloutRecord {
  const { suspension: _, ...rest } = record;
  return rest;
}

/** A revision that was confirmed by hand and is trusted now needs no word any more. */
export function withLastKnownGood(record: RolloutRecord, revision: RevisionInfo, since: string): RolloutRecord {
  const { confirmed, ...rest } = withoutQuarantine(record, revision.id);
  const kept = confirmed === undefined || confirmed.id === revision.id ? {} : { confirmed };
  return { ...rest, ...kept, lastKnownGood: { ...revisionOf(revision), since } };
}

/** Only what a record holds: a source may say more. */
export function revisionOf({ id, label, subject, author, time, signature }: RevisionInfo): RevisionInfo {
  return {
    id,
    label,
    ...(subject === undefined ? {} : { subject }),
    ...(author === undefined ? {} : { author }),
    ...(time === undefined ? {} : { time }),
    ...(signature === undefined ? {} : { signature }),
  };
}

/** The newest that was trusted before the present one, and is not quarantined. */
export function previousGood({ history, lastKnownGood, quarantined }: RolloutRecord): RevisionInfo | undefined {
  const barred = new Set(quarantined.map(({ revision }) => revision.id));
  return history.findLast(
    ({ outcome, revision }) =>
      (outcome === 'good' || outcome === 'chosen') && revision.id !== lastKnownGood?.id && !barred.has(revision.id),
  )?.revision;
}
