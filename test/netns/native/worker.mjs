// A worker thread that opens one of each, closes none, and ends in one of several ways.
import { parentPort, workerData } from 'node:worker_threads';
import { loadSmall, native, openAll } from './harness.mjs';

const { way, pins, ifindex } = workerData;
openAll(pins, ifindex);
const ways = {
  /** While it waits. */
  terminate: () => parentPort.postMessage('open'),
  /** While a callback of ours runs. */
  busy: () => {
    const onNotification = () => {
      parentPort.postMessage('busy');
      for (;;);
    };
    new native.NetlinkMonitor({ onNotification });
    native.setLink({ ifindex, alias: 'omninervous:busy' });
  },
  /** By itself. */
  exit: () => {
    parentPort.postMessage('open');
    setImmediate(() => process.exit(0));
  },
  /** While a pool thread works for it. */
  loading: () => {
    void loadSmall(pins);
    parentPort.postMessage('open');
    setImmediate(() => process.exit(0));
  },
};
ways[way]();
