import { createSocket as createRealSocket, type SocketOptions } from 'node:dgram';
import { once } from 'node:events';
import { expect, test, vi } from 'vitest';
import type { IpAddress } from '../../../src/manifest/model.ts';
import { openUdp } from '../../../src/session/transport.ts';

/** A kernel that was booted with ipv6.disable=1: nobody gets a socket of that family. */
vi.mock('node:dgram', async (original) => {
  const { EventEmitter } = await import('node:events');
  const real = await original<typeof import('node:dgram')>();
  class Refused extends EventEmitter {
    bind() {
      this.emit('error', Object.assign(new Error('bind EAFNOSUPPORT'), { code: 'EAFNOSUPPORT' }));
    }
    close() {}
  }
  return {
    ...real,
    createSocket: (options: SocketOptions | 'udp4') =>
      typeof options === 'object' && options.type === 'udp6' ? new Refused() : real.createSocket(options as 'udp4'),
  };
});

test('without IPv6 there is IPv4', async () => {
  const probe = createRealSocket('udp4');
  probe.bind(0, '127.0.0.1');
  await once(probe, 'listening');
  let arrived: (text: string) => void = () => undefined;
  const heard = new Promise<string>((resolve) => {
    arrived = resolve;
  });
  const port = 20_000 + (probe.address().port % 10_000);
  const transport = await openUdp({
    port,
    onDatagram: (datagram) => arrived(Buffer.from(datagram).toString()),
    onError: () => undefined,
  });
  try {
    expect(transport.reaches('192.0.2.1' as IpAddress)).toBe(true);
    expect(transport.reaches('2001:db8::1' as IpAddress)).toBe(false);
    expect(await transport.send(new Uint8Array(1), { address: '2001:db8::1' as IpAddress, port: 9 })).toBe(false);
    probe.send('question', port, '127.0.0.1');
    expect(await heard).toBe('question');
  } finally {
    probe.close();
    await transport.close();
  }
});
