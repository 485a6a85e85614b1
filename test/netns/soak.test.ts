import { expect, it } from 'vitest';
import { soak } from '../soak/soak.ts';
import { inexcusable } from '../soak/timeline.ts';

// One round of everything that `npm run soak` does for hours.
it('loses nothing that is not explained, whatever is done to the fleet', { timeout: 300_000 }, async () => {
  const report = await soak({ name: 'omniround', seconds: 1, log: () => undefined });
  expect(inexcusable(report.losses), report.text).toEqual([]);
  expect(report.tcp.broken, report.text).toBe(0);
  expect(report.tcp.megabytes).toBeGreaterThan(0);
  expect(report.handshakes).toBeGreaterThan(0);
});
