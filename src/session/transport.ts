import { createSocket } from 'node:dgram';
import { isIPv4 } from 'node:net';
import { ExitCode, OmniError } from '../errors.ts';
import type { IpAddress } from '../manifest/model.ts';
import type { Endpoint } from '../reconcile/dataplane.ts';

/** Where handshake datagrams come from and go to. */
export interface Transport {
  /** Best effort, as UDP is. Resolves false where the system refused (no route, a filter). */
  send(datagram: Uint8Array, to: Endpoint): Promise<boolean>;
  /** Whether this transport has the address' family. */
  reaches(address: IpAddress): boolean;
  close(): Promise<void>;
}

export type OpenTransport = (options: {
  readonly port: number;
  readonly onDatagram: (datagram: Uint8Array, from: Endpoint) => void;
  readonly onError: (error: OmniError) => void;
}) => Promise<Transport>;

/** UDP over IPv4 on all addresses. Throws OmniError `port-in-use` or `port-unavailable`, exit code 2. */
export const openUdp: OpenTransport = async ({ port, onDatagram, onError }) => {
  const socket = createSocket('udp4');
  await new Promise<void>((resolve, reject) => {
    socket.once('error', (error) => reject(bindError(port, error)));
    socket.bind({ port, address: '0.0.0.0', exclusive: true }, resolve);
  });
  socket.removeAllListeners('error');
  socket.on('error', (error) => {
    const message = `the handshake socket on UDP port ${port} failed: ${error.message}`;
    onError(
      new OmniError(message, { code: 'handshake-socket-failed', class: 'retry', object: `port/${port}`, cause: error }),
    );
  });
  socket.on('message', (datagram, from) =>
    onDatagram(datagram, { address: from.address as IpAddress, port: from.port }),
  );
  let closed = false;
  return {
    send: (datagram, to) =>
      new Promise((resolve) => {
        if (closed) resolve(false);
        else socket.send(datagram, to.port, to.address, (error) => resolve(error === null));
      }),
    reaches: isIPv4,
    close: () =>
      new Promise((resolve) => {
        if (closed) resolve();
        else socket.close(() => resolve());
        closed = true;
      }),
  };
};

function bindError(port: number, error: NodeJS.ErrnoException): OmniError {
  const inUse = error.code === 'EADDRINUSE';
  return new OmniError(
    inUse ? `UDP port ${port} is in use by another program` : `cannot listen on UDP port ${port}: ${error.code}`,
    {
      code: inUse ? 'port-in-use' : 'port-unavailable',
      class: 'stall',
      object: `port/${port}`,
      fix: inUse
        ? `Find it with \`ss -lunp 'sport = :${port}'\` and stop it, or set another spec.port in the Cluster.`
        : 'Choose another spec.port in the Cluster, or run as root.',
      exitCode: ExitCode.usage,
      cause: error,
    },
  );
}
