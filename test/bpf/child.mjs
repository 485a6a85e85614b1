// Runs BPF programs in the network namespace it was started in, where routes and neighbours are the test's own:
// { id, method, args } -> { id, result | error }. See lab.ts.
import { execFileSync } from 'node:child_process';
import { createRequire } from 'node:module';

const native = createRequire(import.meta.url)('../../native/build/Release/omni_native.node');

const own = {
  /** Each line is a command with its arguments. */
  sh(lines) {
    for (const line of lines) {
      const [command, ...args] = line.split(' ');
      execFileSync(command, args, { stdio: ['ignore', 'ignore', 'pipe'] });
    }
  },
  /** Many packets through one program, in order. */
  runAll({ pin, packets, ...rest }) {
    return packets.map((data) => native.testRun({ pin, data, ...rest }));
  },
};

process.on('message', async ({ id, method, args }) => {
  try {
    process.send({ id, result: await (own[method] ?? native[method])(...args) });
  } catch (error) {
    process.send({ id, error: { message: error.message, log: error.log } });
  }
});
process.on('disconnect', () => process.exit());
