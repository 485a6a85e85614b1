import type { AgentClient } from '../../agent/client.ts';
import { peerNames } from '../agent.ts';
import { type SessionView, sessionName, sessionTable, stateOf } from '../views/sessions.ts';
import type { Listing } from './listing.ts';

/** `wanted`: a peer's name, or the session's own. */
export function sessionListing(client: AgentClient, wanted: string | undefined): Listing<SessionView> {
  return {
    kind: 'SessionList',
    none: 'no sessions: they are made when the first frame goes out',
    read: async () => {
      const [all, objects, status] = await Promise.all([client.sessions(), client.objects(), client.status()]);
      const names = peerNames(objects);
      const { clockMs } = status.sessions;
      return {
        items: all.filter(
          ({ peer, localId }) =>
            wanted === undefined || names.ofKey(peer) === wanted || sessionName(localId) === wanted,
        ),
        fields: { clockMs },
        tables: (items, wide) => [sessionTable(items, { sessionMs: clockMs, names, wide })],
      };
    },
    name: ({ localId }) => `session/${sessionName(localId)}`,
    document: (session) => session,
    state: stateOf,
    gone: (session) => ({ ...session, ended: true }),
  };
}
