import { expect, it } from 'vitest';
import { soak } from './soak.ts';
import { inexcusable } from './timeline.ts';

const seconds = Number(process.env.OMNI_SOAK_SECONDS ?? '600');

it(`loses nothing that is not explained, for ${seconds} s`, { timeout: (seconds + 600) * 1000 }, async () => {
  const report = await soak({ name: 'omnisoak', seconds, log: (line) => process.stderr.write(`${line}\n`) });
  process.stderr.write(`${report.text}\n`);
  expect(inexcusable(report.losses)).toEqual([]);
  expect(report.tcp.broken).toBe(0);
  expect(report.tcp.megabytes).toBeGreaterThan(0);
});
