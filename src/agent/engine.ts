import { loadNative } from '../dataplane/kernel/native.ts';
import { createKernelDataPlane } from '../dataplane/kernel/plane.ts';
import { createMemoryDataPlane } from '../dataplane/memory/plane.ts';
import type { DataPlane } from '../reconcile/dataplane.ts';
import type { AgentConfig } from './config.ts';
import type { Log } from './log.ts';
import { checkKernel } from './preflight.ts';

/** The data plane that the configuration names. `mac1Key`: 32 bytes, of handshakes to this node. Touches nothing yet. */
export function createEngine(config: AgentConfig, mac1Key: Uint8Array, log: Log): DataPlane {
  if (config.engine === 'memory') return createMemoryDataPlane();
  checkKernel(loadNative(), config, log);
  return createKernelDataPlane({
    bpffs: config.bpffs,
    underlay: config.underlay,
    objects: config.objects,
    stateDir: config.stateDir,
    mac1Key,
    log,
    ...(config.xdpMode === undefined ? {} : { mode: config.xdpMode }),
    ...(config.receiveCpus === undefined ? {} : { receiveCpus: config.receiveCpus }),
  });
}
