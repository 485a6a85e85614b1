import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { projectRoot } from '../../lab/lab.ts';
import { must, run } from '../../lab/shell.ts';
import { guestScript, makeBase, makeInitramfs, stageProject } from './image.ts';
import { kernelOf } from './kernels.ts';
import { boot } from './qemu.ts';
import { type KernelReport, reportIn } from './report.ts';

/*
 * Debian's own kernels under software emulation, and the one that is running here: each loads the programs, runs the
 * ciphers' test vectors, and carries pings between two namespaces. See docs/kernels.md.
 */
const BOOT_TIMEOUT_MS = 240_000;
const TIMEOUT_MS = BOOT_TIMEOUT_MS + 30_000;
const REPORTS = join(projectRoot, 'build/kernels/reports');
const ci = process.env.CI === 'true' || process.env.CI === '1';
/** `npm run kernels`: every kernel that was downloaded. */
const every = process.env.OMNI_KERNELS === 'all';

/** What a kernel that has all needed does. */
function expectSound(report: KernelReport): void {
  expect(report.failures).toEqual([]);
  expect(report.lacks).toEqual([]);
  expect(report.programs.map(({ name }) => name)).toEqual(
    expect.arrayContaining(['omni_egress', 'omni_ingress', 'omni_slowpath']),
  );
  for (const { name, jitedBytes, verifiedInstructions } of report.programs) {
    expect(jitedBytes, name).toBeGreaterThan(0);
    expect(verifiedInstructions, name).toBeLessThan(250_000);
  }
  expect(report.selftest.vectors).toBeGreaterThan(20);
  expect(report.selftest.wrong).toEqual([]);
  expect(report.traffic.map(({ mode }) => mode)).toEqual(['native', 'generic']);
  for (const { mode, interfaces, pings, sealed, drops } of report.traffic) {
    expect(interfaces).toEqual([`omni0x ${mode}`, `eth0 ${mode}`]);
    for (const version of [4, 6]) expect(pings.filter(({ underlay }) => underlay === version)).toHaveLength(10);
    expect(pings.filter(({ sent, received }) => sent === 0 || received !== sent)).toEqual([]);
    const echoes = pings.reduce((sum, { sent }) => sum + 2 * sent, 0);
    expect(sealed.tx, mode).toBeGreaterThanOrEqual(echoes);
    expect(sealed.rx, mode).toBe(sealed.tx);
    // Multicast listener reports of the stack, which no peer gets.
    expect(Object.keys(drops).filter((reason) => reason !== 'multicast')).toEqual([]);
  }
  const kernel = doctorOf(report).filter(({ check }) => /^(kernel|addon|btf|capabilities|modules|bpf.*)$/.test(check));
  expect(kernel.length).toBeGreaterThan(5);
  expect(kernel.filter(({ status }) => status !== 'ok')).toEqual([]);
}

interface Finding {
  readonly check: string;
  readonly status: string;
  readonly message: string;
  readonly fix?: string;
}

function doctorOf(report: KernelReport): readonly Finding[] {
  const { findings } = JSON.parse(report.doctor?.stdout ?? '') as { findings: readonly Finding[] };
  return findings;
}

/** For scripts/kernel-table.mjs. */
function keep(name: string, report: KernelReport, emulated: boolean): void {
  mkdirSync(REPORTS, { recursive: true });
  writeFileSync(join(REPORTS, `${name}.json`), `${JSON.stringify({ ...report, emulated }, null, 2)}\n`);
}

const EMULATION = ['qemu-system-x86_64', 'busybox', 'cpio'];
let base: Promise<void> | undefined;

/** Boots the kernel of a suite. Skips where it or the emulator is not there; that is a failure under CI. */
async function bootSuite(suite: string, skip: (reason: string) => void): Promise<KernelReport> {
  const kernel = kernelOf(suite);
  const absent = (await run(['which', ...EMULATION])).status === 0 ? undefined : EMULATION.join(' or ');
  if (kernel === undefined || absent !== undefined) {
    const reason = `no ${absent ?? `kernel of Debian's ${suite}`} here: run scripts/kernels as root, it says why`;
    if (!ci) skip(reason);
    throw new Error(reason);
  }
  base ??= makeBase();
  await base;
  const found = await boot(kernel, await makeInitramfs(kernel), BOOT_TIMEOUT_MS);
  keep(suite, found, true);
  expect(found.kernel).toBe(kernel.release);
  return found;
}

beforeAll(stageProject);

describe('this machine’s kernel', () => {
  it('loads the programs, agrees with the vectors and carries traffic', { timeout: 120_000 }, async () => {
    const found = reportIn(await must([process.execPath, guestScript], { timeoutMs: 100_000 }));
    if (found === undefined) throw new Error('the script left no report');
    keep('here', found, false);
    expectSound(found);
  });
});

const KERNELS = [
  { suite: 'bookworm', release: /^6\.1\./, always: true },
  { suite: 'bookworm-backports', release: /^6\.12\./, always: true },
  { suite: 'trixie-backports', release: /^(6\.1[2-9]|[7-9])/, always: false },
];

describe('Debian’s kernels under emulation', () => {
  it.for(KERNELS.filter(({ always }) => always || every))(
    '$suite: loads the programs, agrees with the vectors and carries traffic',
    { timeout: TIMEOUT_MS },
    async ({ suite, release }, { skip }) => {
      const found = await bootSuite(suite, skip);
      expect(found.kernel).toMatch(release);
      expectSound(found);
    },
  );

  // Told apart by the one probe that finds it out, which unit tests know as well.
  if (every)
    it('bullseye, 5.10: doctor and agent say what it lacks, and nothing changes', {
      timeout: TIMEOUT_MS,
    }, async (test) => {
      const found = await bootSuite('bullseye', test.skip);
      expect(found.kernel).toMatch(/^5\.10\./);
      expect(found.lacks).toEqual(['atomics']);
      // So it is said of a kernel that really takes none of them.
      expect(found.failures.map(({ step }) => step)).toEqual(['load programs', 'test vectors']);
      for (const { message } of found.failures) expect(message).toMatch(/BPF_PROG_LOAD.*EINVAL/);
      expect(doctorOf(found).filter(({ check }) => /^(kernel|bpf)$/.test(check))).toEqual([
        {
          check: 'kernel',
          status: 'warning',
          message: expect.stringMatching(/^Linux 5\.10\.\S+ is older than 5\.15/),
          fix: 'Boot Linux 5.15 or later.',
        },
        {
          check: 'bpf',
          status: 'failure',
          message: expect.stringMatching(/refuses atomic operations that return a value \(EINVAL\), .* since 5\.12/),
          fix: 'Boot Linux 5.15 or later.',
        },
      ]);
      expect(found.doctor?.status).toBe(1);
      expect(found.agent?.stderr).toContain('refuses atomic operations that return a value (in Linux since 5.12)');
      expect(found.agent?.status).toBe(2);
      // Its own lock, taken before it looked.
      expect(found.agent?.changed).toEqual(['state/agent.lock']);
    });
});
