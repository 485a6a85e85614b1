import { isIP } from 'node:net';
import type { EndpointHint, IpAddress } from '../manifest/model.ts';
import type { Endpoint } from '../reconcile/dataplane.ts';

/** Where addresses come from, and which ones are of use. */
export interface Ways {
  readonly resolve: (host: string) => Promise<IpAddress | undefined>;
  readonly reaches: (address: IpAddress) => boolean;
}

/** Undefined: the name does not resolve, or the transport has no family for the address. */
export async function endpointOf({ host, port }: EndpointHint, ways: Ways): Promise<Endpoint | undefined> {
  const address = isIP(host) === 0 ? await ways.resolve(host) : (host as IpAddress);
  return address !== undefined && ways.reaches(address) ? { address, port } : undefined;
}

/**
 * Where initiation number `tries` (from 0) of an attempt goes: what a handshake proved first, then the manifest's
 * hints in their order, round and round. Names are resolved when their turn comes; one that does not resolve, or an
 * address that the transport has no family for, gives its turn to the next. Undefined: there is nowhere to send to.
 */
export async function candidate(
  options: Ways & {
    readonly proved: Endpoint | undefined;
    readonly hints: readonly EndpointHint[];
    readonly tries: number;
  },
): Promise<Endpoint | undefined> {
  const { proved, hints, tries } = options;
  const places: readonly EndpointHint[] = [
    ...(proved === undefined ? [] : [{ host: proved.address, port: proved.port }]),
    ...hints.filter((hint) => hint.host !== proved?.address || hint.port !== proved.port),
  ];
  for (let offset = 0; offset < places.length; offset++) {
    const place = places[(tries + offset) % places.length];
    const endpoint = place && (await endpointOf(place, options));
    if (endpoint !== undefined) return endpoint;
  }
  return undefined;
}
