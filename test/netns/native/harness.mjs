import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdirSync, readdirSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';

export const native = createRequire(import.meta.url)('../../../native/build/Release/omni_native.node');

/** Compiled fixtures (test/unit/native/fixtures), and room for a bpf file system. */
export const FOLDER = process.env.OMNI_TEST_FOLDER;
export const MAC = { inner: '02:00:00:00:00:01', outer: '06:00:00:00:00:01' };

/** The error that `action` throws; it is one of the kernel's, with this code. */
export function refused(action, code, rest = {}) {
  try {
    action();
  } catch (error) {
    return expectRefusal(error, code, rest);
  }
  assert.fail(`nothing was thrown instead of ${code}`);
}

export async function rejected(promise, code, rest = {}) {
  return promise.then(
    () => assert.fail(`did not reject with ${code}`),
    (error) => expectRefusal(error, code, rest),
  );
}

function expectRefusal(error, code, rest) {
  assert.equal(error.code, code, error.stack);
  assert.ok(Number.isInteger(error.errno) && error.errno > 0, `errno of ${error.stack}`);
  assert.equal(typeof error.syscall, 'string');
  assert.equal(typeof error.object, 'string');
  for (const [key, value] of Object.entries(rest)) {
    if (value instanceof RegExp) assert.match(error[key], value);
    else assert.equal(error[key], value, error.stack);
  }
  return error;
}

/** Waits for what the kernel does on its own time. */
export async function until(condition, what) {
  const deadline = Date.now() + 20_000;
  while (!condition()) {
    if (Date.now() > deadline) assert.fail(`timed out: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

/** A pair of which both ends are up: { inner, outer } by ifindex. */
export function vethPair(name = 'omniv0') {
  native.createVeth({ name, peerName: `${name}x`, mac: MAC.inner, peerMac: MAC.outer, mtu: 1400 });
  const [inner] = native.links({ name });
  const [outer] = native.links({ name: `${name}x` });
  native.setLink({ ifindex: outer.ifindex, up: true });
  native.setLink({ ifindex: inner.ifindex, up: true });
  return { inner: inner.ifindex, outer: outer.ifindex };
}

/** A fresh folder on a bpf file system of this mount namespace. */
export function pinFolder(name) {
  const mountPoint = join(FOLDER, 'bpffs');
  mkdirSync(mountPoint, { recursive: true });
  if (!native.isBpffs({ path: mountPoint })) native.mountBpffs({ path: mountPoint });
  const folder = join(mountPoint, name);
  mkdirSync(folder);
  return folder;
}

/** Loads small.bpf.o with everything pinned below `pins`. */
export async function loadSmall(pins, options = {}) {
  const { verdict = 2, ifindex = 0, ...rest } = options;
  const config = Buffer.alloc(8);
  config.writeUInt32LE(verdict, 0);
  config.writeUInt32LE(ifindex, 4);
  return native.loadObject({
    object: join(FOLDER, 'small.bpf.o'),
    pinMaps: pins,
    pinPrograms: { small_xdp: join(pins, 'prog_xdp'), small_tc: join(pins, 'prog_tc') },
    rodata: { config, marker: Uint8Array.of(0x11, 0x22, 0x33) },
    ...rest,
  });
}

/** Opens one of each class on the pins of `loadSmall` and an interface. */
export function openAll(pins, ifindex) {
  const ignore = () => undefined;
  return [
    new native.NetlinkMonitor({ onNotification: ignore }),
    new native.PacketSocket({ ifindex, receiveBuffer: 4096, outgoing: true, onFrame: ignore }),
    new native.PacketSocket({ ifindex, receiveBuffer: 0, outgoing: false }),
    new native.UdpSocket({ family: 4, port: 40_100, receiveBuffer: 4096, onDatagram: ignore }),
    new native.RingBuffer({ pin: join(pins, 'ring_map'), onRecord: ignore }),
    new native.BpfMap({ pin: join(pins, 'hash_map') }),
  ];
}

export const openDescriptors = () => readdirSync('/proc/self/fd').length;

/** Ethernet: broadcast, from MAC.inner, an experimental ethertype; 60 bytes. */
export function experimentalFrame(fill = 7) {
  return Buffer.concat([Buffer.from('ffffffffffff02000000000188b5', 'hex'), Buffer.alloc(46, fill)]);
}

export function shell(command, ...parameters) {
  const result = spawnSync(command, parameters, { encoding: 'utf8' });
  assert.equal(result.status, 0, result.error?.message ?? result.stderr);
  return result.stdout;
}
