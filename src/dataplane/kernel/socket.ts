import type { BindSocket, DatagramSocket, Endpoint } from '../../reconcile/dataplane.ts';
import type { Context } from './context.ts';
import type { UdpSocket } from './native.ts';

/** Bytes: a fleet that initiates at once while the agent is busy for a second. */
const RECEIVE_BUFFER = 4 * 1024 * 1024;

/** An open handshake socket. */
export interface GuardedSocket {
  readonly port: number;
  readonly socket: UdpSocket;
}

/**
 * Opens a handshake socket that takes in what the ingress program passed, and nothing else. Nothing at all comes in while
 * no interface with that port is there.
 */
export function bindSocket(context: Context): BindSocket {
  return async ({ family, port, onDatagram }) => {
    const socket = context.calls.read(`port/${port}`, (native) => {
      return new native.UdpSocket({
        family,
        port,
        receiveBuffer: RECEIVE_BUFFER,
        onDatagram: ({ data, address, port: from }) =>
          onDatagram(data, { address: address as Endpoint['address'], port: from }),
      });
    });
    const guarded: GuardedSocket = { port, socket };
    try {
      guard(context, guarded);
    } catch (error) {
      socket.close();
      throw error;
    }
    context.sockets.add(guarded);
    return handleOf(context, guarded);
  };
}

function handleOf(context: Context, guarded: GuardedSocket): DatagramSocket {
  const { port, socket } = guarded;
  return {
    send: async (datagram, to) => {
      try {
        context.calls.read(`port/${port}`, () => socket.send({ datagram, ...to }));
        return true;
      } catch (error) {
        context.log('debug', 'a handshake message was not sent', { port, reason: String(error) });
        return false;
      }
    },
    close: async () => {
      context.sockets.delete(guarded);
      socket.close();
    },
  };
}

/** After an interface was made, or got other programs or another port: sockets ask the tickets of its ingress program. */
export function guardSockets(context: Context): void {
  for (const guarded of context.sockets) guard(context, guarded);
}

function guard(context: Context, { port, socket }: GuardedSocket): void {
  for (const { meta, pins } of context.overlays.values()) {
    if (meta.port !== port) continue;
    const program = pins.program('socket');
    context.calls.read(program, () => socket.setFilter({ program }));
  }
}
