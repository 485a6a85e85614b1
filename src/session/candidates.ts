import { isIP } from 'node:net';
import type { EndpointHint, IpAddress } from '../manifest/model.ts';
import type { Endpoint } from '../reconcile/dataplane.ts';

/**
 * Where initiation number `tries` (from 0) of an attempt goes: what a handshake proved first, then the manifest's
 * hints in their order, round and round. Names are resolved when their turn comes; one that does not resolve, or an
 * address that the transport has no family for, gives its turn to the next. Undefined: there is nowhere to send to.
 */
export async function candidate(options: {
  readonly proved: Endpoint | undefined;
  readonly hints: readonly EndpointHint[];
  readonly tries: number;
  readonly resolve: (host: string) => Promise<IpAddress | undefined>;
  readonly reaches: (address: IpAddress) => boolean;
}): Promise<Endpoint | undefined> {
  const { proved, hints, tries, resolve, reaches } = options;
  const places: readonly EndpointHint[] = [
    ...(proved === undefined ? [] : [{ host: proved.address, port: proved.port }]),
    ...hints.filter((hint) => hint.host !== proved?.address || hint.port !== proved.port),
  ];
  for (let offset = 0; offset < places.length; offset++) {
    const place = places[(tries + offset) % places.length];
    if (place === undefined) continue;
    const address = isIP(place.host) === 0 ? await resolve(place.host) : (place.host as IpAddress);
    if (address !== undefined && reaches(address)) return { address, port: place.port };
  }
  return undefined;
}
