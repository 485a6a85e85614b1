import type { EndpointHint, IpAddress } from '../manifest/model.ts';
import { formatIp, parseIp } from '../manifest/net.ts';
import type { Endpoint } from '../reconcile/dataplane.ts';

/** Where addresses come from, and which ones are of use. */
export interface Ways {
  /** A name's addresses as far as they are known, best first. */
  readonly resolve: (host: string) => readonly IpAddress[];
  readonly reaches: (address: IpAddress) => boolean;
}

/** None: the name does not resolve (yet), or the transport has no family for its addresses. */
export function endpointsOf({ host, port }: EndpointHint, { resolve, reaches }: Ways): readonly Endpoint[] {
  const literal = parseIp(host);
  // As the data plane writes it: what datagrams come from is compared with it.
  const addresses = literal.ok ? [formatIp(literal.value)] : resolve(host);
  return addresses.filter(reaches).map((address) => ({ address, port }));
}

/** All of them in the hints' order, none twice. */
export function allEndpoints(hints: readonly EndpointHint[], ways: Ways): readonly Endpoint[] {
  const found = new Map<string, Endpoint>();
  for (const hint of hints) {
    for (const endpoint of endpointsOf(hint, ways)) {
      const key = `${endpoint.address} ${endpoint.port}`;
      if (!found.has(key)) found.set(key, endpoint);
    }
  }
  return [...found.values()];
}
