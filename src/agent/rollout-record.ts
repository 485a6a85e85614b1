import type { PublicKey } from '../manifest/model.ts';
import type {
  HistoryEntry,
  Hold,
  Quarantined,
  Retried,
  RevisionInfo,
  RevisionSignature,
  Revocation,
  RolloutRecord,
  Suspension,
  Trial,
} from '../reconcile/rollout/record.ts';
import { count, type Decoder, flag, list, members, oneOf, optional, required, text, time } from './decode.ts';

/** The only one so far. */
const VERSION = 1;
const QUARANTINED = 100;
const HISTORY = 50;

/**
 * The record out of its JSON text, every part of it looked at. Throws `TypeError` or `SyntaxError` that says what is
 * wrong: it may have been cut short, written over, or written by another version.
 */
export function parseRecord(json: string): RolloutRecord {
  const whole = members(JSON.parse(json), 'the record');
  const version = whole.get('version');
  if (version !== VERSION) throw new TypeError(`it is of version ${JSON.stringify(version)}, not ${VERSION}`);
  return {
    version: VERSION,
    ...optional(whole, 'lastKnownGood', lastKnownGood, ''),
    ...optional(whole, 'trial', trial, ''),
    quarantined: required(whole, 'quarantined', list(quarantined), '').slice(-QUARANTINED),
    history: required(whole, 'history', list(historyEntry), '').slice(-HISTORY),
    revoked: required(whole, 'revoked', list(revocation), ''),
    ...optional(whole, 'hold', hold, ''),
    ...optional(whole, 'suspension', suspension, ''),
    ...optional(whole, 'retried', list(retried), ''),
    ...optional(whole, 'confirmed', confirmed, ''),
  };
}

export const revisionInfo: Decoder<RevisionInfo> = (value, at) => {
  const from = members(value, at);
  return {
    id: required(from, 'id', text, at),
    label: required(from, 'label', text, at),
    ...optional(from, 'subject', text, at),
    ...optional(from, 'author', text, at),
    ...optional(from, 'time', text, at),
    ...optional(from, 'signature', signature, at),
  };
};

const signature: Decoder<RevisionSignature> = (value, at) => {
  const from = members(value, at);
  return {
    format: required(from, 'format', oneOf<RevisionSignature['format']>('ssh', 'openpgp'), at),
    signer: required(from, 'signer', text, at),
    key: required(from, 'key', text, at),
  };
};

const lastKnownGood: Decoder<NonNullable<RolloutRecord['lastKnownGood']>> = (value, at) => ({
  ...revisionInfo(value, at),
  since: required(members(value, at), 'since', time, at),
});

const trial: Decoder<Trial> = (value, at) => {
  const from = members(value, at);
  return {
    revision: required(from, 'revision', revisionInfo, at),
    startedAt: required(from, 'startedAt', time, at),
    bootId: required(from, 'bootId', text, at),
    baseline: required(from, 'baseline', list(text), at),
    confirmWithinMs: required(from, 'confirmWithinMs', count, at),
    ...optional(from, 'stopped', oneOf(true as const), at),
  };
};

const quarantined: Decoder<Quarantined> = (value, at) => {
  const from = members(value, at);
  return {
    revision: required(from, 'revision', revisionInfo, at),
    reason: required(
      from,
      'reason',
      oneOf<Quarantined['reason']>('ProbationFailed', 'NotApplied', 'Interrupted', 'RolledBackByHand'),
      at,
    ),
    message: required(from, 'message', text, at),
    at: required(from, 'at', time, at),
    ...optional(from, 'until', time, at),
    ...optional(from, 'recheck', recheck, at),
  };
};

const recheck: Decoder<NonNullable<Quarantined['recheck']>> = (value, at) => {
  const from = members(value, at);
  return {
    probes: required(from, 'probes', list(text), at),
    withinMs: required(from, 'withinMs', count, at),
  };
};

const retried: Decoder<Retried> = (value, at) => {
  const from = members(value, at);
  return {
    id: required(from, 'id', text, at),
    discounted: required(from, 'discounted', list(text), at),
    ...optional(from, 'lapsed', oneOf(true as const), at),
  };
};

const historyEntry: Decoder<HistoryEntry> = (value, at) => {
  const from = members(value, at);
  return {
    revision: required(from, 'revision', revisionInfo, at),
    outcome: required(
      from,
      'outcome',
      oneOf<HistoryEntry['outcome']>('good', 'rolled-back', 'preempted', 'chosen'),
      at,
    ),
    message: required(from, 'message', text, at),
    at: required(from, 'at', time, at),
    tookMs: required(from, 'tookMs', duration, at),
  };
};

/** Clocks give fractions of a millisecond. */
const duration: Decoder<number> = (value, at) => {
  if (typeof value !== 'number' || !Number.isFinite(value) || value < 0) throw new TypeError(`${at} is no duration`);
  return value;
};

const revocation: Decoder<Revocation> = (value, at) => {
  const from = members(value, at);
  return {
    publicKey: required(from, 'publicKey', publicKey, at),
    name: required(from, 'name', text, at),
    revision: required(from, 'revision', text, at),
    ...optional(from, 'during', text, at),
  };
};

/** 32 bytes as canonical base64: the last character before the padding carries two zero bits. */
function isPublicKey(value: unknown): value is PublicKey {
  return typeof value === 'string' && /^[A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]=$/.test(value);
}

const publicKey: Decoder<PublicKey> = (value, at) => {
  if (!isPublicKey(value)) throw new TypeError(`${at} is no public key`);
  return value;
};

const hold: Decoder<Hold> = (value, at) => {
  const from = members(value, at);
  return {
    reason: required(from, 'reason', text, at),
    since: required(from, 'since', time, at),
    ...optional(from, 'until', time, at),
  };
};

const suspension: Decoder<Suspension> = (value, at) => {
  const from = members(value, at);
  return { reason: required(from, 'reason', text, at), since: required(from, 'since', time, at) };
};

const confirmed: Decoder<NonNullable<RolloutRecord['confirmed']>> = (value, at) => {
  const from = members(value, at);
  return { id: required(from, 'id', text, at), allowPartition: required(from, 'allowPartition', flag, at) };
};
