import type { Cidr, IpAddress } from '../manifest/model.ts';
import { contains, type Network, network, parseIp } from '../manifest/net.ts';

/**
 * The addresses of the cluster itself. None of them is an endpoint: a datagram to one would be sent through the session
 * that it belongs to, and be encrypted again and again.
 */
export class OverlayAddresses {
  #networks: readonly Network[] = [];

  set(subnets: readonly Cidr[]): void {
    this.#networks = subnets.map(network);
  }

  has(address: IpAddress): boolean {
    const ip = parseIp(address);
    return ip.ok && this.#networks.some((each) => contains(each, ip.value));
  }
}
