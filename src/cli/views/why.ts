import type { Json, WhyReport } from '../../agent/api.ts';
import { fingerprint } from '../../manifest/keys.ts';
import type { PublicKey } from '../../manifest/model.ts';
import { ageOf, humanSpan, shortDigests, shortRevision } from '../format.ts';
import type { Style, Tone } from '../style.ts';
import { renderTree, type TreeNode } from '../tree.ts';
import { shortId } from '../verdict.ts';
import { type Clocks, place } from './objects.ts';
import { sessionName, stateOf } from './sessions.ts';

export type WhyView = Json<WhyReport>;

interface WhyLayout {
  readonly clocks: Clocks;
  readonly style: Style;
  readonly width: number | undefined;
}

/** From what the kernel holds back to who asked for it: rows, the objects that they follow from, the commits behind those. */
export function renderWhy(report: WhyView, { clocks, style, width }: WhyLayout): string {
  const { nowMs } = clocks;
  const children: TreeNode[] = [
    ...report.notes.map((note): TreeNode => ({ text: shortDigests(note), mark: ['dim', style.symbols.action] })),
    ...report.rows.map((row) => rowNode(row, nowMs, style)),
    ...report.sessions.map((session) => sessionNode(session, clocks)),
    ...report.objects.map((object) => objectNode(object, nowMs)),
    ...(report.revision === undefined ? [] : [{ text: `revision ${shortRevision(report.revision.label)}` }]),
  ];
  return renderTree({ text: withoutKeys(report.subject), tone: 'bold', children }, { style, width });
}

const MARKS: Readonly<Record<WhyView['rows'][number]['state'], readonly [Tone, 'ok' | 'warn' | 'fail' | 'wait']>> = {
  verified: ['good', 'ok'],
  pending: ['warn', 'wait'],
  failed: ['bad', 'fail'],
  undesired: ['warn', 'warn'],
};

function rowNode(
  { key, text, state, verifiedAt, message }: WhyView['rows'][number],
  nowMs: number,
  style: Style,
): TreeNode {
  const [tone, symbol] = MARKS[state];
  const seen = verifiedAt === undefined ? undefined : `${ageOf(verifiedAt, nowMs)} ago`;
  const because = message === undefined ? '' : `: ${shortDigests(message)}`;
  const before = seen === undefined ? '' : `; last verified ${seen}`;
  const standing = state === 'verified' && seen !== undefined ? `verified ${seen}` : `${state}${because}${before}`;
  return {
    text: withoutKeys(text || key),
    mark: [tone, style.symbols[symbol]],
    children: [{ text: standing, ...(state === 'verified' ? {} : { tone }) }],
  };
}

function sessionNode(session: WhyView['sessions'][number], { sessionMs }: Clocks): TreeNode {
  const age = sessionMs === undefined ? '' : `, made ${humanSpan(sessionMs - session.createdMs)} ago`;
  return { text: `session ${sessionName(session.localId)}, ${stateOf(session)}${age}` };
}

function objectNode({ object, position, commit }: WhyView['objects'][number], nowMs: number): TreeNode {
  const children = commit === undefined ? [] : [commitNode(commit, nowMs)];
  return { text: `${object}  ${place(position)}`, children };
}

function commitNode(commit: NonNullable<WhyView['objects'][number]['commit']>, nowMs: number): TreeNode {
  const { id, subject, author, time } = commit;
  return { text: `${shortId(id)} "${subject}" by ${author}, ${ageOf(time, nowMs)} ago` };
}

/** Public keys as everything else prints them. */
function withoutKeys(text: string): string {
  return text.replace(/[A-Za-z0-9+/]{43}=/g, (key) => fingerprint(key as PublicKey));
}
