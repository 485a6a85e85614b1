import { etherTypeText } from '../manifest/ethertype.ts';
import { macOf } from '../manifest/keys.ts';
import type { EndpointHint, Fleet, FleetObject, ObjectRef, PublicKey } from '../manifest/model.ts';
import type { SessionState } from '../reconcile/dataplane.ts';
import type { NodeKeys } from '../reconcile/desired.ts';
import type { Change } from '../reconcile/rows.ts';
import { selfOf } from '../reconcile/share.ts';
import type { ObjectReport } from '../reconcile/status.ts';
import { countRecipients } from '../secrets/census.ts';
import type { Contact, ObjectStatus } from './api.ts';
import type { RefusedCounts } from './refused-frames.ts';

export interface ObjectSources {
  readonly node: NodeKeys;
  readonly reports: readonly ObjectReport[];
  /** The fleet that a report's revision names; undefined if it is not known any more. */
  readonly fleetAt: (revision: string) => Fleet | undefined;
  /** Of all sessions, those that frames go out on. */
  readonly currentSessions: ReadonlyMap<PublicKey, SessionState>;
  /** `ip:port` in use, by peer. */
  readonly endpoints: ReadonlyMap<PublicKey, string>;
  /** How this node gets on with each peer. */
  readonly contacts: ReadonlyMap<PublicKey, Contact>;
  /** Frames of peers that were dropped. */
  readonly refused: ReadonlyMap<PublicKey, RefusedCounts>;
}

/** What the API says of each object: how it stands, where it is declared, and what people look up. Pure. */
export function objectStatuses(sources: ObjectSources): readonly ObjectStatus[] {
  return sources.reports.flatMap((report) => {
    const fleet = sources.fleetAt(report.revision);
    return fleet === undefined ? [] : (describe(report, fleet, sources) ?? []);
  });
}

function describe(report: ObjectReport, fleet: Fleet, sources: ObjectSources): ObjectStatus | undefined {
  const name = report.object.slice(report.object.indexOf('/') + 1);
  if (report.object.startsWith('cluster/')) return cluster(report, fleet, name);
  if (report.object.startsWith('vip/')) return vip(report, fleet, name);
  return peer(report, fleet, name, sources);
}

function cluster(report: ObjectReport, fleet: Fleet, name: string): ObjectStatus | undefined {
  const object = fleet.clusters.get(name);
  if (object === undefined) return undefined;
  return status(report, object, {
    subnets: object.subnets.join(', '),
    interface: object.interface,
    port: String(object.port),
    foreignSources: object.foreignSources === 'allow' ? 'allow' : '',
    etherTypes: object.etherTypes.map(etherTypeText).join(', '),
    peers: String(fleet.peersOfCluster.get(name)?.size ?? 0),
    psk: sealedText(object.psk),
    nextPsk: sealedText(object.nextPsk),
  });
}

/** What is to be known of a sealed key. */
function sealedText(sealed: string | undefined): string {
  if (sealed === undefined) return '';
  const count = countRecipients(sealed) ?? 0;
  return `sealed for ${count} ${count === 1 ? 'key' : 'keys'}`;
}

function vip(report: ObjectReport, fleet: Fleet, name: string): ObjectStatus | undefined {
  const object = fleet.vips.get(name);
  if (object === undefined) return undefined;
  return status(report, object, { cluster: object.cluster, address: object.address, peer: object.peer });
}

function peer(report: ObjectReport, fleet: Fleet, name: string, sources: ObjectSources): ObjectStatus | undefined {
  const object = fleet.peers.get(name);
  if (object === undefined) return undefined;
  const vips = object.clusters.flatMap((each) => [...(fleet.vipsOfPeer.get(`${each}/${name}`) ?? [])]);
  const addresses = vips.flatMap((each) => fleet.vips.get(each)?.address ?? []);
  const session = sources.currentSessions.get(object.publicKey);
  // Its rows are those of its VIPs and its cluster: there is none to itself, which must not read as if it were forgotten.
  const self = selfOf(fleet, sources.node) === object;
  const told = self && report.reason === 'NoRows' ? { ...report, message: 'this node' } : report;
  const described = status(told, object, {
    publicKey: object.publicKey,
    nextPublicKey: object.nextPublicKey ?? '',
    clusters: object.clusters.join(', '),
    roles: object.roles.join(', '),
    endpoints: object.endpoints.map(endpointText).join(', '),
    endpoint: sources.endpoints.get(object.publicKey) ?? '',
    vips: addresses.join(', '),
  });
  const contact = sources.contacts.get(object.publicKey);
  const refused = sources.refused.get(object.publicKey);
  return {
    ...described,
    ...(session === undefined ? {} : { session }),
    ...(contact === undefined ? {} : { contact }),
    ...(refused === undefined ? {} : { refused }),
  };
}

type Declared = { readonly metadata: { readonly labels: Readonly<Record<string, string>> } } & Pick<
  ObjectStatus,
  'position'
>;

function status(report: ObjectReport, object: Declared, detail: Record<string, string>): ObjectStatus {
  const said = Object.entries(detail).filter(([, text]) => text !== '');
  return {
    ...report,
    position: object.position,
    labels: object.metadata.labels,
    detail: Object.fromEntries(said),
  };
}

function endpointText({ host, port }: EndpointHint): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}

export type Verb = 'created' | 'configured' | 'unchanged' | 'pruned';

/** What going from one fleet to another is to each object of either. */
export function objectVerbs(before: Fleet | undefined, after: Fleet): ReadonlyMap<ObjectRef, Verb> {
  const old = new Map(before === undefined ? [] : objectsOf(before));
  const verbs = new Map<ObjectRef, Verb>();
  for (const [ref, object] of objectsOf(after)) {
    const previous = old.get(ref);
    old.delete(ref);
    verbs.set(ref, previous === undefined ? 'created' : sameContent(previous, object) ? 'unchanged' : 'configured');
  }
  for (const ref of old.keys()) verbs.set(ref, 'pruned');
  return verbs;
}

function* objectsOf(fleet: Fleet): Generator<[ObjectRef, FleetObject]> {
  for (const [name, object] of fleet.clusters) yield [`cluster/${name}`, object];
  for (const [name, object] of fleet.peers) yield [`peer/${name}`, object];
  for (const [name, object] of fleet.vips) yield [`vip/${name}`, object];
}

/** Equal but for the place where they are declared. Fleets share what did not change, so most are the same value. */
function sameContent(a: FleetObject, b: FleetObject): boolean {
  return a === b || contentOf(a) === contentOf(b);
}

function contentOf(object: FleetObject): string {
  return JSON.stringify({ ...object, position: undefined });
}

/** Names of the peers that changes speak of, by public key or by the MAC that follows from it. */
export function peersNamed(
  changes: readonly Change[],
  fleets: readonly (Fleet | undefined)[],
): Readonly<Record<PublicKey, string>> {
  const rows = changes.flatMap((change) => [
    ...(change.op === 'create' ? [] : [change.from]),
    ...(change.op === 'delete' ? [] : [change.to]),
  ]);
  const keys = new Set(rows.flatMap((row) => ('publicKey' in row && row.publicKey !== 'self' ? [row.publicKey] : [])));
  const macs = new Set(rows.flatMap((row) => (row.kind === 'neighbour' ? [row.mac] : [])));
  for (const key of keys) macs.delete(macOf(key));
  const peers = fleets.flatMap((fleet) => [...(fleet?.peerByKey ?? [])]);
  return Object.fromEntries(peers.filter(([key]) => keys.has(key) || (macs.size > 0 && macs.has(macOf(key)))));
}
