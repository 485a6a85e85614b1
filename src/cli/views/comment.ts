import { shortRevision } from '../format.ts';
import type { RevisionComparison } from '../revisions.ts';
import { createStyle } from '../style.ts';
import { oneLine, plural, truncate } from '../text.ts';
import { summaryOf } from './comparison.ts';
import { type Effect, effectsOf, headlinesOf } from './effects.ts';
import { fleetNames } from './fleet.ts';
import { groupLines, groupNodes, type NodeGroup } from './impact.ts';
import { fieldWords, type ManifestChange } from './manifests.ts';
import { bounded, code, codeHtml, details, fenced, table } from './markdown.ts';
import { place } from './objects.ts';
import { nameList } from './plan.ts';

/** GitHub takes 65,536 characters, GitLab a million. */
const LIMIT = 60_000;
/** By which a job finds the comment that it wrote before. */
const MARK = '<!-- omni diff -->';
const SHOWN = { manifests: 100, effects: 40, groups: 30, lines: 60, columns: 160 };

const style = createStyle({ color: false, utf8: true });

/** A comparison as a comment on a pull request: the outcome first, then a table, then what is folded away. */
export function comparisonComment(comparison: RevisionComparison): string {
  const { from, to, manifests } = comparison;
  const subject = to.subject === undefined ? '' : `: ${code(truncate(to.subject, 100, '…'))}`;
  const range = `${code(shortRevision(from.label))} → ${code(shortRevision(to.label))}${subject}`;
  if (manifests.length === 0) return `${MARK}\n### omni diff: no difference\n\n${range}\n`;
  const effects = effectsOf(comparison, code);
  const blocks = [
    `${MARK}\n### omni diff: ${headlinesOf(comparison).join(', ')}`,
    range,
    ...refusalBlocks(effects.filter(({ detail }) => detail !== undefined)),
    ...effectBlocks(effects.filter(({ detail }) => detail === undefined)),
    countsTable(comparison),
    manifestsBlock(manifests),
    ...groupBlocks(comparison),
  ];
  const ids = [from, to].map(({ id }) => (/^[0-9a-f]{40,64}$/.test(id) ? id.slice(0, 12) : undefined));
  const command = `omni diff --rev ${ids[0] ?? ''}${ids[1] === undefined ? '' : `..${ids[1]}`}`;
  return bounded(blocks, LIMIT, (left) => {
    return `**Cut**: ${plural(left, 'part')} more would not fit into a comment. ${code(command)} shows all.`;
  });
}

/** Somebody has to do something: not folded away, and in the words of a node. */
function refusalBlocks(refusals: readonly Effect[]): string[] {
  return refusals.map(({ text, detail = '' }) => {
    const words = fenced(wrapped(detail), 'text');
    return [`[!CAUTION]`, `**${text}**`, '', ...words.split('\n')].map((line) => `> ${line}`.trimEnd()).join('\n');
  });
}

/** Lines of a message, each a sentence. */
function wrapped(text: string): string[] {
  return oneLine(text).split(/(?<=\.) (?=[A-Z])/);
}

function effectBlocks(effects: readonly Effect[]): string[] {
  if (effects.length === 0) return [];
  const lines = effects
    .slice(0, SHOWN.effects)
    .map(({ tone, text }) => (tone === 'bad' ? `- ⛔ **${text}**` : `- ${tone === 'warn' ? '⚠️ ' : ''}${text}`));
  const more = effects.length - SHOWN.effects;
  return [[...lines, ...(more > 0 ? [`- and ${more} more`] : [])].join('\n')];
}

function countsTable(comparison: RevisionComparison): string {
  const summary = summaryOf(comparison);
  const count = (value: number): string => value.toLocaleString('en-US');
  const rows: [string, number][] = [
    ['manifests added', summary.added],
    ['manifests changed', summary.changedManifests],
    ['manifests removed', summary.removed],
    ['nodes that change', summary.nodes],
    ['operations on the data path', summary.operations],
    ['sessions cut', summary.sessionsCut],
    ['nodes that lose a peer', summary.nodesLosingPaths],
    ['addresses moved', summary.addressesMoved],
  ];
  const shown = rows.filter(([, value]) => value > 0).map(([what, value]) => [what, count(value)]);
  return table(['what', 'how many'], ['-', '-:'], shown);
}

const OPS = { added: 'added', changed: 'changed', removed: 'removed' } as const;

function manifestsBlock(manifests: readonly ManifestChange[]): string {
  const rows = manifests.slice(0, SHOWN.manifests).map(({ op, object, position, fields }) => {
    const words = fields.map((field) => code(shortened(fieldWords(field, style))));
    return [OPS[op], code(object), code(shortened(place(position))), words.join('<br>')];
  });
  const more = manifests.length - rows.length;
  const body = table(['', 'object', 'where', 'what'], ['-', '-', '-', '-'], rows);
  return details(
    `${plural(manifests.length, 'manifest')} changed`,
    more > 0 ? `${body}\n\nand ${plural(more, 'manifest')} more` : body,
  );
}

function groupBlocks(comparison: RevisionComparison): string[] {
  const { before, after, nodes } = comparison;
  const layout = { names: fleetNames(before, after), style, width: undefined, whole: false, before };
  const groups = groupNodes(
    nodes.map(({ impact }) => impact),
    layout,
  );
  const blocks = groups.slice(0, SHOWN.groups).map((group) => {
    // The first line is the heading, which is the summary here; the others are indented by two.
    const lines = groupLines(group, layout).slice(1);
    const shown = lines.slice(0, SHOWN.lines).map((line) => shortened(line.slice(2)));
    const more = lines.length - shown.length;
    return details(summaryOfGroup(group), fenced(more > 0 ? [...shown, `and ${more} more`] : shown, 'diff'));
  });
  const more = groups.length - blocks.length;
  return more > 0 ? [...blocks, `and ${plural(more, 'group')} of nodes more, that do something else each`] : blocks;
}

function summaryOfGroup({ nodes }: NodeGroup): string {
  const names = codeHtml(nameList(nodes, style));
  return nodes.length === 1 ? names : `${plural(nodes.length, 'node')}: ${names}`;
}

function shortened(text: string): string {
  return truncate(text, SHOWN.columns, '…');
}
