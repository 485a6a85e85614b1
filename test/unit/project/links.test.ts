import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { expect, it } from 'vitest';

const root = join(import.meta.dirname, '../../..');
const papers = [
  'README.md',
  'CHANGELOG.md',
  ...readdirSync(join(root, 'docs'), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.md'))
    .map((name) => join('docs', name)),
];

function textOf(paper: string): string {
  return readFileSync(join(root, paper), 'utf8').replace(/^```.*?^```$/gms, '');
}

/** Of headings, as git servers make them: lower case, blanks to hyphens, no punctuation. */
function anchorsOf(paper: string): ReadonlySet<string> {
  const headings = [...textOf(paper).matchAll(/^#+ (.+)$/gm)].map((match) => match[1] ?? '');
  return new Set(
    headings.map((heading) =>
      heading
        .toLowerCase()
        .replace(/[^\p{L}\p{N}_ -]/gu, '')
        .replaceAll(' ', '-'),
    ),
  );
}

it.each(papers)('%s links to what is there', (paper) => {
  const broken: string[] = [];
  for (const [, target = ''] of textOf(paper).matchAll(/\]\(([^)\s]+)\)/g)) {
    if (/^[a-z]+:/.test(target)) continue;
    const [path = '', anchor] = target.split('#');
    const file = path === '' ? paper : relative(root, join(root, dirname(paper), path));
    if (!existsSync(join(root, file))) broken.push(target);
    else if (anchor !== undefined && !anchorsOf(file).has(anchor)) broken.push(target);
  }
  expect(broken).toEqual([]);
});

it('docs/operations.md lists each of its sections once, in their order', () => {
  const text = textOf('docs/operations.md');
  const listed = [...(text.split('\n## ')[0] ?? '').matchAll(/\]\(#([^)]+)\)/g)].map((match) => match[1]);
  expect(listed).toEqual([...anchorsOf('docs/operations.md')].slice(1));
});
