// Builds the addon with AddressSanitizer and UndefinedBehaviorSanitizer, runs the tests that exercise it, and fails on
// any report. Then runs the fuzzers of native/fuzz for a few seconds each.
// usage: node scripts/sanitize.mjs [test file ...]
//
// node is not instrumented: the runtime of the sanitizers is preloaded. The tests load the addon from its usual path:
// they run in a mount namespace where the instrumented file is mounted over the product's.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { faultsOf } from './sanitizer-reports.mjs';
import { compiler, FLAGS, must, root, runMain } from './sanitizers.mjs';

const build = join(root, 'native/build-sanitize');
const instrumented = join(build, 'build/Release/omni_native.node');
const product = join(root, 'native/build/Release/omni_native.node');
const EXIT_CODE = 99;
const FUZZ_SECONDS = 5;
const TESTS = [
  'test/unit/native',
  'test/netns/native.test.ts',
  'test/netns/dataplane.test.ts',
  'test/contract/kernel.root.test.ts',
  'test/bpf',
];
/** The faults of test/sanitize/faulty.cpp and the words of their reports. A leak leaves the exit code as it is. */
const FAULTS = [
  { fault: 'none', report: undefined, status: 0 },
  { fault: 'heap-buffer-overflow', report: 'heap-buffer-overflow', status: EXIT_CODE },
  { fault: 'heap-use-after-free', report: 'heap-use-after-free', status: EXIT_CODE },
  { fault: 'signed integer overflow', report: 'signed integer overflow', status: EXIT_CODE },
  { fault: 'memory leak', report: 'leak of 1234 byte(s)', status: 0 },
];

/** node-gyp downloads Node's headers unless they lie beside the binary that runs. */
function nodePrefix() {
  const prefix = dirname(dirname(must('readlink', ['-f', process.execPath]).trim()));
  if (existsSync(join(prefix, 'include/node/node_api.h'))) return prefix;
  throw new Error(`${prefix}/include/node has no headers of Node.js: install them`);
}

/** Compiles binding.gyp's sources in a folder of their own. Returns the object that looks for leaks. */
function buildAddon(prefix) {
  mkdirSync(build, { recursive: true });
  for (const name of ['src', 'binding.gyp']) {
    if (!existsSync(join(build, name))) symlinkSync(`../${name}`, join(build, name));
  }
  const leakCheck = join(build, 'leak-check.o');
  must(compiler(), ['-c', '-fPIC', '-g', 'test/sanitize/leak-check.cpp', '-o', leakCheck]);
  const arguments_ = ['configure', 'build', '-C', build, '--loglevel=error', '-j', '2', `--nodedir=${prefix}`];
  must('npx', ['--no-install', 'node-gyp', ...arguments_], {
    env: {
      ...process.env,
      CXX: compiler(),
      // These come after the flags of binding.gyp. The sanitizers do not check the arguments of fortified functions.
      CXXFLAGS: [...FLAGS, '-U_FORTIFY_SOURCE'].join(' '),
      LDFLAGS: [...FLAGS, '-shared-libasan', leakCheck].join(' '),
    },
  });
  return leakCheck;
}

function buildFaulty(prefix, leakCheck) {
  const output = join(build, 'faulty.node');
  const options = ['-std=c++20', '-shared', '-fPIC', '-shared-libasan', `-I${join(prefix, 'include/node')}`];
  must(compiler(), [...options, ...FLAGS, 'test/sanitize/faulty.cpp', leakCheck, '-o', output]);
  return output;
}

/** The environment of a process with the sanitizers, which write their reports into `folder`. */
function environment(folder) {
  const machine = process.arch === 'arm64' ? 'aarch64' : 'x86_64';
  const options = [
    // Names are looked up for faults alone: those of node take many seconds.
    'symbolize=0',
    'halt_on_error=1',
    `exitcode=${EXIT_CODE}`,
    `log_path=${join(folder, 'report')}`,
    "stack_trace_format='    #%n %m+%o'",
    'malloc_context_size=20',
    // leak-check.cpp looks for leaks, in processes that loaded the addon: ip, tc and bash leak, too.
    'detect_leaks=1',
    'leak_check_at_exit=0',
  ];
  return {
    ...process.env,
    LD_PRELOAD: must(compiler(), [`-print-file-name=libclang_rt.asan-${machine}.so`]).trim(),
    ASAN_OPTIONS: options.join(':'),
    UBSAN_OPTIONS: 'print_stacktrace=1',
  };
}

/** A report with the functions and lines of the addon's frames. */
function named(report) {
  return report.replaceAll(/omni_native\.node\+(0x[0-9a-f]+)/g, (frame, offset) => {
    const names = spawnSync('addr2line', ['-C', '-i', '-p', '-f', '-e', instrumented, offset], { encoding: 'utf8' });
    return names.status === 0 ? `${frame} ${names.stdout.trim().replaceAll('\n', ' ')}` : frame;
  });
}

/**
 * Runs `command` with the instrumented addon in place of the product's. Its named network namespaces are out of sight of
 * other runs on this machine, which use the same names.
 */
function run(command) {
  const folder = mkdtempSync(join(tmpdir(), 'omni-sanitize-'));
  try {
    const script = [
      'mount --bind "$1" "$2"',
      'mkdir -p /run/netns',
      'mount -t tmpfs tmpfs /run/netns',
      'shift 2',
      'exec "$@"',
    ].join(' && ');
    const mounted = ['sh', '-c', script, 'sh', instrumented, product, ...command];
    const { status } = spawnSync('unshare', ['--mount', '--propagation', 'private', ...mounted], {
      cwd: root,
      env: environment(folder),
      stdio: 'inherit',
    });
    const reports = readdirSync(folder).map((name) => readFileSync(join(folder, name), 'utf8'));
    return { status, faults: reports.flatMap(faultsOf).map(named) };
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** A run without reports says something only if a fault would have been reported. Each kind is committed once. */
function proveThatFaultsAreReported(faulty) {
  for (const { fault, report, status: expected } of FAULTS) {
    const { status, faults } = run([process.execPath, '-e', `require('${faulty}').commit('${fault}')`]);
    const seen = report === undefined ? faults.length === 0 : faults.length === 1 && faults[0].includes(report);
    if (!seen || status !== expected) {
      throw new Error(
        `the deliberate fault "${fault}" gave exit code ${status} and ${faults.length} reports\n${faults}`,
      );
    }
    console.log(`sanitize: deliberate fault "${fault}": exit code ${status}, ${faults.length} reports`);
  }
}

function main() {
  if (process.getuid?.() !== 0) throw new Error('the tests of the addon make network namespaces: run as root');
  if (!existsSync(product)) throw new Error(`${product} does not exist: run npm run build`);
  const prefix = nodePrefix();
  proveThatFaultsAreReported(buildFaulty(prefix, buildAddon(prefix)));

  const given = process.argv.slice(2);
  const vitest = [process.execPath, 'node_modules/vitest/vitest.mjs', 'run', '--project', 'unit', '--project', 'root'];
  const tests = run([...vitest, ...(given.length > 0 ? given : TESTS)]);
  for (const fault of tests.faults) console.error(`\n${fault}`);
  console.log(`sanitize: tests: exit code ${tests.status}, ${tests.faults.length} reports`);

  const fuzz = spawnSync(process.execPath, ['scripts/fuzz-native.mjs', '--seconds', String(FUZZ_SECONDS)], {
    cwd: root,
    stdio: 'inherit',
  });
  return tests.status === 0 && tests.faults.length === 0 && fuzz.status === 0 ? 0 : 1;
}

await runMain('sanitize', main);
