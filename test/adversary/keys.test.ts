import { describe, expect, it } from 'vitest';
import { projectRoot } from '../../lab/lab.ts';
import { run } from '../../lab/shell.ts';

const CHILD = new URL('./tools/key-pairs.mjs', import.meta.url).pathname;
const child = (node: readonly string[], ...argv: string[]) =>
  run([process.execPath, ...node, CHILD, projectRoot, ...argv], { timeoutMs: 30_000 });

// Thorough: test/unit/session/private-text.test.ts, test/unit/session/secrets-text.test.ts.
describe('S19: private keys', () => {
  it('S19: of ephemeral key pairs no private half is in memory as text', async () => {
    const result = await child([], 'search', '100');
    expect(result.stderr).toBe('');
    expect(JSON.parse(result.stdout)).toEqual({ pairs: 100, found: 0 });
  });

  /*
   * Node's key pair generator locks the key once more when its job is collected. An export of the key that collects
   * garbage meanwhile waits for itself: an agent stood still for good after some thousands of handshakes.
   */
  it.each([17, 31, 41])(
    'S19: key pairs are made without end, with garbage collected every %d allocations',
    async (every) => {
      const result = await child([`--gc-interval=${every}`], 'make', '3000');
      expect(result.status, 'the process stood still').toBe(0);
    },
  );
});
