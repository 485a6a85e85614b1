import type { OmniError } from '../errors.ts';
import type { IpAddress } from '../manifest/model.ts';
import type { Endpoint } from '../reconcile/dataplane.ts';
import type { OpenTransport, Transport } from './transport.ts';

interface ListenerOptions {
  readonly open: OpenTransport;
  readonly onDatagram: (datagram: Uint8Array, from: Endpoint) => void;
  readonly onError: (error: OmniError) => void;
}

/** The transport of the port that the cluster asks for; nothing is sent and nobody is reached while there is none. */
export class Listener {
  readonly #options: ListenerOptions;
  #transport: { readonly port: number; readonly transport: Transport } | undefined;

  constructor(options: ListenerOptions) {
    this.#options = options;
  }

  /** The new port is taken before the old one is given up: a port in use changes nothing. */
  async listen(port: number): Promise<void> {
    if (this.#transport?.port === port) return;
    const { open, onDatagram, onError } = this.#options;
    const transport = await open({ port, onDatagram, onError });
    await this.close();
    this.#transport = { port, transport };
  }

  async close(): Promise<void> {
    const before = this.#transport;
    this.#transport = undefined;
    await before?.transport.close();
  }

  /** False: the system would not send. */
  async send(datagram: Uint8Array, to: Endpoint): Promise<boolean> {
    return (await this.#transport?.transport.send(datagram, to)) ?? false;
  }

  reaches(address: IpAddress): boolean {
    return this.#transport?.transport.reaches(address) ?? false;
  }
}
