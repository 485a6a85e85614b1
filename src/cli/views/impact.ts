import type { Fleet } from '../../manifest/model.ts';
import type { Common } from '../../reconcile/impact/common.ts';
import {
  changesOf,
  countSessionsCut,
  type NodeImpact,
  operationsOf,
  sessionsCutOf,
} from '../../reconcile/impact/node.ts';
import type { Change } from '../../reconcile/rows.ts';
import type { Style } from '../style.ts';
import { byName, oneLine, plural } from '../text.ts';
import { changeWords } from './changes.ts';
import {
  COLLAPSE_ABOVE,
  type Counts,
  countChanges,
  linesOfCounts,
  type NodePlan,
  nameList,
  noteLines,
  type PlanLayout,
  planLines,
} from './plan.ts';

/** Nodes that do the same. */
export interface NodeGroup {
  readonly nodes: readonly string[];
  /** Of the first of them. */
  readonly impact: NodeImpact;
  /**
   * `whole`: each does exactly this. `alike`: they do the same to different rows (each to all others, say), and only the
   * counts are common. `common`: what they have in common, in full. `own`: what comes on top of that.
   */
  readonly form: 'whole' | 'alike' | 'common' | 'own';
}

export interface ImpactLayout extends PlanLayout {
  readonly before: Fleet;
}

/**
 * Groups nodes by what they do, the largest group first: a fleet of a thousand robots reads like one of three.
 * Long plans count as the same if they do as much of each kind; with `whole`, what they have in common is told once.
 */
export function groupNodes(impacts: readonly NodeImpact[], layout: ImpactLayout): NodeGroup[] {
  const sorted = [...impacts].sort((a, b) => byName(a.node, b.node));
  const told = layout.whole ? toldOnce(sorted) : new Map<Common, NodeImpact[]>();
  const groups = new Map<string, { nodes: string[]; impact: NodeImpact; form: NodeGroup['form'] }>();
  const signatures = new Signatures(layout);
  for (const impact of sorted) {
    const isTold = impact.common !== undefined && told.has(impact.common) && isLong(impact);
    if (isTold && impact.own.length === 0 && impact.except.size === 0 && impact.note === undefined) continue;
    const form = isTold ? 'own' : isLong(impact) && !layout.whole ? 'alike' : 'whole';
    const signature = `${form} ${signatures.of(impact, form)}`;
    const group = groups.get(signature);
    if (group === undefined) groups.set(signature, { nodes: [impact.node], impact, form });
    else group.nodes.push(impact.node);
  }
  const common = [...told.values()].flatMap((members): NodeGroup[] => {
    const [impact] = members;
    return impact === undefined ? [] : [{ nodes: members.map(({ node }) => node), impact, form: 'common' }];
  });
  const rest = [...groups.values()].map((group) =>
    group.form === 'alike' && group.nodes.length === 1 ? { ...group, form: 'whole' as const } : group,
  );
  return [...common, ...rest.sort((a, b) => b.nodes.length - a.nodes.length)];
}

function isLong(impact: NodeImpact): boolean {
  return operationsOf(impact) > COLLAPSE_ABOVE;
}

/** Long lists of changes that several nodes share. */
function toldOnce(impacts: readonly NodeImpact[]): Map<Common, NodeImpact[]> {
  const members = new Map<Common, NodeImpact[]>();
  for (const impact of impacts) {
    if (impact.common === undefined || !isLong(impact)) continue;
    const list = members.get(impact.common) ?? [];
    members.set(impact.common, list);
    list.push(impact);
  }
  for (const [common, { length }] of members) if (length < 2) members.delete(common);
  return members;
}

/** Texts that are equal for nodes that read the same. */
class Signatures {
  readonly #layout: ImpactLayout;
  readonly #ofCommon = new Map<Common, string>();

  constructor(layout: ImpactLayout) {
    this.#layout = layout;
  }

  of(impact: NodeImpact, form: NodeGroup['form']): string {
    const rest = [impact.note, impact.renamedFrom !== undefined];
    if (form === 'own') return JSON.stringify([this.#words(impact.own), [...impact.except], rest]);
    if (form === 'alike')
      return JSON.stringify([countLines(impact, this.#layout.style), countSessionsCut(impact), rest]);
    const { common, own, except } = impact;
    if (common === undefined || own.length > 0 || except.size > 0) return JSON.stringify([this.#plan(impact), rest]);
    const known = this.#ofCommon.get(common) ?? JSON.stringify([this.#plan(impact), rest]);
    this.#ofCommon.set(common, known);
    return known;
  }

  #plan(impact: NodeImpact): unknown {
    return [this.#words(changesOf(impact)), [...sessionsCutOf(impact, this.#layout.before)].sort()];
  }

  #words(changes: readonly Change[]): unknown {
    return changes.map((change) => [change.key, changeWords(change, this.#layout.names, this.#layout.style)]);
  }
}

export function groupLines({ nodes, impact, form }: NodeGroup, layout: ImpactLayout): string[] {
  const { style } = layout;
  const heading = nodes.length === 1 ? (nodes[0] ?? '') : `${plural(nodes.length, 'node')}: ${nameList(nodes, style)}`;
  const title = style.paint('bold', oneLine(heading));
  const notes = [...renameLines(nodes, impact), ...noteLines(impact.note, layout)];
  switch (form) {
    case 'whole':
      return [title, ...planLines(planOf(impact, layout.before), layout), ...renameLines(nodes, impact)];
    case 'common': {
      const changes = impact.common?.changes ?? [];
      const text = 'each does this, but for what is about itself:';
      return [title, `  ${text}`, ...planLines({ changes, sessionsCut: [] }, layout)];
    }
    case 'own': {
      const { own, except } = impact;
      const without = except.size === 0 ? [] : [`  as above, but for ${plural(except.size, 'row')} about itself, and:`];
      return [title, ...without, ...planLines({ changes: own, sessionsCut: [] }, layout), ...notes];
    }
    case 'alike': {
      const cut = countSessionsCut(impact);
      return [
        title,
        ...countLines(impact, style).map((line) => `  ${line}`),
        ...(cut === 0 ? [] : [`  ${style.paint('remove', 'sessions cut:')} ${plural(cut, 'session')} on each`]),
        ...notes,
      ];
    }
  }
}

function planOf(impact: NodeImpact, before: Fleet): NodePlan {
  const { note } = impact;
  const sessionsCut = sessionsCutOf(impact, before);
  return { changes: changesOf(impact), sessionsCut, ...(note === undefined ? {} : { note }) };
}

function renameLines(nodes: readonly string[], { renamedFrom }: NodeImpact): string[] {
  if (renamedFrom === undefined) return [];
  return [nodes.length === 1 ? `  renamed from ${oneLine(renamedFrom)}` : '  renamed'];
}

const commonCounts = new WeakMap<Common, Counts>();

function countsOf({ common, except, own }: NodeImpact): Counts {
  if (common === undefined) return new Map();
  const known = commonCounts.get(common) ?? countChanges(common.changes);
  commonCounts.set(common, known);
  const excepted = [...except].flatMap((key) => common.byKey.get(key) ?? []);
  return countChanges(own, countChanges(excepted, new Map(known), -1));
}

function countLines(impact: NodeImpact, style: Style): string[] {
  return linesOfCounts(countsOf(impact), style);
}
