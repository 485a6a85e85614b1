import assert from 'node:assert/strict';
import { createSocket } from 'node:dgram';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { loadSmall, native, openDescriptors, pinFolder, refused, shell, until } from './harness.mjs';

const PORT = 40_000;
const SOCKET_PROGRAM = fileURLToPath(new URL('../../../build/bpf/omni_socket.bpf.o', import.meta.url));
const HOME = { 4: '127.0.0.1', 6: '::1' };

function open(family, port = PORT) {
  const heard = [];
  const options = { family, port, receiveBuffer: 1 << 20, onDatagram: (datagram) => heard.push(datagram) };
  return { heard, socket: new native.UdpSocket(options) };
}

/** Loads the filter; what is put into its map gets in. */
async function filter(name) {
  const pins = pinFolder(name);
  const program = join(pins, 'prog_socket');
  const pinPrograms = { omni_socket: program };
  await native.loadObject({ object: SOCKET_PROGRAM, pinMaps: pins, pinPrograms, rodata: {} });
  const tickets = new native.BpfMap({ pin: join(pins, 'ticket_map') });
  const admit = (datagram) => {
    const value = Buffer.alloc(8);
    value.writeBigUInt64LE(native.bootTimeNs());
    tickets.update({ key: datagram.subarray(-32, -16), value });
  };
  return { pins, program, admit };
}

const message = (fill) => Buffer.alloc(112, fill);

export const scenarios = {
  'nothing gets in before there is a filter, and then what it lets in, whole and with its source': async () => {
    shell('ip', 'link', 'set', 'lo', 'up');
    const { program, admit } = await filter('udp');
    for (const family of [4, 6]) {
      const address = HOME[family];
      const { heard, socket } = open(family);
      const other = open(family, PORT + 1);
      for (const each of [1, 2]) other.socket.send({ datagram: message(each), address, port: PORT });
      admit(message(2));
      socket.setFilter({ program });
      for (const each of [3, 4, 5]) {
        if (each === 4) admit(message(each));
        other.socket.send({ datagram: message(each), address, port: PORT });
      }
      await until(() => heard.length > 0, 'a datagram');
      assert.deepEqual(heard, [{ data: message(4), address, port: PORT + 1 }]);
      for (const item of [socket, other.socket]) item.close();
      socket.close();
      refused(() => socket.send({ datagram: message(1), address, port: PORT }), 'EBADF');
      refused(() => socket.setFilter({ program }), 'EBADF');
    }
  },

  'the port is its own: nobody else binds it, not even with SO_REUSEADDR': async () => {
    shell('ip', 'link', 'set', 'lo', 'up');
    const { socket } = open(4);
    refused(() => open(4), 'EADDRINUSE', { syscall: 'bind' });
    const { socket: six } = open(6); // IPv6 alone
    const thief = createSocket({ type: 'udp4', reuseAddr: true });
    const code = await new Promise((resolve) => {
      thief.once('error', (error) => resolve(error.code));
      thief.bind(PORT, () => resolve('bound'));
    });
    assert.equal(code, 'EADDRINUSE');
    thief.close();
    socket.close();
    six.close();
  },

  'sends what fits the interface, and is told of what does not; a route’s MTU is not asked': async () => {
    shell('ip', 'link', 'set', 'lo', 'up', 'mtu', '1500');
    for (const [family, headers] of [
      [4, 28],
      [6, 48],
    ]) {
      const destination = family === 4 ? '192.0.2.1' : '2001:db8::1';
      shell('ip', 'route', 'add', destination, 'dev', 'lo', 'mtu', '1280');
      const { socket } = open(family);
      const send = (length) => socket.send({ datagram: Buffer.alloc(length), address: destination, port: 9 });
      send(1500 - headers);
      refused(() => send(1500 - headers + 1), 'EMSGSIZE', { syscall: 'sendto' });
      assert.throws(() => socket.send({ datagram: message(1), address: HOME[10 - family], port: 9 }), TypeError);
      socket.close();
    }
  },

  'a program of another kind is none, and failures leave no descriptor': async () => {
    shell('ip', 'link', 'set', 'lo', 'up');
    const { pins } = await filter('kinds');
    const others = pinFolder('others');
    await loadSmall(others);
    const { socket } = open(4);
    const before = openDescriptors();
    refused(() => socket.setFilter({ program: join(others, 'prog_xdp') }), 'EINVAL');
    refused(() => socket.setFilter({ program: join(pins, 'ticket_map') }), 'EINVAL');
    refused(() => socket.setFilter({ program: join(pins, 'nothing') }), 'ENOENT');
    refused(() => open(4), 'EADDRINUSE');
    assert.throws(() => new native.UdpSocket({ family: 5, port: 1, receiveBuffer: 0, onDatagram() {} }), TypeError);
    assert.equal(openDescriptors(), before);
    socket.close();
  },
};
