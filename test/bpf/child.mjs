// Runs BPF programs in the network namespace it was started in, where routes and neighbours are the test's own:
// { id, method, args } -> { id, result | error }. See lab.ts.
import { execFileSync } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';

const native = createRequire(import.meta.url)('../../native/build/Release/omni_native.node');

/** What arrives, and who waits for it. */
class Inbox {
  #arrived = [];
  #waiting = [];
  put(bytes) {
    const waiter = this.#waiting.shift();
    if (waiter) waiter(bytes);
    else this.#arrived.push(bytes);
  }
  next() {
    if (this.#arrived.length > 0) return this.#arrived.shift();
    return new Promise((resolve) => this.#waiting.push(resolve));
  }
}

const packetSockets = new Map();
const inboxes = new Map();
const listening = [];
let udp;

function inbox(name) {
  if (!inboxes.has(name)) inboxes.set(name, new Inbox());
  return inboxes.get(name);
}

const own = {
  /** Frames that come into the interface go to the inbox of its name. */
  openPacketSocket(name) {
    const ifindex = native.links({ name })[0].ifindex;
    const onFrame = (frame) => inbox(name).put(frame);
    packetSockets.set(name, new native.PacketSocket({ ifindex, receiveBuffer: 1 << 20, outgoing: false, onFrame }));
  },
  sendFrame(name, frame) {
    packetSockets.get(name).send({ frame });
  },
  /** UDP datagrams to the port go to the inbox `udp`. */
  openUdp(port) {
    udp = createSocket('udp4', (message) => inbox('udp').put(message));
    return new Promise((resolve) => udp.bind(port, () => resolve()));
  },
  /** Sockets on the port, of both families, that nobody reads. */
  async listen(port) {
    for (const type of ['udp4', 'udp6']) {
      const socket = createSocket({ type, ipv6Only: type === 'udp6' });
      await new Promise((resolve) => socket.bind(port, () => resolve()));
      listening.push(socket);
    }
  },
  stopListening() {
    for (const socket of listening.splice(0)) socket.close();
  },
  sendUdp(payload, port, address) {
    return new Promise((resolve, reject) => udp.send(payload, port, address, (e) => (e ? reject(e) : resolve())));
  },
  /** A device's row can only be written in the namespace that the device is in. */
  updateMap({ pin, key, value }) {
    const map = new native.BpfMap({ pin });
    map.update({ key, value });
    map.close();
  },
  next(name) {
    return inbox(name).next();
  },
  read(path) {
    return readFileSync(path, 'utf8');
  },
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
