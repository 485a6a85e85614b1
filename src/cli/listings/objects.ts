import type { AgentClient } from '../../agent/client.ts';
import { type ObjectKind, singular } from '../kinds.ts';
import type { Selector } from '../selector.ts';
import { byName } from '../text.ts';
import { nameOf, type ObjectView, objectDocument, objectTable } from '../views/objects.ts';
import type { Listing } from './listing.ts';

const LIST_KINDS = { peers: 'PeerList', vips: 'VIPList', clusters: 'ClusterList', all: 'List' } as const;
const ALL: readonly ObjectKind[] = ['clusters', 'peers', 'vips'];

export interface ObjectQuestion {
  readonly kind: ObjectKind | 'all';
  readonly name: string | undefined;
  readonly selector: Selector | undefined;
  readonly now: () => number;
}

export function objectListing(client: AgentClient, { kind, name, selector, now }: ObjectQuestion): Listing<ObjectView> {
  const kinds = kind === 'all' ? ALL : [kind];
  const ofKind = (object: ObjectView, one: ObjectKind): boolean => object.object.startsWith(`${singular(one)}/`);
  return {
    kind: LIST_KINDS[kind],
    none: `no ${kind === 'all' ? 'objects' : kind} found`,
    read: async () => {
      const [objects, status] = await Promise.all([client.objects(), client.status()]);
      const clocks = { nowMs: now(), sessionMs: status.sessions.clockMs };
      return {
        items: objects
          .filter(
            (object) =>
              kinds.some((one) => ofKind(object, one)) &&
              (name === undefined || nameOf(object.object) === name) &&
              (selector === undefined || selector(object.labels ?? {})),
          )
          .sort((a, b) => byName(a.object, b.object)),
        tables: (items, wide) =>
          kinds.flatMap((one) => {
            const own = items.filter((object) => ofKind(object, one));
            return own.length === 0 ? [] : [objectTable(one, own, clocks, wide)];
          }),
      };
    },
    name: ({ object }) => object,
    document: objectDocument,
    // A new revision is no news of an object that it leaves as it is.
    state: ({ object, labels, ready, reason, message, detail, session, contact }) => [
      [object, labels, ready, reason, message, detail],
      [session?.localId, contact?.state],
    ],
    gone: (object) => ({ ...object, ready: 'Unknown', reason: 'Gone', message: 'gone from this node' }),
  };
}
