import type { Fleet, FleetObject, ObjectRef, PublicKey } from '../../manifest/model.ts';
import { clusterOf } from '../../reconcile/block.ts';
import type { SessionState } from '../../reconcile/dataplane.ts';
import { namesOf } from '../../reconcile/names.ts';
import { describeRow } from '../../reconcile/plan.ts';
import type { Row, RowKey } from '../../reconcile/rows.ts';
import { objectOf, refOf } from '../../reconcile/share.ts';
import type { WhyReport } from '../api.ts';
import { type Known, nameOf, type Subject } from './find.ts';

type RowReport = WhyReport['rows'][number];

/** What a subject comes down to: the manifest objects behind it, nearest first, and the rows that follow from it. */
export interface Findings {
  readonly subject: string;
  readonly objects: readonly FleetObject[];
  readonly rows: readonly RowReport[];
  readonly sessions: readonly SessionState[];
  /** The peer that it is about, where it is about one. */
  readonly publicKey?: PublicKey;
}

export function findingsOf(subject: Subject, known: Known): Findings {
  const objects = objectsBehind(subject, known);
  const publicKey = keyOf(subject, objects, known);
  const keys = subject.kind === 'row' ? [subject.key] : rowsBehind(objects, publicKey, known);
  return {
    subject: nameOf(subject),
    objects,
    rows: keys.flatMap((key) => rowReport(key, known) ?? []),
    sessions: sessionsOf(subject, publicKey, known),
    ...(publicKey === undefined ? {} : { publicKey }),
  };
}

/** In force, or else in the newest fleet. */
function lookUp(ref: ObjectRef, { fleets }: Known): FleetObject | undefined {
  for (const fleet of fleets) {
    const object = objectOf(fleet, ref);
    if (object !== undefined) return object;
  }
  return undefined;
}

function objectsBehind(subject: Subject, known: Known): readonly FleetObject[] {
  const ref = refBehind(subject, known);
  const object = ref && lookUp(ref, known);
  if (object === undefined) return [];
  const names = related(object, fleetOf(object, known));
  // A row is its own object's; the others are what that one leans on.
  const wanted =
    subject.kind === 'row' ? names.filter((each) => object.kind !== 'Peer' || !each.startsWith('vip/')) : names;
  return [object, ...wanted.flatMap((each) => lookUp(each, known) ?? [])];
}

function refBehind(subject: Subject, { view, fleets }: Known): ObjectRef | undefined {
  const ofKey = (key: PublicKey): ObjectRef | undefined => {
    const name = fleets.map(({ peerByKey }) => peerByKey.get(key)).find((each) => each !== undefined);
    return name === undefined ? undefined : `peer/${name}`;
  };
  switch (subject.kind) {
    case 'object':
      return subject.ref;
    case 'row':
      return view.target?.state.rows.get(subject.key)?.origin.object;
    case 'session':
      return ofKey(subject.session.peer);
    case 'key':
      return ofKey(subject.publicKey);
  }
}

function fleetOf(object: FleetObject, { fleets }: Known): Fleet | undefined {
  return fleets.find((fleet) => objectOf(fleet, refOf(object)) === object);
}

function related(object: FleetObject, fleet: Fleet | undefined): readonly ObjectRef[] {
  switch (object.kind) {
    case 'Cluster':
      return [];
    case 'VIP':
      return [`peer/${object.peer}`, `cluster/${object.cluster}`];
    case 'Peer': {
      const name = object.metadata.name;
      const vips = object.clusters.flatMap((cluster) => [...(fleet?.vipsOfPeer.get(`${cluster}/${name}`) ?? [])]);
      return [
        ...vips.map((vip): ObjectRef => `vip/${vip}`),
        ...object.clusters.map((each): ObjectRef => `cluster/${each}`),
      ];
    }
  }
}

/** Of an address, the way to it: its own rows and those of its peer. Of a cluster, the link and the routes alone. */
function rowsBehind(
  objects: readonly FleetObject[],
  publicKey: PublicKey | undefined,
  { view }: Known,
): readonly RowKey[] {
  const rowsOf = view.target?.state.rowsOf;
  const own = objects.length === 1 ? objects : objects.filter(({ kind }) => kind !== 'Cluster');
  const desired = own.flatMap((object) => rowsOf?.get(refOf(object)) ?? []);
  if (publicKey === undefined || desired.length > 0) return desired;
  const stray = [...view.observed].filter(([, { row }]) => 'publicKey' in row && row.publicKey === publicKey);
  return stray.map(([key]) => key);
}

function keyOf(subject: Subject, objects: readonly FleetObject[], { view }: Known): PublicKey | undefined {
  if (subject.kind === 'key') return subject.publicKey;
  if (subject.kind === 'session') return subject.session.peer;
  for (const object of objects) if (object.kind === 'Peer') return object.publicKey;
  const row = subject.kind === 'row' ? view.observed.get(subject.key)?.row : undefined;
  return row !== undefined && 'publicKey' in row && row.publicKey !== 'self' ? row.publicKey : undefined;
}

function sessionsOf(subject: Subject, publicKey: PublicKey | undefined, known: Known): readonly SessionState[] {
  if (subject.kind === 'session') return [subject.session];
  return publicKey === undefined ? [] : known.sessions.filter(({ peer }) => peer === publicKey);
}

function rowReport(key: RowKey, known: Known): RowReport | undefined {
  const { view, fleets } = known;
  const desired = view.target?.state.rows.get(key);
  const observed = view.observed.get(key);
  const failure = view.failures.get(key);
  const row = shown(observed?.row, desired?.row, failure !== undefined);
  if (row === undefined) return undefined;
  const text = describeRow(row, namesOf(...fleets));
  const message = failure === undefined ? {} : { message: withFix(failure.message, failure.fix) };
  if (desired === undefined) return { key, text, state: 'undesired', ...message };
  const verifiedMs = view.verifiedAt(key);
  const verifiedAt = verifiedMs === undefined ? {} : { verifiedAt: new Date(verifiedMs).toISOString() };
  if (failure === undefined)
    return { key, text, state: verifiedMs === undefined ? 'pending' : 'verified', ...verifiedAt };
  const waits = failure.code === 'link-absent' || failure.code === 'backing-off';
  return { key, text, state: waits ? 'pending' : 'failed', ...verifiedAt, ...message };
}

/** What is there where it is right: an endpoint that a handshake proved is not the manifest's. */
function shown(observed: Row | undefined, desired: Row | undefined, failing: boolean): Row | undefined {
  return failing ? (desired ?? observed) : (observed ?? desired);
}

function withFix(message: string, fix: string | undefined): string {
  return fix === undefined ? message : `${message}. ${fix}`;
}

/** The cluster that this node programs. */
export function clusterHere({ view }: Known): string | undefined {
  return view.target && clusterOf(view.target)?.metadata.name;
}
