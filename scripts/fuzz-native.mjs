// Runs the fuzzers of native/fuzz: libFuzzer with AddressSanitizer and UndefinedBehaviorSanitizer, from the seeds in
// native/fuzz/corpus. An input that fails is left in native/build-sanitize/fuzz: add it to the corpus with the fix.
// usage: node scripts/fuzz-native.mjs [--seconds N] [harness ...]
import { spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { compiler, FLAGS, must, root, runMain, symbolizer } from './sanitizers.mjs';

const sources = join(root, 'native/fuzz');
const output = join(root, 'native/build-sanitize/fuzz');
/** What each harness is linked with. None of these files knows Node-API. */
const HARNESSES = {
  netlink: ['netlink_decode', 'netlink_message', 'netlink_notification', 'inet', 'error'],
  btf: ['btf_reader', 'error'],
};
const MAX_LENGTH = 4096;
const SECONDS_FOR_DELIBERATE_FAULT = 60;

function build(name, linked) {
  const binary = join(output, name);
  const files = [join(sources, `${name}.cpp`), ...linked.map((file) => join(root, `native/src/${file}.cpp`))];
  const options = ['-std=c++20', '-Wall', '-Wextra', '-fsanitize=fuzzer', `-I${join(root, 'native/src')}`];
  must(compiler(), [...options, ...FLAGS, ...files, '-lmnl', '-lbpf', '-o', binary]);
  return binary;
}

/** The exit code of a fuzzer and all that it printed. */
async function fuzz(binary, name, seconds) {
  // libFuzzer writes new inputs into the first folder. The committed seeds stay as they are.
  const found = mkdtempSync(join(tmpdir(), `omni-fuzz-${name}-`));
  const limits = [`-max_total_time=${seconds}`, `-max_len=${MAX_LENGTH}`, '-timeout=10'];
  // Without the names of new functions, which addr2line would take seconds to find.
  const words = ['-print_final_stats=1', '-print_funcs=0'];
  const folders = [`-artifact_prefix=${output}/${name}-`, found, join(sources, 'corpus', name)];
  const child = spawn(binary, [...limits, ...words, ...folders], {
    env: {
      ...process.env,
      ASAN_OPTIONS: symbolizer().join(':'),
      UBSAN_OPTIONS: [...symbolizer(), 'print_stacktrace=1'].join(':'),
    },
  });
  let text = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (chunk) => {
      text += chunk;
    });
  }
  try {
    return await new Promise((resolve, reject) => {
      child.on('error', reject);
      child.on('close', (status) => resolve({ status, text }));
    });
  } finally {
    rmSync(found, { recursive: true });
  }
}

async function passes(name, seconds) {
  const { status, text } = await fuzz(build(name, HARNESSES[name]), name, seconds);
  const inputs = Number(/stat::number_of_executed_units:\s*(\d+)/.exec(text)?.[1] ?? 0);
  const passed = status === 0 && inputs > 0;
  // Without the lines that tell of progress: `#123 NEW …`.
  if (!passed) console.error(text.replaceAll(/^#\d+\s.*\n/gm, ''));
  console.log(`fuzz-native: ${name}: ${inputs} inputs, exit code ${status}${passed ? '' : ': FAILED'}`);
  return passed;
}

/** A run without findings says something only if a fault would have been found. */
async function proveThatFaultsAreFound() {
  const { status, text } = await fuzz(build('faulty', []), 'faulty', SECONDS_FOR_DELIBERATE_FAULT);
  for (const file of readdirSync(output).filter((name) => name.startsWith('faulty-'))) rmSync(join(output, file));
  if (status === 0 || !text.includes('heap-buffer-overflow')) {
    throw new Error(`the deliberate fault was not found: exit code ${status}\n${text}`);
  }
  console.log(`fuzz-native: deliberate fault: found, exit code ${status}`);
}

async function main() {
  const { values, positionals } = parseArgs({
    options: { seconds: { type: 'string', default: '60' } },
    allowPositionals: true,
  });
  const seconds = Number(values.seconds);
  if (!Number.isInteger(seconds) || seconds < 1) throw new Error(`--seconds ${values.seconds} is no number of seconds`);
  const names = positionals.length > 0 ? positionals : Object.keys(HARNESSES);
  const unknown = names.find((name) => !(name in HARNESSES));
  if (unknown) throw new Error(`there is no harness ${unknown} (known: ${Object.keys(HARNESSES).join(', ')})`);
  mkdirSync(output, { recursive: true });
  await proveThatFaultsAreFound();
  const results = await Promise.all(names.map((name) => passes(name, seconds)));
  return results.every(Boolean) ? 0 : 1;
}

await runMain('fuzz-native', main);
