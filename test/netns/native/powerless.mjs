// Runs without any capability.
import assert from 'node:assert/strict';
import { FOLDER, native, refused } from './harness.mjs';

assert.deepEqual(native.capabilities(), []);
const up = { ifindex: 1, up: true };
refused(() => native.setLink(up), 'EPERM', { errno: 1, syscall: 'RTM_SETLINK', object: 'ifindex 1' });
const socket = { ifindex: 1, receiveBuffer: 0, outgoing: false };
refused(() => new native.PacketSocket(socket), 'EPERM', { syscall: 'socket' });
refused(() => native.mountBpffs({ path: FOLDER }), 'EPERM', { syscall: 'mount', object: FOLDER });
refused(() => native.setFeatures({ name: 'lo', features: { 'rx-gro': false } }), 'EPERM');
const { xdpProgram, schedClsProgram, spinLock, log } = native.probe();
assert.deepEqual([xdpProgram, schedClsProgram, spinLock], [false, false, false]);
assert.match(log, /xdpProgram: EPERM/);
// What everybody may read.
assert.equal(native.links({ name: 'lo' })[0].loopback, true);
