import type { SessionPlane } from '../reconcile/dataplane.ts';
import type { PeerSessionStatus } from './contract.ts';
import type { Slot } from './model.ts';
import { pathStatuses } from './paths/status.ts';
import type { PeerSessions } from './peer.ts';

/** Frames can go out on it now. */
export function hasSession(slot: Slot | undefined, nowMs: number): boolean {
  return slot !== undefined && nowMs < slot.expiresMs;
}

/** How each peer stands, as of now. */
export function statusOf(peers: readonly PeerSessions[], plane: SessionPlane): Promise<readonly PeerSessionStatus[]> {
  const nowMs = plane.now();
  return Promise.all(
    peers.map(async ({ intent, state, unanswered, hybrid, paths, keyInUseTwice: twice }) => {
      const idle = state.attempt === undefined ? 'idle' : 'handshaking';
      return {
        name: intent.name,
        peer: intent.publicKey,
        state: hasSession(state.current, nowMs) ? 'established' : idle,
        ...(state.establishedMs === undefined ? {} : { lastHandshakeMs: state.establishedMs }),
        ...(unanswered === undefined ? {} : { unanswered }),
        ...(twice === undefined ? {} : { keyInUseTwice: { places: twice.places, lastMs: twice.lastMs } }),
        ...(await plane.endpoint(intent.publicKey)),
        ...(hybrid === undefined ? {} : { hybrid }),
        paths: pathStatuses(paths.state, nowMs),
        ...(paths.state.move === undefined ? {} : { moved: paths.state.move }),
      };
    }),
  );
}
