import { cpus, release } from 'node:os';
import { loadNative } from '../../../src/dataplane/kernel/native.ts';
import { missingFeatures } from '../../../src/dataplane/kernel/needs.ts';
import { type KernelReport, reportLine, type TrafficReport } from '../report.ts';
import { runAgent, runDoctor } from './preflight.ts';
import { loadPrograms } from './programs.ts';
import { runSelftest } from './selftest.ts';
import { carryTraffic } from './traffic.ts';

/*
 * Runs on the kernel under test, as root, and leaves a report on its standard output. It judges nothing: what counts
 * as right is said by the test that reads it.
 */
const failures: { step: string; message: string }[] = [];

/** Notes what `work` threw; the steps after it go on. */
async function attempt<T>(step: string, work: () => Promise<T>): Promise<T | undefined> {
  console.log(`${process.uptime().toFixed(1)} s: ${step}`);
  try {
    return await work();
  } catch (error) {
    failures.push({ step, message: error instanceof Error ? error.message : String(error) });
    return undefined;
  }
}

const lacks = missingFeatures(loadNative().probe(), 'needed').map(({ field }) => field);
const doctor = await attempt('omni doctor', runDoctor);
const programs = await attempt('load programs', loadPrograms);
const selftest = await attempt('test vectors', runSelftest);
// Where something is missing, an agent says so and carries nothing; elsewhere it would do its work, and stay.
const agent = lacks.length > 0 ? await attempt('omni agent', runAgent) : undefined;
const traffic: TrafficReport[] = [];
for (const mode of lacks.length > 0 ? [] : (['native', 'generic'] as const)) {
  const carried = await attempt(`traffic, ${mode} XDP`, () => carryTraffic(mode));
  if (carried !== undefined) traffic.push(carried);
}
const report: KernelReport = {
  kernel: release(),
  cpus: cpus().length,
  lacks,
  programs: programs ?? [],
  selftest: selftest ?? { vectors: 0, wrong: [] },
  traffic,
  doctor,
  agent,
  failures,
  tookMs: Math.round(process.uptime() * 1000),
};
console.log(reportLine(report));
