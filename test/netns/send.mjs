// Runs inside a namespace: sends hostile traffic and exits.
//   send.mjs frame <interface> <hex>                     one raw frame
//   send.mjs frames <interface> <per second> <file>      raw frames (hex, one a line), each once, at that rate
//   send.mjs udp <address> <port> <count> <min> <max>    random datagrams of random sizes; prints replies received
//   send.mjs datagrams <address> <port> [own port]       the datagrams on stdin (hex, one a line) in one burst; the same report
import { randomBytes, randomInt } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { text } from 'node:stream/consumers';

const [mode, ...rest] = process.argv.slice(2);
if (mode === 'frame') {
  const native = createRequire(import.meta.url)('../../native/build/Release/omni_native.node');
  const [name, hex] = rest;
  const [link] = native.links({ name });
  const socket = new native.PacketSocket({ ifindex: link.ifindex, receiveBuffer: 65536, outgoing: false });
  socket.send({ frame: Buffer.from(hex, 'hex') });
  socket.close();
} else if (mode === 'frames') {
  const native = createRequire(import.meta.url)('../../native/build/Release/omni_native.node');
  const [name, perSecond, file] = rest;
  const frames = readFileSync(file, 'utf8').split('\n').filter(Boolean);
  const socket = new native.PacketSocket({
    ifindex: native.links({ name })[0].ifindex,
    receiveBuffer: 65536,
    outgoing: false,
  });
  const started = performance.now();
  for (let sent = 0; sent < frames.length; ) {
    const due = Math.min(frames.length, Math.ceil(((performance.now() - started) / 1000) * Number(perSecond)));
    for (; sent < due; sent++) socket.send({ frame: Buffer.from(frames[sent], 'hex') });
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
  socket.close();
  console.log('sent');
} else if (mode === 'udp' || mode === 'datagrams') {
  const [address, port, count, min, max] = rest;
  const ownPort = mode === 'datagrams' ? Number(count ?? 0) : 0;
  const given = mode === 'datagrams' ? (await text(process.stdin)).split('\n').filter(Boolean) : undefined;
  const socket = createSocket(address.includes(':') ? 'udp6' : 'udp4');
  let replies = 0;
  let errors = 0;
  socket.on('message', () => replies++);
  // An ICMP "port unreachable" would come back as ECONNREFUSED on this connected socket.
  socket.on('error', () => errors++);
  await new Promise((resolve) => socket.bind(ownPort, resolve));
  await new Promise((resolve) => socket.connect(Number(port), address, resolve));
  for (let sent = 0; sent < (given?.length ?? Number(count)); sent++) {
    const hex = given?.[sent];
    const datagram = hex === undefined ? randomBytes(randomInt(Number(min), Number(max) + 1)) : Buffer.from(hex, 'hex');
    await new Promise((resolve) => socket.send(datagram, resolve));
  }
  await new Promise((resolve) => setTimeout(resolve, 300));
  socket.close();
  console.log(JSON.stringify({ replies, errors }));
} else {
  console.error(`send: unknown mode ${mode}`);
  process.exitCode = 2;
}
