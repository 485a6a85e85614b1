import { expect, it } from 'vitest';
import { Lab, type Program } from './lab.ts';

/**
 * The verifier gives up at a million instructions. What it walks through grows in leaps when code invites it to follow
 * paths one by one (loop exits, tails of blocks), and differs between kernels: these stay two orders of magnitude below.
 */
const BUDGET = 40_000;

it.each<Program>(['omni_delivery', 'omni_egress', 'omni_ingress', 'omni_slowpath', 'omni_socket'])(
  '%s loads with room to spare',
  async (program) => {
    const lab = await Lab.open({}, []);
    try {
      const { programs } = await lab.load(program);
      expect(programs.map(({ name }) => name)).toEqual([program]);
      expect(programs[0]?.jitedBytes).toBeGreaterThan(0);
      expect(programs[0]?.verifiedInstructions).toBeGreaterThan(0);
      expect(programs[0]?.verifiedInstructions).toBeLessThan(BUDGET);
    } finally {
      await lab.close();
    }
  },
);
