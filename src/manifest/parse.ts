import cluster from '../../schema/cluster.json' with { type: 'json' };
import { parseEndpoint } from './endpoint.ts';
import { etherTypeText, parseEtherType } from './ethertype.ts';
import { Findings } from './findings.ts';
import type { ClusterDocument, Metadata, PeerDocument, VIPDocument } from './generated.ts';
import { canonicalKey, fingerprintBeside } from './keys.ts';
import type {
  Cidr,
  Cluster,
  DeclaredProbe,
  EndpointHint,
  IpAddress,
  Kind,
  ObjectMeta,
  Peer,
  PostQuantum,
  PublicKey,
  Vip,
} from './model.ts';
import { formatIp, network, overlaps, parseIp } from './net.ts';
import type { Documents } from './schema.ts';
import type { LocalFinding } from './text.ts';
import { durationMs } from './values.ts';
import type { Spots } from './yaml.ts';

/** An object that does not know its file yet. */
export type Body = Omit<Cluster, 'position'> | Omit<Peer, 'position'> | Omit<Vip, 'position'>;

export interface Parsed {
  readonly body: Body;
  /** What is wrong with the values taken together. */
  readonly findings: readonly LocalFinding[];
}

const defaults = cluster.properties.spec.properties;
/** RFC 8200, section 5. Bytes. */
const IPV6_MINIMUM_MTU = 1280;

function metadataOf({ name, labels }: Metadata): ObjectMeta {
  return { name, labels: Object.fromEntries(Object.entries(labels ?? {})) };
}

// --- Cluster -----------------------------------------------------------------------------------------------------

function readSubnets(findings: Findings, texts: readonly string[]): Cidr[] {
  const networks = texts.map(network);
  networks.forEach((subnet, at) => {
    const before = networks.slice(0, at).findIndex((each) => overlaps(each, subnet));
    const other = networks[before];
    if (other === undefined) return;
    const parameters = { subnet: subnet.text, other: other.text };
    findings.add(`/spec/subnets/${at}`, 'subnet-overlap', parameters, `/spec/subnets/${before}`);
  });
  return networks.map(({ text }) => text);
}

function readSessions(
  findings: Findings,
  given: NonNullable<ClusterDocument['spec']['sessions']>,
): Cluster['sessions'] {
  const { rekeyAfter, lifetime, handshakeTimeout, postQuantum } = defaults.sessions.properties;
  const texts = {
    rekeyAfter: given.rekeyAfter ?? rekeyAfter.default,
    lifetime: given.lifetime ?? lifetime.default,
    handshakeTimeout: given.handshakeTimeout ?? handshakeTimeout.default,
  };
  const sessions = {
    rekeyAfterMs: durationMs(texts.rekeyAfter),
    lifetimeMs: durationMs(texts.lifetime),
    handshakeTimeoutMs: durationMs(texts.handshakeTimeout),
    postQuantum: given.postQuantum ?? (postQuantum.default as PostQuantum),
  };
  if (sessions.rekeyAfterMs + sessions.handshakeTimeoutMs >= sessions.lifetimeMs) {
    findings.add('/spec/sessions', 'session-timers', texts);
  }
  return sessions;
}

function readCluster(findings: Findings, { metadata, spec }: ClusterDocument): Omit<Cluster, 'position'> {
  const subnets = readSubnets(findings, spec.subnets);
  const six = subnets.find((subnet) => subnet.includes(':'));
  if (six !== undefined && spec.mtu !== undefined && spec.mtu < IPV6_MINIMUM_MTU) {
    findings.add('/spec/mtu', 'mtu-below-ipv6-minimum', { mtu: spec.mtu, subnet: six });
  }
  const multicast = spec.multicast?.mode ?? (defaults.multicast.properties.mode.default as Cluster['multicast']);
  if (multicast === 'flood') findings.add('/spec/multicast/mode', 'multicast-flood', {});
  const limit = spec.limits?.newSessionsPerSecondPerSource;
  return {
    kind: 'Cluster',
    metadata: metadataOf(metadata),
    subnets,
    interface: spec.interface ?? defaults.interface.default,
    port: spec.port ?? defaults.port.default,
    ...(spec.mtu === undefined ? {} : { mtu: spec.mtu }),
    sessions: readSessions(findings, spec.sessions ?? {}),
    newSessionsPerSecondPerSource: limit ?? defaults.limits.properties.newSessionsPerSecondPerSource.default,
    arpSuppression: spec.arpSuppression ?? defaults.arpSuppression.default,
    revokedKeys: (spec.revokedKeys ?? []) as PublicKey[],
    foreignSources: spec.foreignSources ?? (defaults.foreignSources.default as Cluster['foreignSources']),
    etherTypes: readEtherTypes(findings, spec.etherTypes ?? []),
    multicast,
    mode: spec.mode ?? (defaults.mode.default as Cluster['mode']),
    probation: readProbation(findings, spec.probation ?? {}),
    ...(spec.psk === undefined ? {} : { psk: spec.psk }),
    ...(spec.nextPsk === undefined ? {} : { nextPsk: spec.nextPsk }),
  };
}

/** Each once, ascending: `0x88F7` and `0x88f7` are one, and so is the number. */
function readEtherTypes(findings: Findings, given: readonly (string | number)[]): readonly number[] {
  const values = given.flatMap((each, at) => {
    const parsed = parseEtherType(each);
    if (parsed.ok) return [parsed.value];
    // A text that is none was found out by its format.
    const parameters = { value: etherTypeText(Number(each)), problem: parsed.problem ?? '' };
    findings.add(`/spec/etherTypes/${at}`, 'ethertype-refused', parameters);
    return [];
  });
  return [...new Set(values)].sort((a, b) => a - b);
}

type Probation = NonNullable<ClusterDocument['spec']['probation']>;

function readProbation(
  findings: Findings,
  { confirmWithin, quarantineFor, probes = [] }: Probation,
): Cluster['probation'] {
  const names = probes.map(({ name }) => name);
  return {
    confirmWithinMs: durationMs(confirmWithin ?? defaults.probation.properties.confirmWithin.default),
    quarantineForMs: durationMs(quarantineFor ?? defaults.probation.properties.quarantineFor.default),
    probes: probes.flatMap((probe, at) => {
      const first = names.indexOf(probe.name);
      const path = `/spec/probation/probes/${at}`;
      if (first < at) {
        findings.add(path, 'probe-duplicate', { name: probe.name }, `/spec/probation/probes/${first}`);
      }
      const targets = targetsOf(probe);
      const timeoutMs = durationMs(
        probe.timeout ?? defaults.probation.properties.probes.items.properties.timeout.default,
      );
      if (targets.length !== 1) findings.add(path, 'probe-kind', { name: probe.name, count: targets.length });
      return targets.slice(0, 1).map((target): DeclaredProbe => ({ name: probe.name, timeoutMs, ...target }));
    }),
  };
}

type ProbeTarget = DeclaredProbe extends infer P
  ? P extends DeclaredProbe
    ? Omit<P, 'name' | 'timeoutMs'>
    : never
  : never;

function targetsOf({ tcp, ping, http }: NonNullable<Probation['probes']>[number]): readonly ProbeTarget[] {
  const targets: ProbeTarget[] = [];
  if (tcp !== undefined) targets.push({ kind: 'tcp', ...endpointOf(tcp) });
  if (ping !== undefined) targets.push({ kind: 'ping', address: addressOf(ping) });
  if (http !== undefined) targets.push({ kind: 'http', url: new URL(http).href });
  return targets;
}

// --- Peer, VIP ---------------------------------------------------------------------------------------------------

function endpointOf(text: string): EndpointHint {
  const parsed = parseEndpoint(text);
  if (!parsed.ok) throw new Error(`"${text}" was validated and is no endpoint`);
  return parsed.value;
}

function addressOf(text: string): IpAddress {
  const ip = parseIp(text);
  if (!ip.ok) throw new Error(`"${text}" was validated and is no address`);
  return formatIp(ip.value);
}

function readPeer(findings: Findings, { metadata, spec }: PeerDocument): Omit<Peer, 'position'> {
  const publicKey = spec.publicKey as PublicKey;
  const next = spec.nextPublicKey as PublicKey | undefined;
  if (next !== undefined && canonicalKey(next) === canonicalKey(publicKey)) {
    const parameters = { key: fingerprintBeside(next, publicKey), field: 'publicKey', other: 'the same peer' };
    findings.add('/spec/nextPublicKey', 'key-duplicate', parameters, '/spec/publicKey');
  }
  return {
    kind: 'Peer',
    metadata: metadataOf(metadata),
    clusters: spec.clusters,
    publicKey,
    ...(next === undefined ? {} : { nextPublicKey: next }),
    endpoints: (spec.endpoints ?? []).map(endpointOf),
    ...(spec.keepalive === undefined ? {} : { keepaliveMs: durationMs(spec.keepalive) }),
    roles: spec.roles ?? [],
    suspended: spec.suspended ?? false,
  };
}

function readVip(_: Findings, { metadata, spec }: VIPDocument): Omit<Vip, 'position'> {
  return {
    kind: 'VIP',
    metadata: metadataOf(metadata),
    cluster: spec.cluster,
    address: addressOf(spec.address),
    peer: spec.peer,
  };
}

const readers: { readonly [K in Kind]: (findings: Findings, document: Documents[K]) => Body } = {
  Cluster: readCluster,
  Peer: readPeer,
  VIP: readVip,
};

/** A document that its schema accepts, as the model has it: values canonical, defaults filled in. */
export function parseDocument<K extends Kind>(kind: K, document: Documents[K], at: Spots): Parsed {
  const findings = new Findings(at);
  const body = readers[kind](findings, document);
  return { body, findings: findings.all };
}
