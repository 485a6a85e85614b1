import type { Fleet, Peer } from '../../manifest/model.ts';
import { diff } from '../diff.ts';
import { plan } from '../plan.ts';
import { type Change, type DesiredRow, type Plan, type RowKey, rowKey } from '../rows.ts';
import { linkOf, refOf, rowsOfObject } from '../share.ts';
import { type Common, subjectOf, type View } from './common.ts';
import { cutsLink, cutsPeer } from './cuts.ts';
import type { NodeChange, Place } from './nodes.ts';

/** What one node does: what it has in common with others, without what is about itself, and what it does alone. */
export interface NodeImpact {
  /** The node's Peer. */
  readonly node: string;
  /** Its Peer's name before, where that was another one. */
  readonly renamedFrom?: string;
  /** Absent: it carries nothing out. */
  readonly common?: Common;
  /** Keys of common changes that it does not carry out. */
  readonly except: ReadonlySet<RowKey>;
  readonly own: readonly Change[];
  /** Its link goes or comes back anew: every session ends. */
  readonly cutsAll: boolean;
  /** No longer a member. */
  readonly leaves?: true;
  /** Where the node does something else than carry out the change: it is no longer a member, the fleet asks too much. */
  readonly note?: string;
}

/** A node, and what becomes of it. */
export interface NodeOutcome {
  readonly change: NodeChange;
  readonly impact: NodeImpact;
}

const NOTHING: ReadonlySet<RowKey> = new Set();
const GONE = 'no longer a member: it keeps what it has, and every other node cuts it off';

export function nodeImpact(
  before: Fleet,
  after: Fleet,
  change: NodeChange,
  commonOf: (from: Place, to: Place) => Common,
): NodeImpact {
  const { node, was, is, from, to, problem } = change;
  const still = { node, except: NOTHING, own: [], cutsAll: false };
  if (problem !== undefined) return { ...still, note: problem.message };
  if (to === 'absent' || to === 'revoked')
    return typeof from === 'string' ? still : { ...still, leaves: true, note: GONE };
  const common = commonOf(from, to);
  const renamed = was !== undefined && was.metadata.name !== node ? { renamedFrom: was.metadata.name } : {};
  const keys = [...keysAbout(common.from, was), ...keysAbout(common.to, is)];
  if (keys.length === 0 && !common.relinks) return { ...still, ...renamed, common };
  const own = diff(ownRows(after, to, common.to, keys), ownRows(before, from, common.from, keys));
  const except = new Set(keys.filter((key) => common.byKey.has(key)));
  return { node, ...renamed, common, except, own, cutsAll: own.some(cutsLink) };
}

function keysAbout({ keysOf }: View, peer: Peer | undefined): readonly RowKey[] {
  return (peer && keysOf.get(peer.metadata.name)) ?? [];
}

/** The node's link, MACs and addresses, and, under the keys that are about it for others, what is about somebody else for it. */
function ownRows(fleet: Fleet, place: Place, view: View, keys: readonly RowKey[]): Map<RowKey, DesiredRow> {
  const rows = new Map<RowKey, DesiredRow>();
  if (typeof place === 'string') return rows;
  const self = place.self.metadata.name;
  const put = (desired: DesiredRow) => rows.set(rowKey(desired.row), desired);
  put(linkOf(place, fleet));
  for (const key of keys) {
    const desired = view.rows.get(key);
    if (desired !== undefined && subjectOf(fleet, desired) !== self) put(desired);
  }
  for (const ref of [refOf(place.self), ...(view.vipsOf.get(self) ?? [])]) {
    for (const desired of rowsOfObject(place, fleet, ref)) put(desired);
  }
  return rows;
}

/** All that the node does, in order. Cost: the plan. */
export function changesOf({ common, except, own }: NodeImpact): Plan {
  if (common === undefined) return [];
  if (own.length === 0 && except.size === 0) return common.changes;
  return plan([...common.changes.filter(({ key }) => !except.has(key)), ...own]);
}

export function operationsOf({ common, except, own }: NodeImpact): number {
  return (common?.changes.length ?? 0) - except.size + own.length;
}

/** Names of the peers whose sessions with this node end, in no order. */
export function sessionsCutOf(impact: NodeImpact, before: Fleet): readonly string[] {
  const { common, except, own, cutsAll } = impact;
  if (common === undefined) return [];
  const self = impact.renamedFrom ?? impact.node;
  if (cutsAll) return [...common.from.talksTo.keys()].filter((name) => name !== self);
  const names = new Set<string>();
  for (const [key, name] of common.cut) if (!except.has(key)) names.add(name);
  for (const change of own) if (cutsPeer(change)) names.add(before.peerByKey.get(change.from.publicKey) ?? '');
  return [...names];
}

export function countSessionsCut({ common, except, own, cutsAll }: NodeImpact): number {
  if (common === undefined) return 0;
  if (cutsAll) return Math.max(0, common.from.talksTo.size - 1);
  let excepted = 0;
  for (const key of except) if (common.cut.has(key)) excepted++;
  return common.cut.size - excepted + own.filter(cutsPeer).length;
}
