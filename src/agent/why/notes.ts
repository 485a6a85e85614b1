import { canonicalKey, fingerprint } from '../../manifest/keys.ts';
import type { FleetObject, Peer, PublicKey } from '../../manifest/model.ts';
import type { NodeKeys } from '../../reconcile/desired.ts';
import type { Revocation } from '../../reconcile/rollout/record.ts';
import type { RowKey } from '../../reconcile/rows.ts';
import { objectOf, refOf } from '../../reconcile/share.ts';
import type { Contact } from '../api.ts';
import type { Known } from './find.ts';
import { clusterHere, type Findings } from './report.ts';

/** What the notes need beside the rows. */
export interface Circumstances {
  readonly node: NodeKeys;
  /** Labels of the fleets of `Known`, in the same order. */
  readonly labels: readonly string[];
  /** Why the newest is not in force, for people. */
  readonly waiting?: string;
  readonly revocations: readonly Revocation[];
  readonly contacts: ReadonlyMap<PublicKey, Contact>;
}

/** Why it is not there, or is there although nobody asks for it. */
export function notesOf(findings: Findings, known: Known, about: Circumstances): readonly string[] {
  const { objects, publicKey } = findings;
  const peer = objects.find((object) => object.kind === 'Peer');
  return [
    ...objects.slice(0, 1).flatMap((object) => standing(object, known, about)),
    ...ownStanding(known),
    ...(peer === undefined ? [] : membership(peer, known, about)),
    ...(publicKey === undefined ? [] : revocation(publicKey, known, about)),
    ...strays(findings, known),
    ...(peer === undefined || isSelf(peer, about) ? [] : reach(peer, findings, known, about)),
  ];
}

/** In the fleet in force and in the newest, or in one of them. */
function standing(object: FleetObject, { fleets }: Known, { labels, waiting }: Circumstances): readonly string[] {
  const ref = refOf(object);
  const [inForce, newest] = fleets.map((fleet) => objectOf(fleet, ref) !== undefined);
  const because = waiting === undefined ? '' : `: ${waiting}`;
  if (inForce && newest === false) return [`${labels[1]} takes it out, and is not in force${because}`];
  if (!inForce && newest) return [`declared in ${labels[1]}, which is not in force${because}`];
  return [];
}

function ownStanding({ view }: Known): readonly string[] {
  const { standing: own, self } = view.target?.state ?? {};
  if (own === 'suspended') return [`peer/${self} is this node and is suspended: nothing is programmed here`];
  if (own === 'revoked') return ["this node's own key is revoked: the others cut it off, and it keeps what it has"];
  return [];
}

function isSelf({ publicKey, nextPublicKey }: Peer, { node }: Circumstances): boolean {
  const own: readonly (PublicKey | undefined)[] = [node.publicKey, node.nextPublicKey];
  return own.includes(publicKey) || (nextPublicKey !== undefined && own.includes(nextPublicKey));
}

function membership(peer: Peer, known: Known, about: Circumstances): readonly string[] {
  const ref = refOf(peer);
  const cluster = clusterHere(known);
  if (isSelf(peer, about)) return [`${ref} is this node: it holds its own addresses, and no row that leads to itself`];
  const notes: string[] = [];
  if (peer.nextPublicKey !== undefined) {
    const [key, other] = [peer.publicKey, peer.nextPublicKey].map(fingerprint);
    notes.push(`${ref} changes its key: it goes by ${key}, and by ${other} as well`);
  }
  if (cluster !== undefined && !peer.clusters.includes(cluster)) {
    const where = peer.clusters.length === 0 ? 'no cluster' : `cluster ${peer.clusters.join(', ')}`;
    notes.push(`${ref} is in ${where}, and this node in ${cluster}: it has no rows here`);
  }
  if (peer.suspended) notes.push(`${ref} is suspended (spec.suspended): it has no rows and no sessions`);
  return notes;
}

function revocation(publicKey: PublicKey, { view, fleets }: Known, { revocations }: Circumstances): readonly string[] {
  const notes: string[] = [];
  for (const { metadata, revokedKeys, position } of fleets[0]?.clusters.values() ?? []) {
    if (!revokedKeys.some((key) => canonicalKey(key) === canonicalKey(publicKey))) continue;
    const where = `${position.file}:${position.line}`;
    notes.push(
      `${fingerprint(publicKey)} is in revokedKeys of cluster/${metadata.name} (${where}): nobody talks to it`,
    );
  }
  const entry = revocations.find((each) => canonicalKey(each.publicKey) === canonicalKey(publicKey));
  if (entry !== undefined && view.target?.state.barred.has(canonicalKey(publicKey))) {
    notes.push(`barred: ${entry.revision} took out peer/${entry.name}, and no rollback lets its key back in`);
  }
  return notes;
}

function strays({ rows }: Findings, { view }: Known): readonly string[] {
  const stray = rows.filter(({ state }) => state === 'undesired');
  if (stray.length === 0) return [];
  const left = stray.some(({ key }) => view.failures.has(key as RowKey));
  return [
    `nobody asks for it: it carries our mark, and no object of the fleet gives it${left ? '' : '; the next pass removes it'}`,
  ];
}

function reach(peer: Peer, { sessions, rows }: Findings, { view }: Known, about: Circumstances): readonly string[] {
  const notes: string[] = [];
  const key = rows.map((row) => row.key).find((each) => each.startsWith('peer/'));
  const observed = key === undefined ? undefined : view.observed.get(key as RowKey);
  if (observed?.endpointObserved && observed.row.kind === 'peer') {
    const { endpoint = '' } = observed.row;
    const hints = peer.endpoints.map(({ host, port }) => `${host.includes(':') ? `[${host}]` : host}:${port}`);
    const said = hints[0] === undefined ? 'names none' : `says ${hints.join(', ')}`;
    if (!hints.includes(endpoint)) notes.push(`a handshake proved the endpoint ${endpoint}; the manifest ${said}`);
  } else if (key !== undefined && peer.endpoints.length === 0) {
    notes.push(`${refOf(peer)} has no endpoint: it must call this node`);
  }
  if (key === undefined || sessions.length > 0) return notes;
  const tries = about.contacts.get(peer.publicKey)?.unanswered;
  const detail =
    tries === undefined
      ? 'none was needed yet'
      : `${tries.tries} handshakes ${tries.endpoint === undefined ? 'had nowhere to go' : `to ${tries.endpoint} were not answered`}`;
  return [...notes, `no session: ${detail}`];
}
