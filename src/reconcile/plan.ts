import { fingerprint } from '../manifest/keys.ts';
import type { PublicKey } from '../manifest/model.ts';
import { type NameOf, nameOfRow } from './names.ts';
import type { Change, FdbRow, Plan, Row, RowKind } from './rows.ts';

/**
 * Orders changes so that each finds what it depends on, and so that a live path has its successor before it goes:
 *
 *   0      peers that go: a revoked peer is cut before anything else happens
 *   1..4   rows of an interface that goes, and then its link: two interfaces cannot share the port and the underlay's hook
 *   5      MACs that become this node's own, on a link that is there: before the link takes one of them
 *   6..10  create, update: link, peer, address, fdb and neighbour and subnet, route and policy: policy comes after subnet, so that
 *          foreign sources are never allowed while a subnet is still unknown
 *   11..15 other deletions in reverse: route and policy, fdb and neighbour and subnet, address, link
 *
 * Deterministic: by key within a stage.
 */
export function plan(changes: readonly Change[]): Plan {
  const [leaving, coming] = [new Set<string>(), new Set<string>()];
  for (const change of changes) {
    if (change.op === 'delete' && change.from.kind === 'link') leaving.add(change.from.interface);
    if (change.op === 'create' && change.to.kind === 'link') coming.add(change.to.interface);
  }
  const stages: Change[][] = [];
  for (const change of changes) {
    const stage = stageOf(change, leaving, coming);
    stages[stage] ??= [];
    stages[stage].push(change);
  }
  return stages.flatMap((stage) => stage.sort((a, b) => (a.key < b.key ? -1 : Number(a.key > b.key))));
}

const height: Readonly<Record<RowKind, number>> = {
  link: 0,
  peer: 1,
  address: 2,
  fdb: 3,
  neighbour: 3,
  subnet: 3,
  route: 4,
  policy: 4,
};
const top = 4;

function stageOf(change: Change, leaving: ReadonlySet<string>, coming: ReadonlySet<string>): number {
  if (change.op !== 'delete') {
    const { to } = change;
    const own = to.kind === 'fdb' && to.publicKey === 'self';
    return own && !coming.has(to.interface) ? 5 : 6 + height[to.kind];
  }
  if (change.from.kind === 'peer') return 0;
  const reversed = top - height[change.from.kind];
  return leaving.has(change.from.interface) ? 1 + reversed : 11 + reversed;
}

/** One line per change, in order: `+ fdb/omni0/02:… -> robot-17`. Plain text; no line break at the end. */
export function renderPlan(steps: Plan, nameOf: NameOf): string {
  return steps.map((change) => describeChange(change, nameOf)).join('\n');
}

/** `+` create, `~` update, `-` delete. */
function describeChange(change: Change, nameOf: NameOf): string {
  switch (change.op) {
    case 'create':
      return `+ ${describeRow(change.to, nameOf)}`;
    case 'delete':
      return `- ${describeRow(change.from, nameOf)}`;
    case 'update':
      return `~ ${nameOfRow(change.to, nameOf)}: ${change.fields
        .map((field) => `${field} ${fieldText(change.from, field, nameOf)} -> ${fieldText(change.to, field, nameOf)}`)
        .join(', ')}`;
  }
}

/** A row on one line: its name, and what it says. */
export function describeRow(row: Row, nameOf: NameOf): string {
  const value = valueText(row, nameOf);
  return value === '' ? nameOfRow(row, nameOf) : `${nameOfRow(row, nameOf)} ${value}`;
}

/** What a row says beside its name; empty for a row that is its name. */
export function valueText(row: Row, nameOf: NameOf): string {
  switch (row.kind) {
    case 'link':
      return `${row.mac} mtu ${row.mtu} port ${row.port}`;
    case 'address':
    case 'route':
    case 'subnet':
      return '';
    case 'policy':
      return `foreign sources ${row.foreignSources}${row.etherTypes === '' ? '' : ` EtherTypes ${row.etherTypes}`}`;
    case 'peer':
      return [
        ...(row.endpoint === undefined ? [] : [`at ${row.endpoint}`]),
        ...(row.roles === undefined ? [] : [`as ${row.roles}`]),
      ].join(' ');
    case 'fdb':
      return `-> ${holderText(row, nameOf)}`;
    case 'neighbour':
      return `-> ${row.mac}`;
  }
}

/** A field's value for people. */
export function fieldText(row: Row, field: string, nameOf: NameOf): string {
  if (row.kind === 'fdb' && field === 'publicKey') return holderText(row, nameOf);
  const value = (row as unknown as Readonly<Record<string, unknown>>)[field];
  if (value === undefined) return '(none)';
  return /PublicKey$/i.test(field) ? fingerprint(value as PublicKey) : String(value);
}

function holderText({ publicKey }: FdbRow, nameOf: NameOf): string {
  return publicKey === 'self' ? 'this node' : nameOf(publicKey);
}
