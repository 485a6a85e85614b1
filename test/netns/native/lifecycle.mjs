import assert from 'node:assert/strict';
import { once } from 'node:events';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { Worker } from 'node:worker_threads';
import {
  experimentalFrame,
  FOLDER,
  loadSmall,
  native,
  openAll,
  openDescriptors,
  pinFolder,
  refused,
  rejected,
  shell,
  until,
  vethPair,
} from './harness.mjs';

const ignore = () => undefined;

export const scenarios = {
  'opening and closing leaves no descriptor, nor do failures': async () => {
    const pins = pinFolder('leaks');
    const { inner, outer } = vethPair();
    await loadSmall(pins);
    const program = join(pins, 'prog_xdp');
    const round = async (full) => {
      for (const item of openAll(pins, outer)) item.close();
      native.links({});
      native.routes({});
      native.addresses({});
      native.features({ name: 'omniv0' });
      refused(() => new native.BpfMap({ pin: program }), 'EINVAL');
      refused(
        () => new native.PacketSocket({ ifindex: 999_999, receiveBuffer: 0, outgoing: true, onFrame: ignore }),
        'ENODEV',
      );
      refused(() => new native.RingBuffer({ pin: join(pins, 'hash_map'), onRecord: ignore }), 'EINVAL');
      refused(() => native.deleteLink({ ifindex: 999_999 }), 'ENODEV');
      native.attachXdp({ program, ifindex: outer, mode: 'generic', pin: join(pins, 'link') });
      refused(() => native.attachXdp({ program, ifindex: outer, mode: 'generic', pin: join(pins, 'l2') }), 'EBUSY');
      native.detachLink({ pin: join(pins, 'link') });
      native.programInfo({ pin: program });
      native.probe();
      if (full) {
        await loadSmall(pins);
        await rejected(loadSmall(pins, { object: join(FOLDER, 'other.bpf.o') }), 'EINVAL');
      }
      // libuv lets go of closed handles on the next turn.
      await new Promise((resolve) => setImmediate(resolve));
    };
    await round(true);
    const before = openDescriptors();
    for (let i = 0; i < 50; i++) await round(i % 10 === 0);
    assert.equal(openDescriptors(), before);
    native.deleteLink({ ifindex: inner });
  },

  'a map that nobody holds is closed by garbage collection': async () => {
    const pins = pinFolder('gc');
    await loadSmall(pins);
    setFlagsFromString('--expose-gc');
    const collect = runInNewContext('gc');
    const before = openDescriptors();
    for (let i = 0; i < 100; i++) new native.BpfMap({ pin: join(pins, 'hash_map') });
    assert.ok(openDescriptors() > before);
    await until(() => {
      collect();
      return openDescriptors() === before;
    }, 'descriptors of collected maps');
  },

  'what listens is not collected, and keeps the process alive until it is closed': async () => {
    setFlagsFromString('--expose-gc');
    const collect = runInNewContext('gc');
    let seen = 0;
    let monitor = new WeakRef(
      new native.NetlinkMonitor({
        onNotification: () => {
          seen += 1;
        },
      }),
    );
    for (let i = 0; i < 5; i++) {
      await new Promise((resolve) => setImmediate(resolve));
      collect();
    }
    vethPair();
    await until(() => seen > 0, 'a notification to an object that nobody holds');
    monitor.deref().close();
    monitor = undefined;
  },

  'the end of a worker frees what it left open': async () => {
    const pins = pinFolder('worker');
    const { outer } = vethPair();
    await loadSmall(pins);
    const before = openDescriptors();
    for (const way of ['terminate', 'busy', 'exit', 'loading']) {
      const worker = new Worker(new URL('./worker.mjs', import.meta.url), {
        workerData: { way, pins, ifindex: outer },
      });
      await once(worker, 'message');
      if (way === 'terminate' || way === 'busy') await worker.terminate();
      else await once(worker, 'exit');
    }
    await until(() => openDescriptors() <= before, 'descriptors of the workers');
    // The main thread's own still work.
    assert.equal(native.links({ ifindex: outer }).length, 1);
  },

  'what a callback throws is an uncaught exception, and no record is lost by it': async () => {
    const pins = pinFolder('throws');
    await loadSmall(pins);
    const thrown = [];
    process.on('uncaughtException', (error) => thrown.push(error));
    const own = new RangeError('mine');
    const onRecord = () => {
      throw own;
    };
    const ring = new native.RingBuffer({ pin: join(pins, 'ring_map'), onRecord });
    native.testRun({ pin: join(pins, 'prog_xdp'), data: experimentalFrame(), repeat: 100 });
    await until(() => thrown.length === 100, 'an exception per record');
    assert.ok(thrown.every((error) => error === own));
    ring.close();
  },

  'nothing is delivered after close, not even from within a callback': async () => {
    const { inner, outer } = vethPair();
    let count = 0;
    const socket = new native.PacketSocket({
      ifindex: outer,
      receiveBuffer: 1 << 20,
      outgoing: false,
      onFrame: () => {
        count += 1;
        socket.close();
      },
    });
    const sender = new native.PacketSocket({ ifindex: inner, receiveBuffer: 0, outgoing: false });
    for (let i = 0; i < 20; i++) sender.send({ frame: experimentalFrame() });
    await until(() => count === 1, 'a frame');
    for (let i = 0; i < 5; i++) await new Promise((resolve) => setImmediate(resolve));
    assert.equal(count, 1);
    sender.close();
  },

  'loads run side by side, each with its own log': async () => {
    const folders = ['a', 'b', 'c', 'd'].map((name) => pinFolder(`side-${name}`));
    const refusedObject = { object: join(FOLDER, 'refused.bpf.o'), pinPrograms: {}, rodata: {} };
    const results = await Promise.allSettled(
      folders.map((pins, i) =>
        i % 2 === 0 ? loadSmall(pins, { stats: true }) : native.loadObject({ ...refusedObject, pinMaps: pins }),
      ),
    );
    assert.deepEqual(
      results.map((result) => result.status),
      ['fulfilled', 'rejected', 'fulfilled', 'rejected'],
    );
    for (const result of results) {
      const log = result.value?.log ?? result.reason.log;
      assert.equal(/small_xdp/.test(log), result.status === 'fulfilled');
      assert.equal(/refused_xdp/.test(log), result.status === 'rejected');
    }
  },

  'without capabilities every call says EPERM, with names': () => {
    assert.ok(native.capabilities().includes('CAP_NET_ADMIN'));
    const script = fileURLToPath(new URL('./powerless.mjs', import.meta.url));
    shell('setpriv', '--bounding-set=-all', '--inh-caps=-all', process.execPath, script);
  },
};
