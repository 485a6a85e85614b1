#!/usr/bin/env node
/**
 * Writes docs/cli.md from the command tree of the built command line.
 * usage: node scripts/generate-cli-docs.mjs [--check]    (--check writes nothing, exits 1 if the file differs)
 */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const output = 'docs/cli.md';

if (!existsSync(`${root}dist/src/cli/reference.js`)) {
  console.error(`${output}: the command line is not built; run \`npm run build\` first`);
  process.exit(1);
}
const { createProgram } = await import('../dist/src/cli/program.js');
const { renderReference } = await import('../dist/src/cli/reference.js');
const nowhere = { write: () => undefined, isTTY: false, columns: undefined };
const text = renderReference(createProgram({ io: { stdout: nowhere }, exitCode: 0 }));
const fresh = existsSync(root + output) && readFileSync(root + output, 'utf8') === text;
if (!fresh && process.argv.includes('--check')) {
  console.error(`${output}: stale: run \`npm run generate\``);
  process.exit(1);
}
if (!fresh) {
  writeFileSync(root + output, text);
  console.error(`${output}: written`);
}
