import assert from 'node:assert/strict';
import { experimentalFrame, native, refused, until, vethPair } from './harness.mjs';

const isOurs = (frame) => frame.readUInt16BE(12) === 0x88b5 || frame.readUInt16BE(12) === 0x8100;

/** A receiving socket and what it got of our frames. */
function receiver(ifindex, options = {}) {
  const frames = [];
  const onFrame = (frame) => {
    if (isOurs(frame)) frames.push(frame);
  };
  const socket = new native.PacketSocket({ ifindex, receiveBuffer: 1 << 20, outgoing: false, onFrame, ...options });
  return { frames, socket };
}

export const scenarios = {
  'frames cross a pair byte for byte, VLAN tags in their place': async () => {
    const { inner, outer } = vethPair();
    const far = receiver(outer);
    const near = receiver(inner);
    const loud = receiver(inner, { outgoing: true });
    const sender = new native.PacketSocket({ ifindex: inner, receiveBuffer: 0, outgoing: false });
    const plain = experimentalFrame();
    const tagged = Buffer.concat([plain.subarray(0, 12), Buffer.from('81002005', 'hex'), plain.subarray(12)]);
    const largest = Buffer.concat([plain.subarray(0, 14), Buffer.alloc(1400, 3)]);
    for (const frame of [plain, tagged, largest]) sender.send({ frame });
    await until(() => far.frames.length === 3, 'three frames');
    assert.deepEqual(far.frames, [plain, tagged, largest]);
    // What this host sends there is heard only where it was asked for.
    await until(() => loud.frames.length === 3, 'outgoing frames');
    assert.deepEqual(near.frames, []);
    refused(() => sender.send({ frame: Buffer.alloc(3_000) }), 'EMSGSIZE', { syscall: 'sendto' });
    for (const length of [0, 13]) assert.throws(() => sender.send({ frame: Buffer.alloc(length) }), TypeError);
    for (const { socket } of [far, near, loud]) socket.close();
    sender.close();
    sender.close();
    refused(() => sender.send({ frame: plain }), 'EBADF');
  },

  'a socket for one protocol gets what comes in with it, and nothing else': async () => {
    const { inner, outer } = vethPair();
    const one = receiver(outer, { protocol: 0x88b5 });
    const all = receiver(outer);
    const own = receiver(inner, { protocol: 0x88b5, outgoing: true });
    const plain = experimentalFrame();
    const other = Buffer.concat([plain.subarray(0, 12), Buffer.from('81002005', 'hex'), Buffer.alloc(46, 1)]);
    for (const frame of [other, plain]) own.socket.send({ frame });
    await until(() => all.frames.length === 2 && one.frames.length > 0, 'two frames for whoever wants all');
    assert.deepEqual(one.frames, [plain]);
    assert.deepEqual(own.frames, []);
    for (const { socket } of [one, all, own]) socket.close();
    const options = { ifindex: outer, receiveBuffer: 0, outgoing: false, protocol: 0x88b5 };
    assert.throws(() => new native.PacketSocket(options), TypeError); // it would receive nothing
  },

  'a socket outlives the fall of its interface, and says when it is gone': async () => {
    const { inner, outer } = vethPair();
    const { frames, socket } = receiver(outer);
    const sender = new native.PacketSocket({ ifindex: inner, receiveBuffer: 0, outgoing: false });
    native.setLink({ ifindex: outer, up: false });
    await new Promise((resolve) => setImmediate(resolve));
    native.setLink({ ifindex: outer, up: true });
    await until(() => native.links({ ifindex: outer })[0].running, 'carrier');
    sender.send({ frame: experimentalFrame() });
    await until(() => frames.length === 1, 'a frame after the fall');
    native.deleteLink({ ifindex: inner });
    refused(() => sender.send({ frame: experimentalFrame() }), 'ENXIO');
    socket.close();
    sender.close();
    refused(() => new native.PacketSocket({ ifindex: inner, receiveBuffer: 0, outgoing: false }), 'ENODEV');
  },

  'a flood does not starve the event loop, and the buffer bounds it': async () => {
    const { inner, outer } = vethPair();
    let turns = 0;
    let turnsAtLast = 0;
    let count = 0;
    const onFrame = (frame) => {
      if (!isOurs(frame)) return;
      count += 1;
      turnsAtLast = turns;
    };
    const socket = new native.PacketSocket({ ifindex: outer, receiveBuffer: 1 << 20, outgoing: false, onFrame });
    const small = receiver(outer, { receiveBuffer: 4096 });
    const sender = new native.PacketSocket({ ifindex: inner, receiveBuffer: 0, outgoing: false });
    const turn = () => {
      turns += 1;
      if (count < 500) setImmediate(turn);
    };
    for (let i = 0; i < 500; i++) sender.send({ frame: experimentalFrame(i & 0xff) });
    setImmediate(turn);
    await until(() => count === 500, 'all frames');
    assert.ok(turnsAtLast >= 500 / 64 - 2, `all 500 frames came within ${turnsAtLast} turns`);
    assert.ok(small.frames.length > 0 && small.frames.length < 100, `${small.frames.length} frames in 4 KiB`);
    for (const item of [socket, small.socket, sender]) item.close();
  },
};
