import { canonicalKey, holderOf } from '../../manifest/keys.ts';
import type { PublicKey } from '../../manifest/model.ts';
import { clusterOf, type Side } from '../block.ts';
import type { PeerIntent } from '../desired.ts';
import type { RowKey } from '../rows.ts';
import { revokedBy, splitRef } from '../share.ts';
import type { Baseline } from './model.ts';
import type { Probe } from './probe.ts';

/** Beyond this many live peers a sample is asked. */
const MAX_PEERS = 16;

export interface Selection {
  /** To be tried before the revision: those that pass are its baseline. */
  readonly tried: readonly Probe[];
  /** In the baseline without being tried: an earlier revision may have broken them already, or they tell of the new one alone. */
  readonly assumed: readonly Probe[];
  /** Ids of those that the revision touches one by one. */
  readonly required: readonly string[];
}

export interface SelectionInput {
  readonly before: Side | undefined;
  readonly after: Side;
  /** Rows that become different. */
  readonly touched: ReadonlySet<RowKey> | 'all';
  /** Peers with a session that frames can use. */
  readonly live: readonly PublicKey[];
  /** `answered`: it did so a moment ago. */
  readonly source: 'none' | 'ask' | 'answered';
  /** Of a revision that did not get its verdict. */
  readonly carried: Baseline | undefined;
  /** Probes that were silent under the revision, and without it. */
  readonly discounted: readonly string[];
  /** Uniform in [0, 1). */
  readonly random: () => number;
}

/** What a revision is judged by. Pure but for `random`. */
export function selectProbes(input: SelectionInput): Selection {
  const { after, source, carried } = input;
  const peers = after.state.sessions?.peers ?? new Map<PublicKey, PeerIntent>();
  const touched = touchedPeers(input);
  const live = intentsOf(input.live, peers);
  const asked = sample([...live.keys()], touched, input.random);
  const endpoints = [...live.keys()].flatMap((intent) => (hintsChanged(input, intent) ? endpointProbe(intent) : []));
  const declared = declaredProbes(after);
  // Tried before the revision, so by the key that the peer still goes by here.
  const peerProbes = asked.map((intent) => peerProbe(intent, live.get(intent)));
  const keys = replacedKeys(input, live);
  const all = new Map([...peerProbes, ...keys, ...declared, sourceProbe].map((probe) => [probe.id, probe]));
  if (source === 'none') all.delete('source');

  const assumed = new Map(endpoints.map((probe) => [probe.id, probe]));
  if (source === 'answered') assumed.set('source', sourceProbe);
  for (const probe of probesNamed(carried?.ids ?? [], after, source !== 'none')) assumed.set(probe.id, probe);
  for (const id of input.discounted) {
    all.delete(id);
    assumed.delete(id);
  }
  const tried = [...all.values()].filter(({ id }) => !assumed.has(id));
  const required = [
    ...asked.filter(({ name }) => touched.has(name)).map(({ name }) => `peer/${name}`),
    ...endpoints.map(({ id }) => id),
    ...keys.map(({ id }) => id),
  ];
  return { tried, assumed: [...assumed.values()], required: [...new Set([...required, ...(carried?.required ?? [])])] };
}

/** As it was before an agent ended, as far as the revision still has what it tries. */
export function resumedBaseline(
  ids: readonly string[],
  input: Pick<SelectionInput, 'before' | 'after' | 'touched'>,
): Baseline {
  const present = probesNamed(ids, input.after, true).map(({ id }) => id);
  const touched = touchedPeers(input);
  const required = present.filter((id) => /^(endpoint|key)\//.test(id) || touched.has(id.slice('peer/'.length)));
  return { ids: present, required };
}

const sourceProbe: Probe = { kind: 'source', id: 'source' };

/** Probes by their ids, as far as the fleet still has what they try. */
export function probesNamed(ids: readonly string[], { fleet, state }: Side, hasSource: boolean): readonly Probe[] {
  const declared = new Map(declaredProbes({ fleet, state }).map((probe) => [probe.id, probe]));
  return ids.flatMap((id): readonly Probe[] => {
    if (id === 'source') return hasSource ? [sourceProbe] : [];
    const [kind, name] = [id.slice(0, id.indexOf('/')), id.slice(id.indexOf('/') + 1)];
    if (kind === 'declared') return [declared.get(id) ?? []].flat();
    const key = fleet.peers.get(name)?.publicKey;
    const intent = key && state.sessions?.peers.get(key);
    if (!intent) return [];
    if (kind === 'key') return [keyProbe(intent)];
    return kind === 'peer' ? [peerProbe(intent)] : endpointProbe(intent);
  });
}

function peerProbe({ name, publicKey }: PeerIntent, key = publicKey): Probe {
  return { kind: 'peer', id: `peer/${name}`, peer: key, name };
}

function keyProbe({ name, publicKey, endpoints: hints }: PeerIntent): Probe {
  return { kind: 'key', id: `key/${name}`, peer: publicKey, name, hints };
}

/**
 * Live peers that the revision knows by another key alone. Each answers by its old key now and must answer by its new one
 * then: a key that was pasted wrongly would else cut it off for good. Where the old key is revoked, nothing is asked.
 */
function replacedKeys(
  { before, after, live }: SelectionInput,
  stay: ReadonlyMap<PeerIntent, PublicKey>,
): readonly Probe[] {
  const cluster = clusterOf(after);
  const revoked = cluster && revokedBy(cluster);
  const known = new Set(stay.values());
  return live.flatMap((key): readonly Probe[] => {
    if (known.has(key) || before === undefined || revoked?.has(canonicalKey(key))) return [];
    const name = holderOf(before.fleet, key) ?? '';
    const intent = after.state.sessions?.peers.get(after.fleet.peers.get(name)?.publicKey ?? ('' as PublicKey));
    return intent === undefined ? [] : [{ kind: 'peer', id: `key/${name}`, peer: key, name }];
  });
}

function endpointProbe({ name, publicKey, endpoints: hints }: PeerIntent): readonly Probe[] {
  return hints.length === 0 ? [] : [{ kind: 'endpoint', id: `endpoint/${name}`, peer: publicKey, name, hints }];
}

function declaredProbes(side: Side): readonly Probe[] {
  const declared = clusterOf(side)?.probation.probes ?? [];
  return declared.map((probe) => ({ kind: 'declared', id: `declared/${probe.name}`, probe }));
}

/** Names of the peers whose own rows, or whose VIPs', become different. */
function touchedPeers({
  before,
  after,
  touched,
}: Pick<SelectionInput, 'before' | 'after' | 'touched'>): ReadonlySet<string> {
  const names = new Set<string>();
  if (touched === 'all') return names;
  for (const key of touched) {
    for (const side of [before, after]) {
      const object = side?.state.rows.get(key)?.origin.object;
      if (side === undefined || object === undefined) continue;
      const [kind, name] = splitRef(object);
      if (kind === 'peer') names.add(name);
      const owner = kind === 'vip' ? side.fleet.vips.get(name)?.peer : undefined;
      if (owner !== undefined) names.add(owner);
    }
  }
  return names;
}

/** Whose these keys are, with the one of it; a key that a peer goes by no more is its other one. */
function intentsOf(
  keys: readonly PublicKey[],
  peers: ReadonlyMap<PublicKey, PeerIntent>,
): ReadonlyMap<PeerIntent, PublicKey> {
  const found = new Map<PeerIntent, PublicKey>();
  const others = new Set<PublicKey>();
  for (const key of keys) {
    const intent = peers.get(key);
    if (intent === undefined) others.add(key);
    else found.set(intent, key);
  }
  if (others.size === 0) return found;
  for (const intent of peers.values()) {
    const { nextPublicKey: other } = intent;
    if (other !== undefined && others.has(other) && !found.has(intent)) found.set(intent, other);
  }
  return found;
}

function hintsChanged({ before }: SelectionInput, { publicKey, nextPublicKey, endpoints }: PeerIntent): boolean {
  const peers = before?.state.sessions?.peers;
  const old = peers?.get(publicKey) ?? (nextPublicKey && peers?.get(nextPublicKey));
  if (old === undefined || old.endpoints === endpoints) return false;
  return JSON.stringify(old.endpoints) !== JSON.stringify(endpoints);
}

/** All, or those that the revision touches and then others by chance. */
function sample(
  live: readonly PeerIntent[],
  touched: ReadonlySet<string>,
  random: () => number,
): readonly PeerIntent[] {
  if (live.length <= MAX_PEERS) return live;
  const first = live.filter(({ name }) => touched.has(name));
  const rest = live.filter(({ name }) => !touched.has(name));
  for (let at = 0; at < Math.min(MAX_PEERS, rest.length); at += 1) {
    const other = at + Math.floor(random() * (rest.length - at));
    const [a, b] = [rest[at], rest[other]];
    if (a !== undefined && b !== undefined) [rest[at], rest[other]] = [b, a];
  }
  return [...first, ...rest].slice(0, MAX_PEERS);
}
