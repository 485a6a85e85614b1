import type { Common } from '../../reconcile/impact/common.ts';
import { changesOf, countSessionsCut, type NodeImpact, sessionsCutOf } from '../../reconcile/impact/node.ts';
import { shortRevision } from '../format.ts';
import type { RevisionComparison } from '../revisions.ts';
import type { Style } from '../style.ts';
import { oneLine, plural, wrap } from '../text.ts';
import { type Effect, effectsOf } from './effects.ts';
import { fleetNames } from './fleet.ts';
import { groupLines, groupNodes } from './impact.ts';
import { manifestLines } from './manifests.ts';

interface ComparisonLayout {
  readonly style: Style;
  /** Columns; undefined: as wide as it gets. */
  readonly width: number | undefined;
  /** Every manifest and operation, however many. */
  readonly whole: boolean;
}

/** For terminals: manifests, what a reviewer must not miss, what nodes do, the tally. */
export function comparisonText(comparison: RevisionComparison, layout: ComparisonLayout): string {
  const { style } = layout;
  const { from, to, manifests, before, after } = comparison;
  const names = fleetNames(before, after);
  const range = `${shortRevision(from.label)} ${style.symbols.arrow} ${shortRevision(to.label)}`;
  const heading = `${plural(manifests.length, 'manifest')} changed, ${range}`;
  const effects = effectsOf(comparison, oneLine).flatMap((effect) => effectLines(effect, layout));
  const impacts = comparison.nodes.map(({ impact }) => impact);
  const groups = groupNodes(impacts, { ...layout, names, before });
  const summary = summaryOf(comparison);
  const counts = `${summary.added} added, ${summary.changedManifests} changed, ${summary.removed} removed`;
  const effect = `${plural(summary.operations, 'operation')} on ${plural(summary.nodes, 'node')}`;
  return [
    [style.paint('bold', oneLine(heading)), ...manifestLines(manifests, layout)].join('\n'),
    ...(effects.length === 0 ? [] : [effects.join('\n')]),
    ...groups.map((group) => groupLines(group, { ...layout, names, before }).join('\n')),
    `${counts}; ${effect}; ${plural(summary.sessionsCut, 'session')} cut`,
  ].join('\n\n');
}

const TEXT_WIDTH = 100;

function effectLines({ tone, text, detail }: Effect, { style, width }: ComparisonLayout): string[] {
  const { fail, warn, action } = style.symbols;
  const sign = { bad: style.paint('bad', fail), warn: style.paint('warn', warn), plain: action }[tone];
  const room = Math.max(40, width ?? TEXT_WIDTH);
  const [first = '', ...rest] = wrap(text, room - 2);
  const more = detail === undefined ? [] : wrap(oneLine(detail), room - 4);
  return [`${sign} ${first}`, ...[...rest, ...more].map((line) => `    ${line}`)];
}

/** Counts of a comparison: under these names in JSON, too. */
export function summaryOf(comparison: RevisionComparison): {
  readonly added: number;
  readonly changedManifests: number;
  readonly removed: number;
  readonly nodes: number;
  readonly operations: number;
  readonly sessionsCut: number;
  readonly nodesLosingPaths: number;
  readonly nodesIsolated: number;
  readonly nodesRefusing: number;
  readonly addressesMoved: number;
} {
  const { manifests, nodes, pathLosses, refusals, addresses } = comparison;
  const count = (op: string): number => manifests.filter((manifest) => manifest.op === op).length;
  const distinct = (lists: readonly { readonly nodes: readonly string[] }[]): number =>
    new Set(lists.flatMap((list) => list.nodes)).size;
  return {
    added: count('added'),
    changedManifests: count('changed'),
    removed: count('removed'),
    nodes: nodes.filter(({ operations }) => operations > 0).length,
    operations: nodes.reduce((sum, { operations }) => sum + operations, 0),
    sessionsCut: comparison.sessionsCut,
    nodesLosingPaths: distinct(pathLosses),
    nodesIsolated: distinct(pathLosses.filter(({ isolated }) => isolated)),
    nodesRefusing: distinct(refusals),
    addressesMoved: addresses.filter(({ from, to }) => from !== undefined && to !== undefined).length,
  };
}

/**
 * For programs. A node does `changes` and, where it names `common`, the changes of that entry without the keys of its
 * `except`: what a thousand nodes share is there once. With one node, its list is whole.
 */
export function comparisonDocument(comparison: RevisionComparison, whole: boolean): object {
  const { from, to, manifests, nodes, pathLosses, refusals, addresses, keys } = comparison;
  const commons = [...new Set(nodes.flatMap(({ impact }) => impact.common ?? []))];
  const ids = new Map<Common | undefined, number>(commons.map((common, at) => [common, at]));
  return {
    from,
    to,
    manifests,
    common: whole ? [] : commons.map((common, id) => commonDocument(common, id)),
    nodes: nodes.map(({ impact }) => {
      const { node, renamedFrom, note, except, own, cutsAll, common } = impact;
      const rest = { ...(renamedFrom !== undefined && { renamedFrom }), ...(note !== undefined && { note }) };
      const sessionsCut = { count: countSessionsCut(impact), every: cutsAll };
      if (whole) {
        const names = cutNames(impact, comparison);
        return { node, ...rest, changes: changesOf(impact), sessionsCut: { ...sessionsCut, names } };
      }
      const shared = common === undefined ? {} : { common: ids.get(common), except: [...except] };
      return { node, ...rest, ...shared, changes: own, sessionsCut };
    }),
    pathLosses,
    refusals,
    addresses,
    keys,
    summary: { changed: manifests.length > 0, ...summaryOf(comparison) },
  };
}

function commonDocument({ from, to, changes, cut }: Common, id: number): object {
  const names = [...new Set(cut.values())].sort();
  return { id, fromCluster: from.cluster, toCluster: to.cluster, changes, sessionsCut: { count: names.length, names } };
}

function cutNames(impact: NodeImpact, { before }: RevisionComparison): string[] {
  return [...sessionsCutOf(impact, before)].sort();
}
