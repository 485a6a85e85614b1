import { connect } from 'node:net';

/** Resolves when a TCP connection came about; rejects with the system's reason. */
export function probeTcp(to: { readonly host: string; readonly port: number }, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host: to.host, port: to.port, signal });
    socket.on('error', reject);
    socket.once('connect', () => {
      socket.destroy();
      resolve();
    });
  });
}
