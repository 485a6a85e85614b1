import cluster from '../../schema/cluster.json' with { type: 'json' };
import { type Parameters, type Rule, statement } from './diagnostic.ts';
import { formatDuration, parseDuration } from './duration.ts';
import { parseEndpoint } from './endpoint.ts';
import type { ClusterDocument, Metadata, PeerDocument, VIPDocument } from './generated.ts';
import { fingerprint, keyProblem } from './keys.ts';
import type { Cidr, Cluster, EndpointHint, IpAddress, Kind, ObjectMeta, Peer, PublicKey, Vip } from './model.ts';
import { formatIp, type Network, overlaps, parseCidr, parseIp, reservedOverlap } from './net.ts';
import type { Documents } from './schema.ts';
import { type LocalFinding, start } from './text.ts';
import type { Spots } from './yaml.ts';

/** An object that does not know its file yet. */
export type Body = Omit<Cluster, 'position'> | Omit<Peer, 'position'> | Omit<Vip, 'position'>;

export type Parsed =
  | { readonly ok: true; readonly body: Body }
  | { readonly ok: false; readonly findings: readonly LocalFinding[] };

const defaults = cluster.properties.spec.properties;
const SECOND = 1000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;

/** Reads the values of one document; each reading method returns a stand-in where it has a finding. */
class Values {
  readonly findings: LocalFinding[] = [];
  readonly #at: Spots;

  constructor(at: Spots) {
    this.#at = at;
  }

  find<R extends Rule>(path: string, rule: R, parameters: Parameters<R>, related?: string): void {
    const other = related === undefined ? undefined : this.#at[related];
    const finding = { ...statement(rule, parameters), at: this.#at[path] ?? start };
    this.findings.push(other === undefined ? finding : { ...finding, related: other });
  }

  key(path: string, where: string, text: string): PublicKey {
    const found = keyProblem(text);
    if (found !== undefined) {
      const rule = found.what === 'point' ? 'key-not-a-point' : 'key-invalid';
      this.find(path, rule, { where, problem: found.problem });
    }
    return text as PublicKey;
  }

  duration(path: string, text: string, minimum: number, maximum: number): number {
    const parsed = parseDuration(text);
    if (!parsed.ok) {
      this.find(path, 'duration-invalid', { value: text, problem: parsed.problem });
      return Number.NaN;
    }
    if (parsed.ms < minimum || parsed.ms > maximum) {
      const where = path.slice(1).replaceAll('/', '.');
      const bounds = { minimum: formatDuration(minimum), maximum: formatDuration(maximum) };
      this.find(path, 'duration-range', { where, value: text, ...bounds });
      return Number.NaN;
    }
    return parsed.ms;
  }

  subnet(path: string, text: string): Network | undefined {
    const parsed = parseCidr(text);
    if (!parsed.ok) {
      this.find(path, 'cidr-invalid', { value: text, problem: parsed.problem });
      return undefined;
    }
    const { network, exact } = parsed.value;
    if (!exact) this.find(path, 'cidr-host-bits', { value: text, network: network.text });
    const reserved = reservedOverlap(network);
    if (reserved !== undefined) this.find(path, 'subnet-reserved', { subnet: network.text, reserved });
    return network;
  }

  endpoint(path: string, text: string): EndpointHint {
    const parsed = parseEndpoint(text);
    if (parsed.ok) return parsed.value;
    if ('portMissing' in parsed) {
      this.find(path, 'endpoint-port-missing', { value: text, suggestion: parsed.portMissing });
    } else {
      this.find(path, 'endpoint-invalid', { value: text, problem: parsed.problem });
    }
    return { host: text, port: 0 };
  }

  address(path: string, text: string): IpAddress {
    const parsed = parseIp(text);
    if (parsed.ok) return formatIp(parsed.value);
    this.find(path, 'address-invalid', { value: text, problem: parsed.problem });
    return text as IpAddress;
  }
}

function metadataOf({ name, labels }: Metadata): ObjectMeta {
  return { name, labels: Object.fromEntries(Object.entries(labels ?? {})) };
}

// --- Cluster -----------------------------------------------------------------------------------------------------

function interfaceProblem(name: string): string | undefined {
  if (name.length > 14) return `it has ${name.length} characters, and the kernel takes 15 with the \`x\` behind it`;
  if (!/^[A-Za-z][-A-Za-z0-9_.]*$/.test(name)) return 'it has characters that are not allowed, or begins with one';
  return ['lo', 'all', 'default'].includes(name) ? 'the name means something else to the kernel' : undefined;
}

function readSubnets(values: Values, texts: readonly string[]): Cidr[] {
  const networks: (Network | undefined)[] = [];
  texts.forEach((text, at) => {
    const path = `/spec/subnets/${at}`;
    const network = values.subnet(path, text);
    const before = network === undefined ? -1 : networks.findIndex((each) => each && overlaps(each, network));
    const other = networks[before];
    if (network !== undefined && other !== undefined) {
      const parameters = { subnet: network.text, other: other.text };
      values.find(path, 'subnet-overlap', parameters, `/spec/subnets/${before}`);
    }
    networks.push(network);
  });
  return networks.flatMap((network) => network?.text ?? []);
}

function readSessions(values: Values, spec: ClusterDocument['spec']): Cluster['sessions'] {
  const given = spec.sessions ?? {};
  const { rekeyAfter, lifetime, handshakeTimeout } = defaults.sessions.properties;
  const texts = {
    rekeyAfter: given.rekeyAfter ?? rekeyAfter.default,
    lifetime: given.lifetime ?? lifetime.default,
    handshakeTimeout: given.handshakeTimeout ?? handshakeTimeout.default,
  };
  const path = '/spec/sessions';
  const sessions = {
    rekeyAfterMs: values.duration(`${path}/rekeyAfter`, texts.rekeyAfter, SECOND, 24 * HOUR),
    lifetimeMs: values.duration(`${path}/lifetime`, texts.lifetime, 2 * SECOND, 24 * HOUR),
    handshakeTimeoutMs: values.duration(`${path}/handshakeTimeout`, texts.handshakeTimeout, 100, MINUTE),
  };
  // False too where one of them is NaN, which has a finding already.
  if (sessions.rekeyAfterMs + sessions.handshakeTimeoutMs >= sessions.lifetimeMs) {
    values.find(path, 'session-timers', texts);
  }
  return sessions;
}

function readCluster(values: Values, { metadata, spec }: ClusterDocument): Omit<Cluster, 'position'> {
  const subnets = readSubnets(values, spec.subnets);
  const name = spec.interface ?? defaults.interface.default;
  const problem = interfaceProblem(name);
  if (problem !== undefined) values.find('/spec/interface', 'interface-invalid', { value: name, problem });
  const six = subnets.find((subnet) => subnet.includes(':'));
  if (six !== undefined && spec.mtu !== undefined && spec.mtu < 1280) {
    values.find('/spec/mtu', 'mtu-below-ipv6-minimum', { mtu: spec.mtu, subnet: six });
  }
  const limit = spec.limits?.newSessionsPerSecondPerSource;
  const revoked = spec.revokedKeys ?? [];
  return {
    kind: 'Cluster',
    metadata: metadataOf(metadata),
    subnets,
    interface: name,
    port: spec.port ?? defaults.port.default,
    ...(spec.mtu === undefined ? {} : { mtu: spec.mtu }),
    sessions: readSessions(values, spec),
    newSessionsPerSecondPerSource: limit ?? defaults.limits.properties.newSessionsPerSecondPerSource.default,
    arpSuppression: spec.arpSuppression ?? defaults.arpSuppression.default,
    revokedKeys: revoked.map((key, at) => values.key(`/spec/revokedKeys/${at}`, `spec.revokedKeys[${at}]`, key)),
    multicast: spec.multicast?.mode ?? (defaults.multicast.properties.mode.default as Cluster['multicast']),
  };
}

// --- Peer, VIP ---------------------------------------------------------------------------------------------------

function readPeer(values: Values, { metadata, spec }: PeerDocument): Omit<Peer, 'position'> {
  const publicKey = values.key('/spec/publicKey', 'spec.publicKey', spec.publicKey);
  const next = spec.nextPublicKey;
  if (next !== undefined) {
    values.key('/spec/nextPublicKey', 'spec.nextPublicKey', next);
    if (next === publicKey) {
      const parameters = { key: fingerprint(publicKey), field: 'publicKey', other: 'the same peer' };
      values.find('/spec/nextPublicKey', 'key-duplicate', parameters, '/spec/publicKey');
    }
  }
  const keepalive = spec.keepalive;
  return {
    kind: 'Peer',
    metadata: metadataOf(metadata),
    clusters: spec.clusters,
    publicKey,
    ...(next === undefined ? {} : { nextPublicKey: next as PublicKey }),
    endpoints: (spec.endpoints ?? []).map((text, at) => values.endpoint(`/spec/endpoints/${at}`, text)),
    ...(keepalive === undefined ? {} : { keepaliveMs: values.duration('/spec/keepalive', keepalive, SECOND, HOUR) }),
    suspended: spec.suspended ?? false,
  };
}

function readVip(values: Values, { metadata, spec }: VIPDocument): Omit<Vip, 'position'> {
  return {
    kind: 'VIP',
    metadata: metadataOf(metadata),
    cluster: spec.cluster,
    address: values.address('/spec/address', spec.address),
    peer: spec.peer,
  };
}

const readers: { readonly [K in Kind]: (values: Values, document: Documents[K]) => Body } = {
  Cluster: readCluster,
  Peer: readPeer,
  VIP: readVip,
};

/** A document that its schema accepts, as the model has it: values checked and canonical, defaults filled in. */
export function parseDocument<K extends Kind>(kind: K, document: Documents[K], at: Spots): Parsed {
  const values = new Values(at);
  const body = readers[kind](values, document);
  return values.findings.length === 0 ? { ok: true, body } : { ok: false, findings: values.findings };
}
