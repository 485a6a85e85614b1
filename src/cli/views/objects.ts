import type { ConditionStatus, Json, ObjectStatus } from '../../agent/api.ts';
import type { Position } from '../../manifest/model.ts';
import { ageOf, humanBytes, humanSpan, shortDigests, shortRevision } from '../format.ts';
import type { ObjectKind } from '../kinds.ts';
import type { Cell, Column } from '../table.ts';
import { livePaths, pathRoundTrip } from './paths.ts';

export type ObjectView = Json<ObjectStatus>;

/** The two clocks that ages are counted from: the wall's, and the data plane's for session times. */
export interface Clocks {
  readonly nowMs: number;
  /** `SessionPlane.now()`; undefined: the agent did not say. */
  readonly sessionMs: number | undefined;
}

interface ObjectColumn extends Column {
  /** Shown by `-o wide` only. */
  readonly wide?: boolean;
  cell(object: ObjectView, clocks: Clocks): Cell;
}

const NAME: ObjectColumn = { header: 'NAME', cell: ({ object }) => nameOf(object) };
const READY: ObjectColumn = { header: 'READY', cell: ({ ready }) => readyCell(ready) };
const STATUS: ObjectColumn = {
  header: 'STATUS',
  flexible: true,
  cell: ({ reason, message }) => shortDigests(message || reason),
};
const AGE: ObjectColumn = { header: 'AGE', optional: true, cell: ({ since }, { nowMs }) => ageOf(since, nowMs) };
const REVISION: ObjectColumn = {
  header: 'REVISION',
  wide: true,
  cell: ({ revision }) => shortRevision(revision),
};
const SOURCE: ObjectColumn = { header: 'DECLARED AT', wide: true, cell: ({ position }) => place(position) };

const COLUMNS: Readonly<Record<ObjectKind, readonly ObjectColumn[]>> = {
  peers: [
    NAME,
    READY,
    { header: 'ENDPOINT', flexible: true, cell: ({ detail }) => detail.endpoint ?? detail.endpoints ?? '<none>' },
    { header: 'SESSION', cell: (object, clocks) => sessionAge(object, clocks) },
    { header: 'RX', optional: true, cell: ({ session }) => (session ? humanBytes(session.rxBytes) : '') },
    { header: 'TX', optional: true, cell: ({ session }) => (session ? humanBytes(session.txBytes) : '') },
    STATUS,
    AGE,
    { header: 'KEYS', wide: true, cell: ({ contact }) => keysCell(contact) },
    { header: 'PATHS', wide: true, cell: ({ contact }) => livePaths(contact) },
    { header: 'ROUND TRIP', wide: true, cell: ({ contact }) => pathRoundTrip(contact) },
    { header: 'VIPS', wide: true, cell: ({ detail }) => detail.vips ?? '' },
    { header: 'CLUSTERS', wide: true, cell: ({ detail }) => detail.clusters ?? '' },
    REVISION,
    SOURCE,
  ],
  vips: [
    NAME,
    READY,
    { header: 'ADDRESS', cell: ({ detail }) => detail.address ?? '' },
    { header: 'PEER', cell: ({ detail }) => detail.peer ?? '' },
    { header: 'CLUSTER', optional: true, cell: ({ detail }) => detail.cluster ?? '' },
    STATUS,
    AGE,
    REVISION,
    SOURCE,
  ],
  clusters: [
    NAME,
    READY,
    { header: 'INTERFACE', cell: ({ detail }) => detail.interface ?? '' },
    { header: 'SUBNETS', flexible: true, cell: ({ detail }) => detail.subnets ?? '' },
    { header: 'PORT', optional: true, cell: ({ detail }) => detail.port ?? '' },
    { header: 'PEERS', optional: true, cell: ({ detail }) => detail.peers ?? '' },
    STATUS,
    AGE,
    REVISION,
    SOURCE,
  ],
};

export function objectTable(
  kind: ObjectKind,
  objects: readonly ObjectView[],
  clocks: Clocks,
  wide: boolean,
): { readonly columns: readonly Column[]; readonly rows: readonly (readonly Cell[])[] } {
  const columns = COLUMNS[kind].filter((column) => wide || !column.wide);
  return { columns, rows: objects.map((object) => columns.map((column) => column.cell(object, clocks))) };
}

/** The object as `-o json|yaml` show it: Kubernetes-shaped around what the agent says. */
export function objectDocument(object: ObjectView): { readonly kind: string; readonly [field: string]: unknown } {
  const { object: ref, position, labels, detail, session, contact, refused, ...state } = object;
  return {
    kind: KIND_NAMES[ref.slice(0, ref.indexOf('/'))] ?? ref,
    metadata: { name: nameOf(ref), labels: labels ?? {} },
    position,
    detail,
    status: {
      ...state,
      ...(session === undefined ? {} : { session }),
      ...(contact === undefined ? {} : { contact }),
      ...(refused === undefined ? {} : { refused }),
    },
  };
}

const KIND_NAMES: Readonly<Record<string, string>> = { peer: 'Peer', vip: 'VIP', cluster: 'Cluster' };

export function nameOf(ref: string): string {
  return ref.slice(ref.indexOf('/') + 1);
}

function readyCell(status: ConditionStatus): Cell {
  return { text: status, tone: status === 'True' ? 'good' : status === 'False' ? 'bad' : 'warn' };
}

/** `fleet/robot-17.yaml:1:1` */
export function place(position: Position): string {
  return `${position.file}:${position.line}:${position.column}`;
}

/** Of the session in use. */
function keysCell(contact: ObjectView['contact']): Cell {
  if (contact?.hybrid === undefined) return '';
  return contact.hybrid ? 'hybrid' : 'classic';
}

function sessionAge({ session, contact }: ObjectView, { sessionMs }: Clocks): Cell {
  if (session === undefined) {
    const tries = contact?.unanswered?.tries ?? 0;
    if (tries > 1) return { text: 'no answer', tone: 'bad' };
    return { text: tries === 1 ? 'calling' : '<none>', tone: 'dim' };
  }
  return sessionMs === undefined ? '<unknown>' : humanSpan(sessionMs - session.createdMs);
}
