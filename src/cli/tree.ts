import type { Style, Tone } from './style.ts';
import { oneLine, wrap } from './text.ts';

export interface TreeNode {
  readonly text: string;
  /** A sign before the text, in its tone. */
  readonly mark?: readonly [tone: Tone, sign: string];
  readonly tone?: Tone;
  readonly children?: readonly TreeNode[];
}

const INDENT = '   ';

/** A tree under its root's text; lines are wrapped to `width` where that is given. Ends in a newline. */
export function renderTree(
  root: TreeNode,
  options: { readonly style: Style; readonly width: number | undefined },
): string {
  return `${lines(root, '', '', options).join('\n')}\n`;
}

function lines(
  { text, mark, tone, children = [] }: TreeNode,
  first: string,
  rest: string,
  options: { readonly style: Style; readonly width: number | undefined },
): string[] {
  const { style, width } = options;
  const { branch, lastBranch, trunk } = style.symbols;
  const sign = mark === undefined ? '' : `${style.paint(...mark)} `;
  const hang = mark === undefined ? '' : '  ';
  const below = children.length > 0 ? trunk : '';
  const room = width === undefined ? Number.POSITIVE_INFINITY : Math.max(20, width - first.length - INDENT.length);
  const own = wrap(style.encode(oneLine(text)), room).map((line, index) => {
    const painted = tone === undefined ? line : style.paint(tone, line);
    return index === 0 ? `${first}${sign}${painted}` : `${rest}${below || hang}${painted}`;
  });
  const inner = children.flatMap((child, index) => {
    const last = index === children.length - 1;
    return lines(child, `${rest}${last ? lastBranch : branch}`, `${rest}${last ? INDENT : trunk}`, options);
  });
  return [...own, ...inner];
}
