import { oneLine } from '../text.ts';

/**
 * Pieces of GitHub's and GitLab's Markdown. Names, labels, file names and commit subjects are written by anybody who may
 * open a pull request: whatever they hold must stay text, without mentions, links, images, HTML or headings.
 */

/** Text from outside inside a paragraph or a table cell. Code is where neither renderer looks for mentions and links. */
export function code(text: string): string {
  const line = oneLine(text);
  // A backtick could end the span, a bar or a backslash end a table's cell.
  return /^[^`|\\]*[^`|\\\s][^`|\\]*$/.test(line) ? `\`${line}\`` : codeHtml(line);
}

/** As `code`, where Markdown is not looked at: inside `<summary>`. */
export function codeHtml(text: string): string {
  return `<code>${oneLine(text).replace(/[^A-Za-z0-9 ,-]/gu, (char) => `&#${char.codePointAt(0)};`)}</code>`;
}

/** Lines as they are, in a block whose fence is longer than any that they could hold. */
export function fenced(lines: readonly string[], language = ''): string {
  const shown = lines.map(oneLineKeepingIndent);
  const longest = Math.max(2, ...shown.flatMap((line) => (line.match(/`+/g) ?? []).map((run) => run.length)));
  const fence = '`'.repeat(longest + 1);
  return [`${fence}${language}`, ...shown, fence].join('\n');
}

function oneLineKeepingIndent(line: string): string {
  const indent = /^ */.exec(line)?.[0] ?? '';
  return indent + oneLine(line.slice(indent.length));
}

/** Cells are Markdown already. `aligns`: one of `-`, `-:` for each column. */
export function table(
  head: readonly string[],
  aligns: readonly string[],
  rows: readonly (readonly string[])[],
): string {
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`;
  return [line(head), line(aligns.map((align) => align.padStart(3, '-'))), ...rows.map(line)].join('\n');
}

/** A part that is folded away. `summary` is HTML, `body` Markdown. */
export function details(summary: string, body: string): string {
  return `<details><summary>${summary}</summary>\n\n${body}\n\n</details>`;
}

/**
 * Blocks, most important first, that fit into `limit` UTF-16 units; then `cut(count of blocks left out)`, for which there
 * is always room if it has no more than 500.
 */
export function bounded(blocks: readonly string[], limit: number, cut: (left: number) => string): string {
  const shown: string[] = [];
  let used = 500;
  for (const block of blocks) {
    if (used + block.length + 2 > limit) continue;
    used += block.length + 2;
    shown.push(block);
  }
  const left = blocks.length - shown.length;
  return `${(left === 0 ? shown : [...shown, cut(left)]).join('\n\n')}\n`;
}
