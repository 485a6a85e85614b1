import { createSocket } from 'node:dgram';
import { isIPv4 } from 'node:net';
import { ExitCode, OmniError } from '../errors.ts';
import type { IpAddress } from '../manifest/model.ts';
import { formatIp, parseIp } from '../manifest/net.ts';
import type { BindSocket, DatagramSocket, Endpoint } from '../reconcile/dataplane.ts';

/** Where handshake datagrams come from and go to. */
export interface Transport {
  /** Best effort, as UDP is. Resolves false where the system refused (no route, a filter). */
  send(datagram: Uint8Array, to: Endpoint): Promise<boolean>;
  /** Whether this transport has the address' family. A link-local address names no interface, and is reached by none. */
  reaches(address: IpAddress): boolean;
  close(): Promise<void>;
}

/** Addresses handed on are canonical; datagrams from link-local ones are not handed on. */
export type OpenTransport = (options: {
  readonly port: number;
  readonly onDatagram: (datagram: Uint8Array, from: Endpoint) => void;
  readonly onError: (error: OmniError) => void;
}) => Promise<Transport>;

/**
 * Bytes: a fleet that calls at once while the agent is busy for a second. The system may give less (net.core.rmem_max), and
 * by default gives twice what it would without being asked.
 */
const RECEIVE_BUFFER = 4 * 1024 * 1024;

/** What a system without IPv6 says to a socket of it, or to all of its addresses. */
const NO_IPV6 = new Set(['EAFNOSUPPORT', 'EADDRNOTAVAIL', 'EPROTONOSUPPORT']);
const LINK_LOCAL = /^fe[89ab][0-9a-f]:/i;

/**
 * UDP on all addresses of both families, a socket for each; over IPv4 alone where the system has no IPv6. Throws OmniError
 * `port-in-use` or `port-unavailable`, exit code 2.
 */
export function udpTransport(bindSocket: BindSocket): OpenTransport {
  return async ({ port, onDatagram, onError }) => {
    const bind = (family: 4 | 6): Promise<DatagramSocket> =>
      bindSocket({
        family,
        port,
        onError: (error) => onError(failed(port, error)),
        onDatagram: (datagram, from) => {
          const address = canonical(from.address);
          if (address !== undefined) onDatagram(datagram, { address, port: from.port });
        },
      });
    const four = await bind(4).catch((error: unknown) => {
      throw bindError(port, error);
    });
    const six = await bind(6).catch(async (error: unknown) => {
      if (NO_IPV6.has(codeOf(error))) return undefined;
      await four.close();
      throw bindError(port, error);
    });
    const socketFor = (address: string) => (isIPv4(address) ? four : LINK_LOCAL.test(address) ? undefined : six);
    let closed = false;
    return {
      send: async (datagram, to) => {
        const socket = closed ? undefined : socketFor(to.address);
        return socket === undefined ? false : socket.send(datagram, to);
      },
      reaches: (address) => socketFor(address) !== undefined,
      close: async () => {
        if (closed) return;
        closed = true;
        await Promise.all([four.close(), six?.close()]);
      },
    };
  };
}

/** With the system's own sockets, which nothing stands in front of. */
export const openUdp: OpenTransport = udpTransport(async ({ family, port, onDatagram, onError }) => {
  const type = family === 4 ? 'udp4' : 'udp6';
  const socket = createSocket({ type, ipv6Only: family === 6, recvBufferSize: RECEIVE_BUFFER });
  await new Promise<void>((resolve, reject) => {
    socket.once('error', (error) => {
      socket.close();
      reject(error);
    });
    socket.bind({ port, address: family === 4 ? '0.0.0.0' : '::', exclusive: true }, resolve);
  });
  socket.removeAllListeners('error').on('error', onError);
  socket.on('message', (datagram, { address, port: from }) =>
    onDatagram(datagram, { address: address as IpAddress, port: from }),
  );
  return {
    send: (datagram, to) =>
      new Promise((resolve) => {
        socket.send(datagram, to.port, to.address, (error) => resolve(error === null));
      }),
    close: () => new Promise((resolve) => socket.close(() => resolve())),
  };
});

/** The errno name of a failed bind. */
function codeOf(error: unknown): string {
  const cause = error instanceof OmniError ? error.cause : error;
  return (cause as NodeJS.ErrnoException).code ?? '';
}

/** undefined: it means something on one link only. */
function canonical(text: string): IpAddress | undefined {
  if (LINK_LOCAL.test(text)) return undefined;
  const ip = parseIp(text);
  return ip.ok ? formatIp(ip.value) : undefined;
}

function failed(port: number, cause: Error): OmniError {
  const message = `the handshake socket on UDP port ${port} failed: ${cause.message}`;
  return new OmniError(message, { code: 'handshake-socket-failed', class: 'retry', object: `port/${port}`, cause });
}

function bindError(port: number, error: unknown): OmniError {
  const code = codeOf(error);
  const inUse = code === 'EADDRINUSE';
  return new OmniError(
    inUse ? `UDP port ${port} is in use by another program` : `cannot listen on UDP port ${port}: ${code}`,
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
