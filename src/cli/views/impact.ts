import type { NodeImpact } from '../../reconcile/impact.ts';
import type { Change, RowKind } from '../../reconcile/rows.ts';
import type { Style } from '../style.ts';
import { byName, oneLine, plural, wrap } from '../text.ts';
import { changeLines, changeWords, OPERATIONS, type PeerNames, rowOf, signOf } from './changes.ts';

/** Nodes that do the same. */
export interface NodeGroup {
  readonly nodes: readonly string[];
  /** Of the first of them. */
  readonly impact: NodeImpact;
  /** They do the same to different rows (each to all others, say): only the counts are common. */
  readonly alike: boolean;
}

interface ImpactLayout {
  readonly names: PeerNames;
  readonly style: Style;
  readonly width: number | undefined;
  /** Every operation, however many. */
  readonly whole: boolean;
}

const COLLAPSE_ABOVE = 12;

/**
 * Groups nodes by what they do, the largest group first: a fleet of a thousand robots reads like one of three.
 * Long plans count as the same if they do as much of each kind.
 */
export function groupNodes(impacts: readonly NodeImpact[], layout: ImpactLayout): NodeGroup[] {
  const groups = new Map<string, { nodes: string[]; impact: NodeImpact; long: boolean }>();
  for (const impact of [...impacts].sort((a, b) => byName(a.node, b.node))) {
    const long = !layout.whole && impact.changes.length > COLLAPSE_ABOVE;
    const deeds = long
      ? [countLines(impact.changes, layout.style), impact.sessionsCut.length]
      : [
          impact.changes.map((change) => [change.key, changeWords(change, layout.names, layout.style)]),
          impact.sessionsCut,
        ];
    const signature = JSON.stringify([deeds, impact.note]);
    const group = groups.get(signature);
    if (group === undefined) groups.set(signature, { nodes: [impact.node], impact, long });
    else group.nodes.push(impact.node);
  }
  return [...groups.values()]
    .map(({ nodes, impact, long }) => ({ nodes, impact, alike: long && nodes.length > 1 }))
    .sort((a, b) => b.nodes.length - a.nodes.length);
}

const NAMED_NODES = 6;
const LIST_WIDTH = 80;

export function groupLines({ nodes, impact, alike }: NodeGroup, layout: ImpactLayout): string[] {
  const { style } = layout;
  const heading =
    nodes.length === 1 ? (nodes[0] ?? '') : `${plural(nodes.length, 'node')}: ${nameList(nodes, NAMED_NODES, style)}`;
  const title = style.paint('bold', oneLine(heading));
  if (!alike) return [title, ...impactLines(impact, layout)];
  const cut = impact.sessionsCut.length;
  return [
    title,
    ...countLines(impact.changes, style).map((line) => `  ${line}`),
    ...(cut === 0 ? [] : [`  ${style.paint('remove', 'sessions cut:')} ${plural(cut, 'session')} on each`]),
    ...noteLines(impact.note, layout),
  ];
}

/** A node's operations, its sessions cut and its note, indented by two. */
export function impactLines(
  impact: Pick<NodeImpact, 'changes' | 'sessionsCut' | 'note'>,
  layout: ImpactLayout,
): string[] {
  const { style } = layout;
  const lines = operationLines(impact.changes, layout);
  if (impact.sessionsCut.length > 0) {
    const names = [...impact.sessionsCut].sort(byName);
    const cut = layout.whole ? names.join(', ') : nameList(names, NAMED_NODES, style);
    lines.push(`  ${style.paint('remove', 'sessions cut:')} ${oneLine(cut)}`);
  }
  return [...lines, ...noteLines(impact.note, layout)];
}

function noteLines(note: string | undefined, { style, width }: ImpactLayout): string[] {
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
};

/** `+ 1 interface, 998 peers, …`: a line per kind of operation. */
function countLines(changes: readonly Change[], style: Style, more = ''): string[] {
  return OPERATIONS.flatMap((op) => {
    const counts = new Map<RowKind, number>();
    for (const change of changes) {
      if (change.op === op) counts.set(rowOf(change).kind, (counts.get(rowOf(change).kind) ?? 0) + 1);
    }
    const words = Object.entries(KIND_WORDS).flatMap(([kind, names]) => {
      const count = counts.get(kind as RowKind) ?? 0;
      return count === 0 ? [] : [plural(count, `${more}${names[0]}`, `${more}${names[1]}`)];
    });
    return words.length === 0 ? [] : [`${signOf(op, style)} ${words.join(', ')}`];
  });
}

/** All operations, or, of a long plan, the first few of each kind and how many more there are. */
function operationLines(changes: readonly Change[], layout: ImpactLayout): string[] {
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
  const more = countLines(hidden, layout.style, 'more ').map((line) => `  ${line}`);
  const hint = more.length === 0 ? [] : [layout.style.paint('dim', '  (-o wide shows all)')];
  return [...changeLines(shown, layout.names, options), ...more, ...hint];
}

function nameList(names: readonly string[], limit: number, style: Style): string {
  if (names.length <= limit) return names.join(', ');
  return `${names.slice(0, limit - 1).join(', ')}, ${style.symbols.ellipsis} ${names.at(-1) ?? ''}`;
}
