import { createMemoryDataPlane } from '../../src/dataplane/memory/plane.ts';
import { seal } from '../../src/dataplane/memory/seal.ts';
import type { IpAddress } from '../../src/manifest/model.ts';
import { rowKey } from '../../src/reconcile/rows.ts';
import { describeDataPlane, type Machine } from './dataplane-suite.ts';
import { describePaths } from './paths-suite.ts';
import { describeRotation } from './rotation-suite.ts';

async function makeMachine(): Promise<Machine> {
  const first = createMemoryDataPlane();
  const { machine } = first;
  let plane = first;
  return {
    plane: first,
    reopen: async () => {
      await plane.close();
      plane = createMemoryDataPlane({ machine });
      return plane;
    },
    breakIt: async (row) => void machine.host.remove(rowKey(row)),
    arrive: async ({ localId, receiveKey }, frames) => {
      for (const [counter, frame] of frames.entries()) {
        const datagram = seal(receiveKey, { sessionId: localId, counter: BigInt(counter) }, frame);
        machine.path.deliver(datagram, { address: '192.0.2.2' as IpAddress, port: 51820 });
      }
    },
    dispose: () => plane.close(),
  };
}

// Everything in this engine's tables is its own: there is nothing foreign to leave alone.
describeDataPlane('the memory data plane', { arrive: true, foreign: false, erase: false }, makeMachine);
describeRotation('the memory data plane', makeMachine);
describePaths('the memory data plane', makeMachine);
