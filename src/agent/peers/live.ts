import type { SessionPlane } from '../../reconcile/dataplane.ts';
import type { PeerAddress } from './mailbox.ts';

/** Peers with a session that frames go out on and something authentic came in on: both directions worked. */
export async function livePeers(sessions: Pick<SessionPlane, 'list' | 'now'>): Promise<readonly PeerAddress[]> {
  const states = await sessions.list();
  const nowMs = sessions.now();
  return states
    .filter(({ current, unconfirmed, expiresMs, rxLastMs }) => {
      return current && !unconfirmed && nowMs < expiresMs && rxLastMs > 0;
    })
    .map(({ interface: name, peer }) => ({ interface: name, peer }));
}
