// Runs every test and ends with an honest `N passed, N failed` line, taken from the runner's own report.
// Without root the tests that need it are left out, and said so; under CI nothing may be skipped.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const ci = process.env.CI === 'true' || process.env.CI === '1';
const root = process.getuid?.() === 0;
if (!root && ci) {
  console.error('test: CI must run as root: the data path is tested in the kernel');
  process.exit(1);
}
const folder = mkdtempSync(join(tmpdir(), 'omni-test-'));
const projects = root ? ['unit', 'fuzz', 'root'] : ['unit', 'fuzz'];
const totals = { passed: 0, failed: 0, skipped: 0 };
let broken = false;

for (const project of projects) {
  const report = join(folder, `${project}.json`);
  const arguments_ = [
    'vitest',
    'run',
    '--project',
    project,
    '--reporter=default',
    '--reporter=json',
    `--outputFile=${report}`,
  ];
  const run = spawnSync('npx', ['--no-install', ...arguments_, ...process.argv.slice(2)], { stdio: 'inherit' });
  if (run.status !== 0) broken = true;
  try {
    const result = JSON.parse(readFileSync(report, 'utf8'));
    totals.passed += result.numPassedTests;
    totals.failed += result.numFailedTests;
    totals.skipped += result.numPendingTests + (result.numTodoTests ?? 0);
    // A file that could not be loaded has failed without a test of its own.
    totals.failed += result.testResults.filter(
      (file) => file.status === 'failed' && file.assertionResults.length === 0,
    ).length;
  } catch (error) {
    console.error(`test: no report of project ${project}: ${error.message}`);
    broken = true;
  }
}
rmSync(folder, { recursive: true });

if (!root)
  console.log(
    'test: not root: the projects that load BPF programs and make network namespaces were not run (sudo npm test)',
  );
if (broken && totals.failed === 0) totals.failed = 1;
const skippedFails = ci && totals.skipped > 0;
if (skippedFails) console.log('test: a skipped test is a failure under CI');
console.log(
  `${totals.passed} passed, ${totals.failed} failed${totals.skipped > 0 ? `, ${totals.skipped} skipped` : ''}`,
);
process.exit(totals.failed > 0 || totals.passed === 0 || skippedFails ? 1 : 0);
