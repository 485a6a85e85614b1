import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { networkInterfaces } from 'node:os';
import { expect, test } from 'vitest';
import type { IpAddress } from '../../../src/manifest/model.ts';
import type { Endpoint } from '../../../src/reconcile/dataplane.ts';
import { openUdp } from '../../../src/session/transport.ts';

const loopback = '127.0.0.1' as IpAddress;
const ignore = () => undefined;

/** A UDP port of the loopback that was free a moment ago. */
async function freePort(): Promise<number> {
  const socket = createSocket('udp4');
  socket.bind(0, loopback);
  await once(socket, 'listening');
  const { port } = socket.address();
  await new Promise<void>((resolve) => socket.close(() => resolve()));
  return port;
}

const hasIpv6 = Object.values(networkInterfaces()).some((addresses) =>
  addresses?.some(({ address }) => address === '::1'),
);

test.each([
  ['udp4', '127.0.0.1'],
  ['udp6', '::1'],
] as const)('datagrams pass both ways and bear their source: %s', async (family, address) => {
  if (family === 'udp6' && !hasIpv6) {
    if (process.env.CI) throw new Error('this machine has no IPv6');
    return;
  }
  const port = await freePort();
  const heard: { bytes: Uint8Array; from: Endpoint }[] = [];
  let wake: () => void = ignore;
  const server = await openUdp({
    port,
    onDatagram: (bytes, from) => {
      heard.push({ bytes, from });
      wake();
    },
    onError: ignore,
  });
  const client = createSocket(family);
  try {
    client.bind(0, address);
    await once(client, 'listening');
    const arrived = new Promise<void>((resolve) => {
      wake = resolve;
    });
    client.send('question', port, address);
    await arrived;
    expect(heard).toMatchObject([{ from: { address, port: client.address().port } }]);
    expect(Buffer.from(heard[0]?.bytes ?? []).toString()).toBe('question');
    const answer = once(client, 'message');
    const back = { address: address as IpAddress, port: client.address().port };
    expect(await server.send(Buffer.from('answer'), back)).toBe(true);
    expect(String((await answer)[0])).toBe('answer');
    expect(server.reaches(address as IpAddress)).toBe(true);
  } finally {
    client.close();
    await server.close();
  }
});

test('a port that is taken in IPv6 alone leaves none open in IPv4', async () => {
  if (!hasIpv6) return;
  const port = await freePort();
  const taken = createSocket({ type: 'udp6', ipv6Only: true });
  taken.bind(port, '::');
  await once(taken, 'listening');
  try {
    await expect(openUdp({ port, onDatagram: ignore, onError: ignore })).rejects.toMatchObject({ code: 'port-in-use' });
  } finally {
    taken.close();
  }
  await (await openUdp({ port, onDatagram: ignore, onError: ignore })).close();
});

test('a port in use says so, with exit code 2 and what to do', async () => {
  const port = await freePort();
  const first = await openUdp({ port, onDatagram: ignore, onError: ignore });
  try {
    await expect(openUdp({ port, onDatagram: ignore, onError: ignore })).rejects.toMatchObject({
      code: 'port-in-use',
      class: 'stall',
      exitCode: 2,
      object: `port/${port}`,
      fix: expect.stringContaining(`${port}`),
    });
  } finally {
    await first.close();
  }
  const second = await openUdp({ port, onDatagram: ignore, onError: ignore }); // free again
  await second.close();
});

test('what the system will not send is reported, not thrown', async () => {
  const transport = await openUdp({ port: await freePort(), onDatagram: ignore, onError: ignore });
  expect(await transport.send(new Uint8Array(70_000), { address: loopback, port: 9 })).toBe(false);
  expect(transport.reaches(loopback)).toBe(true);
  expect(transport.reaches('fe80::1' as IpAddress)).toBe(false);
  expect(await transport.send(new Uint8Array(1), { address: 'fe80::1' as IpAddress, port: 9 })).toBe(false);
  await transport.close();
  await transport.close();
  expect(await transport.send(new Uint8Array(1), { address: loopback, port: 9 })).toBe(false);
});
