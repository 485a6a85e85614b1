// Prints what test/kernels found last: a table of program statistics by kernel, in Markdown, for docs/kernels.md.
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

const folder = join(import.meta.dirname, '../build/kernels/reports');
if (!existsSync(folder)) {
  console.error('kernel-table: no kernel has reported yet\n  fix: Run `npm run kernels`.');
  process.exit(1);
}
const reports = readdirSync(folder)
  .map((name) => JSON.parse(readFileSync(join(folder, name), 'utf8')))
  .sort((a, b) => a.kernel.localeCompare(b.kernel, 'en', { numeric: true }));

/** @param {readonly (string | number)[]} cells */
const row = (cells) => `| ${cells.join(' | ')} |`;
const lines = [
  row(['kernel', 'program', 'instructions', 'machine code', 'verified', 'largest stack frame', 'verifier time']),
  row(['---', '---', '--:', '--:', '--:', '--:', '--:']),
];
for (const { kernel, emulated, lacks, programs } of reports) {
  const label = emulated ? kernel : `${kernel} (no emulation)`;
  if (lacks.length > 0) lines.push(row([label, `none loads: lacks ${lacks.join(', ')}`, '', '', '', '', '']));
  for (const { name, instructions, jitedBytes, verifiedInstructions, stackBytes, verifierMs } of programs) {
    if (name.startsWith('selftest_')) continue;
    const stack = `${Math.max(...stackBytes)} B of ${stackBytes.length}`;
    const time = `${verifierMs.toFixed(verifierMs < 10 ? 1 : 0)} ms${emulated ? ', emulated' : ''}`;
    lines.push(row([label, `\`${name}\``, instructions, `${jitedBytes} B`, verifiedInstructions, stack, time]));
  }
}
console.log(lines.join('\n'));
