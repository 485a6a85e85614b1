import type { PublicKey } from '../manifest/model.ts';
import type { SessionState } from '../reconcile/dataplane.ts';
import { selfOf } from '../reconcile/share.ts';
import type { PeerSessionStatus } from '../session/manager.ts';
import type { Contact, ObjectStatus, PathMove, Status } from './api.ts';
import { currentConditions } from './conditions.ts';
import { objectStatuses } from './objects.ts';
import type { Parts } from './parts.ts';
import { endpointText } from './path-moves.ts';
import { refusedByPeer } from './refused-frames.ts';

/** What `omni status` shows: read now, not remembered. */
export async function statusOf(parts: Parts): Promise<Status> {
  const { config, node, reconciler, rollout, dataPlane, follower, fleets } = parts;
  const reconcile = reconciler.status();
  const [counters, description] = await Promise.all([dataPlane.counters(), dataPlane.describe()]);
  const fleet = (reconciler.target ?? fleets.newest)?.fleet;
  const self = fleet && selfOf(fleet, node);
  const stats = parts.manager.stats();
  const applied = fleets.at(reconcile.revision.applied)?.revision;
  const { attempted } = follower.state;
  return {
    node: {
      publicKey: node.publicKey,
      ...(node.nextPublicKey === undefined ? {} : { nextPublicKey: node.nextPublicKey }),
      ...(self === undefined ? {} : { peer: self.metadata.name }),
      clusters: self?.clusters ?? [],
      pid: process.pid,
      version: config.version,
      startedAt: timeText(parts.startedAtMs),
    },
    source: sourceStatus(parts),
    revision: {
      ...(applied === undefined ? {} : { lastApplied: applied }),
      ...(attempted === undefined ? {} : { lastAttempted: attempted }),
    },
    rollout: rollout.report(),
    conditions: currentConditions(parts),
    objects: reconcile.objects,
    rows: reconcile.rows,
    sessions: { active: stats.sessionsActive, clockMs: dataPlane.sessions.now() },
    handshakes: { completed: stats.handshakesCompleted, failed: stats.handshakesFailed },
    writes: dataPlane.writes,
    dataPlane: description,
    counters,
  };
}

function sourceStatus({ source, follower }: Parts): Status['source'] {
  const { lastFetchMs, error } = follower.state;
  const nextFetchMs = source.nextFetchAt?.();
  const remotes = source.remotes?.() ?? [];
  const warnings = source.warnings?.() ?? [];
  return {
    kind: source.kind,
    description: source.description,
    ...(lastFetchMs === undefined ? {} : { lastFetch: timeText(lastFetchMs) }),
    ...(error === undefined ? {} : { lastError: error.message }),
    ...(nextFetchMs === undefined ? {} : { nextFetch: timeText(nextFetchMs) }),
    ...(remotes.length === 0 ? {} : { remotes }),
    ...(warnings.length === 0 ? {} : { warnings }),
  };
}

/** Every object of this node's cluster. */
export async function objectsOf(parts: Parts): Promise<readonly ObjectStatus[]> {
  const { node, reconciler, dataPlane, manager, fleets } = parts;
  const [sessions, peers, refusals] = await Promise.all([
    dataPlane.sessions.list(),
    manager.status(),
    dataPlane.refusals(),
  ]);
  const currentSessions = new Map<PublicKey, SessionState>();
  for (const session of sessions) if (session.current) currentSessions.set(session.peer, session);
  const endpoints = new Map<PublicKey, string>();
  for (const { peer, endpoint } of peers) if (endpoint !== undefined) endpoints.set(peer, endpointText(endpoint));
  const contacts = new Map(peers.map((each) => [each.peer, contactOf(each)]));
  return objectStatuses({
    node,
    reports: reconciler.objects(),
    fleetAt: (label) => fleets.at(label)?.fleet,
    currentSessions,
    endpoints,
    contacts,
    refused: refusedByPeer(refusals),
  });
}

export function contactOf(status: PeerSessionStatus): Contact {
  const { state, lastHandshakeMs, unanswered, hybrid, paths, moved, keyInUseTwice: twice } = status;
  return {
    state,
    ...(lastHandshakeMs === undefined ? {} : { lastHandshakeMs }),
    ...(unanswered === undefined ? {} : { unanswered: unansweredOf(unanswered) }),
    ...(hybrid === undefined ? {} : { hybrid }),
    paths: paths.map(({ endpoint, ...path }) => ({ endpoint: endpointText(endpoint), ...path })),
    ...(moved === undefined ? {} : { moved: moveOf(moved) }),
    ...(twice === undefined ? {} : { keyInUseTwice: { places: twicePlaces(twice), lastMs: twice.lastMs } }),
  };
}

function unansweredOf({
  to,
  ...tries
}: NonNullable<PeerSessionStatus['unanswered']>): NonNullable<Contact['unanswered']> {
  return { ...tries, ...(to === undefined ? {} : { endpoint: endpointText(to) }) };
}

function twicePlaces({ places: [one, other] }: NonNullable<PeerSessionStatus['keyInUseTwice']>): [string, string] {
  return [endpointText(one), endpointText(other)];
}

function moveOf({ from, to, ...move }: NonNullable<PeerSessionStatus['moved']>): PathMove {
  return { ...(from === undefined ? {} : { from: endpointText(from) }), to: endpointText(to), ...move };
}

function timeText(ms: number): string {
  return new Date(ms).toISOString();
}
