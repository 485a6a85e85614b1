import { loadNative } from '../dataplane/kernel/native.ts';
import { createKernelDataPlane } from '../dataplane/kernel/plane.ts';
import type { DataPlane } from '../reconcile/dataplane.ts';
import type { AgentConfig } from './config.ts';
import type { Log } from './log.ts';
import { checkKernel } from './preflight.ts';

/** Makes what carries packets. `mac1Key`: 32 bytes, of handshakes to this node. Touches nothing yet. */
export type CreateDataPlane = (config: AgentConfig, mac1Key: Uint8Array, log: Log) => DataPlane;

/** The kernel's. */
export function createEngine(config: AgentConfig, mac1Key: Uint8Array, log: Log): DataPlane {
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
