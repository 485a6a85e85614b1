import { defineConfig } from 'vitest/config';

/** `unit` needs nothing; `root` needs root, a built addon and built BPF programs; `fuzz` and `soak` run on demand. */
export default defineConfig({
  test: {
    passWithNoTests: false,
    projects: [
      {
        test: {
          name: 'unit',
          include: ['test/{unit,property,contract}/**/*.test.ts'],
          exclude: ['**/*.root.test.ts'],
          pool: 'forks',
          // A bound for what hangs: on a busy machine some that run processes take longer than the default of 5 s.
          testTimeout: 30_000,
        },
      },
      {
        test: {
          name: 'root',
          include: ['test/{adversary,bpf,netns,kernels}/**/*.test.ts', 'test/contract/**/*.root.test.ts'],
          pool: 'forks',
          fileParallelism: false,
          // Bounds of a machine where both processors are busy with other things.
          testTimeout: 180_000,
          hookTimeout: 180_000,
        },
      },
      { test: { name: 'fuzz', include: ['test/fuzz/**/*.test.ts'], testTimeout: 300_000 } },
      { test: { name: 'soak', include: ['test/soak/**/*.test.ts'], fileParallelism: false, testTimeout: 7_200_000 } },
    ],
  },
});
