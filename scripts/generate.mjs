#!/usr/bin/env node
/**
 * Writes every generated file of the project.
 * usage: node scripts/generate.mjs [--check]    (--check writes nothing, names what is stale and exits 1)
 *
 * 1. manifests: schema/*.json -> src/manifest/generated.ts, docs/manifests.md and docs/configuration.md
 * 2. layout:    bpf/omni_types.h -> src/dataplane/kernel/layout.ts, where addon and BPF object are built
 * 3. commands:  src/cli -> docs/cli.md, where the command line is built and no older than its sources
 */
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { manifestFiles } from './generate-manifests.mjs';

const root = fileURLToPath(new URL('..', import.meta.url));
const check = process.argv.includes('--check');

function writeOrCompare(path, text) {
  const full = `${root}${path}`;
  if (existsSync(full) && readFileSync(full, 'utf8') === text) return true;
  if (check) {
    console.error(`${path}: stale: run \`npm run generate\``);
    return false;
  }
  writeFileSync(full, text);
  console.error(`${path}: written`);
  return true;
}

/** The layout's generator reads BTF through the addon: without a build there is nothing to compare with. */
function layoutIsFresh() {
  const script = `${root}scripts/generate-layout.mjs`;
  const built = ['native/build/Release/omni_native.node', 'build/bpf/omni_layout.bpf.o'];
  const missing = built.filter((path) => !existsSync(`${root}${path}`));
  if (missing.length > 0) {
    console.error(`src/dataplane/kernel/layout.ts: skipped: ${missing.join(' and ')} not built`);
    return true;
  }
  const run = spawnSync(process.execPath, [script, ...(check ? ['--check'] : [])], { stdio: 'inherit' });
  return run.status === 0;
}

/** The reference is written from the built command line: an older build than the sources would say what is no more. */
function commandsAreFresh() {
  const built = `${root}dist/.built`;
  const sources = spawnSync('find', [`${root}src/cli`, '-name', '*.ts', '-newer', built, '-print', '-quit'], {
    encoding: 'utf8',
  });
  if (!existsSync(built) || sources.status !== 0 || sources.stdout !== '') {
    console.error('docs/cli.md: skipped: the command line is not built, or older than src/cli: run `npm run build`');
    return true;
  }
  const script = `${root}scripts/generate-cli-docs.mjs`;
  const run = spawnSync(process.execPath, [script, ...(check ? ['--check'] : [])], { stdio: 'inherit' });
  return run.status === 0;
}

const files = await manifestFiles(root);
const fresh = Object.entries(files).map(([path, text]) => writeOrCompare(path, text));
fresh.push(layoutIsFresh(), commandsAreFresh());
process.exitCode = fresh.every(Boolean) ? 0 : 1;
