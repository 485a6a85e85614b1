import type { Change, RowKind } from '../../reconcile/rows.ts';
import type { Style } from '../style.ts';
import { byName, oneLine, plural, wrap } from '../text.ts';
import { changeLines, OPERATIONS, type PeerNames, rowOf, signOf } from './changes.ts';

/** What a node does, in full. */
export interface NodePlan {
  readonly changes: readonly Change[];
  /** Names. */
  readonly sessionsCut: readonly string[];
  readonly note?: string;
}

export interface PlanLayout {
  readonly names: PeerNames;
  readonly style: Style;
  readonly width: number | undefined;
  /** Every operation, however many. */
  readonly whole: boolean;
}

/** Longer plans are shown in part. */
export const COLLAPSE_ABOVE = 12;
const NAMED = 6;
const LIST_WIDTH = 80;

/** A node's operations, its sessions cut and its note, indented by two. */
export function planLines(plan: NodePlan, layout: PlanLayout): string[] {
  const { style } = layout;
  const lines = operationLines(plan.changes, layout);
  if (plan.sessionsCut.length > 0) {
    const names = [...plan.sessionsCut].sort(byName);
    const cut = layout.whole ? names.join(', ') : nameList(names, style);
    lines.push(`  ${style.paint('remove', 'sessions cut:')} ${oneLine(cut)}`);
  }
  return [...lines, ...noteLines(plan.note, layout)];
}

export function noteLines(note: string | undefined, { style, width }: PlanLayout): string[] {
  if (note === undefined) return [];
  const [first = '', ...rest] = wrap(oneLine(note), Math.max(40, (width ?? LIST_WIDTH) - 4));
  return [`  ${style.paint('warn', style.symbols.warn)} ${first}`, ...rest.map((line) => `    ${line}`)];
}

const SHOWN_PER_KIND = 4;
const KIND_WORDS: Readonly<Record<RowKind, readonly [string, string]>> = {
  link: ['interface', 'interfaces'],
  peer: ['peer', 'peers'],
  fdb: ['forwarding entry', 'forwarding entries'],
  neighbour: ['neighbour', 'neighbours'],
  address: ['address', 'addresses'],
  route: ['route', 'routes'],
  subnet: ['subnet', 'subnets'],
  policy: ['policy for sources', 'policies for sources'],
};

export type Counts = Map<string, number>;

/** By operation and kind of row. */
export function countChanges(changes: Iterable<Change>, counts: Counts = new Map(), by = 1): Counts {
  for (const change of changes) {
    const id = `${change.op} ${rowOf(change).kind}`;
    counts.set(id, (counts.get(id) ?? 0) + by);
  }
  return counts;
}

/** `+ 1 interface, 998 peers, …`: a line per kind of operation. */
export function linesOfCounts(counts: Counts, style: Style, more = ''): string[] {
  return OPERATIONS.flatMap((op) => {
    const words = Object.entries(KIND_WORDS).flatMap(([kind, names]) => {
      const count = counts.get(`${op} ${kind}`) ?? 0;
      return count === 0 ? [] : [plural(count, `${more}${names[0]}`, `${more}${names[1]}`)];
    });
    return words.length === 0 ? [] : [`${signOf(op, style)} ${words.join(', ')}`];
  });
}

/** All operations, or, of a long plan, the first few of each kind and how many more there are. */
function operationLines(changes: readonly Change[], layout: PlanLayout): string[] {
  const options = { style: layout.style, width: layout.width, indent: '  ' };
  if (layout.whole || changes.length <= COLLAPSE_ABOVE) return changeLines(changes, layout.names, options);
  const shown: Change[] = [];
  const hidden: Change[] = [];
  const seen = new Map<string, number>();
  for (const change of changes) {
    const group = `${change.op} ${rowOf(change).kind}`;
    const count = seen.get(group) ?? 0;
    seen.set(group, count + 1);
    (count < SHOWN_PER_KIND ? shown : hidden).push(change);
  }
  const more = linesOfCounts(countChanges(hidden), layout.style, 'more ').map((line) => `  ${line}`);
  const hint = more.length === 0 ? [] : [layout.style.paint('dim', '  (-o wide shows all)')];
  return [...changeLines(shown, layout.names, options), ...more, ...hint];
}

/** The first few and the last. */
export function nameList(names: readonly string[], style: Style, limit = NAMED): string {
  if (names.length <= limit) return names.join(', ');
  return `${names.slice(0, limit - 1).join(', ')}, ${style.symbols.ellipsis} ${names.at(-1) ?? ''}`;
}
