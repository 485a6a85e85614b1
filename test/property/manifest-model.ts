import fc from 'fast-check';
import { makeFleet } from '../../bench/fleets.ts';
import type { MacAddress, PublicKey } from '../../src/manifest/model.ts';

/**
 * Manifests over a world so small that everything collides, their texts with one field a line, and a slow, obvious
 * model of the checks between objects: nested loops over all documents, nothing remembered.
 */

/** `odd`: one field too many; `broken`: of no use but for its name. */
type State = 'fine' | 'odd' | 'broken';

interface Common {
  readonly name: string;
  readonly state: State;
  /** Comment lines ahead: they move the document. */
  readonly comments: number;
}
interface ClusterDoc extends Common {
  readonly kind: 'Cluster';
  readonly subnets: readonly string[];
  readonly interface: string;
  readonly port: number;
  readonly revokedKeys: readonly string[];
}
interface PeerDoc extends Common {
  readonly kind: 'Peer';
  readonly clusters: readonly string[];
  readonly publicKey: string;
  readonly nextPublicKey: string | undefined;
  readonly endpoints: readonly string[];
  readonly suspended: boolean;
}
interface VipDoc extends Common {
  readonly kind: 'VIP';
  readonly cluster: string;
  readonly address: string;
  readonly peer: string;
}
type Doc = ClusterDoc | PeerDoc | VipDoc;
export type Files = Readonly<Record<string, readonly Doc[]>>;

// --- the world ---------------------------------------------------------------------------------------------------

const positive = makeFleet(8).flatMap(({ text }) => /publicKey: (\S+)/.exec(text)?.[1] ?? []);
/** Two of them with the other sign as well: each pair is one key. */
const keys = [...positive, ...positive.slice(0, 2).map((key) => withSign(key, 0x80))];

function withSign(key: string, flip: number, keep = 0xff): string {
  const bytes = Buffer.from(key, 'base64');
  bytes[31] = ((bytes[31] ?? 0) & keep) ^ flip;
  return bytes.toString('base64');
}

/** Whether one private key serves both. */
function isSameKey(a: string, b: string): boolean {
  return withSign(a, 0, 0x7f) === withSign(b, 0, 0x7f);
}

/** Each key of the second half collides with one of the first. */
export const derivation = {
  macOf: (key: PublicKey) => `02:00:00:00:00:0${keys.indexOf(key) % 4}` as MacAddress,
  peerIdOf: (key: PublicKey) => BigInt(1 + keys.indexOf(key)),
};

const reserved: Readonly<Record<string, readonly string[]>> = {
  '10.1.0.0/16': ['10.1.0.0', '10.1.255.255'],
  '10.1.2.0/24': ['10.1.2.0', '10.1.2.255'],
  '10.2.0.0/16': ['10.2.0.0', '10.2.255.255'],
  'fd00::/64': ['fd00::'],
};
const prefixes: Readonly<Record<string, string>> = {
  '10.1.0.0/16': '10.1.',
  '10.1.2.0/24': '10.1.2.',
  '10.2.0.0/16': '10.2.',
  'fd00::/64': 'fd00::',
};
const addresses = ['10.1.2.3', '10.1.0.0', '10.1.2.255', '10.2.0.1', '10.9.0.1', 'fd00::1', 'fd00::'];
const endpoints = ['192.0.2.1:1', '192.0.2.2:1', '10.1.2.3:1', 'robot.lan:1'];

const common = (names: readonly string[]) => ({
  name: fc.constantFrom(...names),
  state: fc.constantFrom<State>('fine', 'fine', 'fine', 'fine', 'fine', 'odd', 'broken'),
  comments: fc.nat(2),
});
const clusterNames = ['c0', 'c1', 'c2'];
const peerNames = ['p0', 'p1', 'p2', 'p3'];
const vipNames = ['v0', 'v1', 'v2', 'v3'];
const subnets = fc
  .uniqueArray(fc.constantFrom(...Object.keys(prefixes)), { minLength: 1, maxLength: 2 })
  .filter((list) => !(list.includes('10.1.0.0/16') && list.includes('10.1.2.0/24')));

const cluster: fc.Arbitrary<ClusterDoc> = fc.record({
  kind: fc.constant('Cluster' as const),
  ...common(clusterNames),
  subnets,
  interface: fc.constantFrom('omni0', 'omni0x', 'omni1'),
  port: fc.constantFrom(1, 2),
  revokedKeys: fc.uniqueArray(fc.constantFrom(...keys), { maxLength: 1 }),
});
const peer: fc.Arbitrary<PeerDoc> = fc
  .record({
    kind: fc.constant('Peer' as const),
    ...common(peerNames),
    clusters: fc.uniqueArray(fc.constantFrom(...clusterNames), { minLength: 1, maxLength: 2 }),
    publicKey: fc.constantFrom(...keys),
    nextPublicKey: fc.constantFrom(undefined, undefined, ...keys),
    endpoints: fc.uniqueArray(fc.constantFrom(...endpoints), { maxLength: 2 }),
    suspended: fc.boolean(),
  })
  .filter(({ publicKey, nextPublicKey }) => nextPublicKey === undefined || !isSameKey(publicKey, nextPublicKey));
const vip: fc.Arbitrary<VipDoc> = fc.record({
  kind: fc.constant('VIP' as const),
  ...common(vipNames),
  cluster: fc.constantFrom(...clusterNames),
  address: fc.constantFrom(...addresses),
  peer: fc.constantFrom(...peerNames),
});

const paths = ['a.yaml', 'b.yaml', 'c/d.yaml', 'c.yaml'];
const documents = fc.array(fc.oneof(cluster, peer, peer, vip, vip), { maxLength: 4 });

/** Removes a file, replaces it, appends to it, or moves it to another path. */
export type Edit =
  | { readonly what: 'remove'; readonly path: string }
  | { readonly what: 'put' | 'append'; readonly path: string; readonly documents: readonly Doc[] }
  | { readonly what: 'move'; readonly path: string; readonly to: string };

const path = fc.constantFrom(...paths);
export const edit: fc.Arbitrary<Edit> = fc.oneof(
  fc.record({ what: fc.constant('remove' as const), path }),
  fc.record({ what: fc.constantFrom('put' as const, 'append' as const), path, documents }),
  fc.record({ what: fc.constant('move' as const), path, to: path }),
);

export function edited(files: Files, change: Edit): Files {
  const { [change.path]: old = [], ...others } = files;
  switch (change.what) {
    case 'remove':
      return others;
    case 'put':
      return { ...others, [change.path]: change.documents };
    case 'append':
      return { ...others, [change.path]: [...old, ...change.documents] };
    case 'move':
      return change.path in files ? { ...others, [change.to]: old } : files;
  }
}

/** Sets without an error, often with much in common: everybody has keys, subnets and addresses of his own. */
const pools = fc.record({
  clusters: fc.tuple(...clusterNames.map(() => fc.option(fc.record({ six: fc.boolean(), port: fc.nat(1) })))),
  peers: fc.tuple(
    ...peerNames.map(() =>
      fc.option(
        fc.record({ of: fc.subarray(clusterNames, { minLength: 1 }), next: fc.boolean(), suspended: fc.boolean() }),
      ),
    ),
  ),
  vips: fc.tuple(
    ...vipNames.map(() => fc.option(fc.record({ cluster: fc.nat(2), peer: fc.nat(3), six: fc.boolean() }))),
  ),
  places: fc.array(fc.record({ path, comments: fc.nat(2) }), { minLength: 11, maxLength: 11 }),
});

export const validFiles: fc.Arbitrary<Files> = pools.map(({ clusters, peers, vips, places }) => {
  const all: Doc[] = [];
  const state = 'fine' as const;
  clusters.forEach((each, at) => {
    if (each === null) return;
    const nets = each.six ? [`10.${at + 1}.0.0/16`, `fd0${at}::/64`] : [`10.${at + 1}.0.0/16`];
    const port = at + 1 + 10 * each.port;
    const head = { kind: 'Cluster' as const, name: `c${at}`, state, comments: 0 };
    all.push({ ...head, subnets: nets, interface: `omni${at}`, port, revokedKeys: [] });
  });
  const members = peers.map((each) => each?.of.filter((name) => clusters[clusterNames.indexOf(name)] != null) ?? []);
  peers.forEach((each, at) => {
    const publicKey = keys[at] ?? '';
    const own = { endpoints: [`192.0.2.${at}:1`], nextPublicKey: each?.next ? keys[at + 4] : undefined, publicKey };
    const head = { kind: 'Peer' as const, name: `p${at}`, state, comments: 0, suspended: each?.suspended ?? false };
    if (members[at]?.length) all.push({ ...head, ...own, clusters: members[at] ?? [] });
  });
  vips.forEach((each, at) => {
    if (each === null || !members[each.peer]?.includes(`c${each.cluster}`)) return;
    const six = each.six && clusters[each.cluster]?.six;
    const address = six ? `fd0${each.cluster}::1${at}` : `10.${each.cluster + 1}.0.1${at}`;
    const head = { kind: 'VIP' as const, name: `v${at}`, state, comments: 0 };
    all.push({ ...head, cluster: `c${each.cluster}`, peer: `p${each.peer}`, address });
  });
  const files: Record<string, Doc[]> = {};
  all.forEach((doc, at) => {
    const { path: file = 'a.yaml', comments = 0 } = places[at] ?? {};
    files[file] = [...(files[file] ?? []), { ...doc, comments }];
  });
  return files;
});

// --- texts -------------------------------------------------------------------------------------------------------

/** Lines of a document, and in which of them a field is. */
interface Text {
  readonly lines: readonly string[];
  readonly at: Readonly<Record<string, number>>;
}

function textOf(doc: Doc): Text {
  const lines: string[] = [];
  const at: Record<string, number> = {};
  const put = (field: string, line: string) => {
    at[field] = lines.length;
    lines.push(line);
  };
  const list = (field: string, values: readonly string[]) => {
    put(field, values.length === 0 ? `  ${field}: []` : `  ${field}:`);
    values.forEach((value, index) => {
      put(`${field}.${index}`, `    - "${value}"`);
    });
  };
  for (let count = 0; count < doc.comments; count++) lines.push('# nothing');
  lines.push('apiVersion: omni.io/v1alpha1', `kind: ${doc.kind}`);
  put('name', `metadata: { name: ${doc.name} }`);
  lines.push('spec:');
  const broken = doc.state === 'broken';
  switch (doc.kind) {
    case 'Cluster':
      list('subnets', broken ? ['nonsense'] : doc.subnets);
      put('interface', `  interface: ${doc.interface}`);
      put('port', `  port: ${doc.port}`);
      list('revokedKeys', doc.revokedKeys);
      break;
    case 'Peer':
      list('clusters', doc.clusters);
      put('publicKey', `  publicKey: ${broken ? 'nonsense' : doc.publicKey}`);
      if (doc.nextPublicKey !== undefined) put('nextPublicKey', `  nextPublicKey: ${doc.nextPublicKey}`);
      list('endpoints', doc.endpoints);
      put('suspended', `  suspended: ${doc.suspended}`);
      break;
    case 'VIP':
      put('cluster', `  cluster: ${doc.cluster}`);
      put('address', `  address: "${broken ? 'nonsense' : doc.address}"`);
      put('peer', `  peer: ${doc.peer}`);
      break;
  }
  if (doc.state === 'odd') put('junk', '  junk: 1');
  return { lines, at };
}

export function textsOf(files: Files): { path: string; text: string }[] {
  return Object.entries(files).map(([file, docs]) => ({
    path: file,
    text: docs.map((doc) => `${textOf(doc).lines.join('\n')}\n`).join('---\n'),
  }));
}

// --- the model ---------------------------------------------------------------------------------------------------

class Placed<D extends Doc = Doc> {
  readonly doc: D;
  readonly file: string;
  readonly line: number;

  constructor(doc: D, file: string, line: number) {
    this.doc = doc;
    this.file = file;
    this.line = line;
  }

  /** `file:line`, 1-based. */
  at(field: string): string {
    return `${this.file}:${this.line + (textOf(this.doc).at[field] ?? Number.NaN) + 1}`;
  }
  get ref(): string {
    return `${this.doc.kind} ${this.doc.name}`;
  }
}

function placed(files: Files): Placed[] {
  const all: Placed[] = [];
  for (const file of Object.keys(files).sort()) {
    let line = 0;
    for (const doc of files[file] ?? []) {
      all.push(new Placed(doc, file, line));
      line += textOf(doc).lines.length + 1;
    }
  }
  return all;
}

const brokenRule = {
  Cluster: ['cidr-invalid', 'subnets.0'],
  Peer: ['key-invalid', 'publicKey'],
  VIP: ['address-invalid', 'address'],
} as const;

/** What is wrong with a set, as `rule file:line [file:line of the other place]`, sorted. */
export function expectedFindings(files: Files): string[] {
  const found: string[] = [];
  const all = placed(files);
  const good = all.filter(({ doc }) => doc.state !== 'broken');
  const of = <K extends Doc['kind']>(kind: K) =>
    good.filter((each): each is Placed<Extract<Doc, { kind: K }>> => each.doc.kind === kind);
  const [clusters, peers, vips] = [of('Cluster'), of('Peer'), of('VIP')];
  const declared = (kind: string, name: string) => all.some(({ doc }) => doc.kind === kind && doc.name === name);
  const clusterOf = (name: string) => clusters.find(({ doc }) => doc.name === name);
  const peerOf = (name: string) => peers.find(({ doc }) => doc.name === name);
  const holds = (subnet: string, text: string) => text.startsWith(prefixes[subnet] ?? '?');
  const say = (rule: string, at: string, other?: string) => {
    found.push(other === undefined ? `${rule} ${at}` : `${rule} ${at} ${other}`);
  };

  for (const each of all) {
    const [rule, field] = brokenRule[each.doc.kind];
    if (each.doc.state === 'broken') say(rule, each.at(field));
    if (each.doc.state === 'odd') say('field-unknown', each.at('junk'));
    const first = all.find(({ ref }) => ref === each.ref);
    if (first !== undefined && first !== each) say('name-duplicate', each.at('name'), first.at('name'));
  }

  for (const each of peers) {
    each.doc.clusters.forEach((name, index) => {
      const target = clusterOf(name);
      if (!declared('Cluster', name)) say('cluster-unknown', each.at(`clusters.${index}`));
      each.doc.endpoints.forEach((endpoint, at) => {
        const subnet = target?.doc.subnets.findIndex((text) => holds(text, endpoint)) ?? -1;
        if (subnet !== -1) say('endpoint-inside-subnet', each.at(`endpoints.${at}`), target?.at(`subnets.${subnet}`));
      });
    });
  }

  for (const each of vips) {
    const { cluster: name, peer: holder, address } = each.doc;
    if (!declared('Cluster', name)) say('cluster-unknown', each.at('cluster'));
    if (!declared('Peer', holder)) say('peer-unknown', each.at('peer'));
    const member = peerOf(holder);
    if (declared('Cluster', name) && member !== undefined && !member.doc.clusters.includes(name)) {
      say('peer-not-member', each.at('peer'), member.at('clusters.0'));
    }
    const target = clusterOf(name);
    if (target !== undefined) {
      const subnet = target.doc.subnets.find((text) => holds(text, address));
      // A list begins on the line behind its field's name.
      if (subnet === undefined) say('vip-outside-subnets', each.at('address'), target.at('subnets.0'));
      else if (reserved[subnet]?.includes(address)) say('vip-reserved-address', each.at('address'));
    }
    const first = vips.find(({ doc }) => doc.cluster === name && doc.address === address);
    if (first !== undefined && first.ref !== each.ref) say('vip-duplicate', each.at('address'), first.at('address'));
  }

  const uses = peers.flatMap((each) =>
    [
      { each, field: 'publicKey', key: each.doc.publicKey },
      { each, field: 'nextPublicKey', key: each.doc.nextPublicKey },
    ].flatMap(({ key, ...use }) => (key === undefined ? [] : [{ ...use, key }])),
  );
  const mac = (key: string) => derivation.macOf(key as PublicKey);
  for (const { each, field, key } of uses) {
    const first = uses.find((use) => isSameKey(use.key, key));
    if (first !== undefined && first.each.ref !== each.ref)
      say('key-duplicate', each.at(field), first.each.at(first.field));
    const same = uses.find((use) => mac(use.key) === mac(key));
    if (same !== undefined && same.key !== key) say('mac-collision', each.at(field), same.each.at(same.field));
    for (const revoker of clusters) {
      const index = revoker.doc.revokedKeys.findIndex((each) => isSameKey(each, key));
      if (index !== -1 && each.doc.clusters.includes(revoker.doc.name)) {
        say('key-revoked', each.at(field), revoker.at(`revokedKeys.${index}`));
      }
    }
  }

  const active = peers.filter(({ doc }) => !doc.suspended);
  for (const each of active) {
    each.doc.endpoints.forEach((endpoint, at) => {
      const first = active.find(({ doc }) => doc.endpoints.includes(endpoint));
      if (first === undefined || first.ref === each.ref) return;
      say(
        'endpoint-duplicate',
        each.at(`endpoints.${at}`),
        first.at(`endpoints.${first.doc.endpoints.indexOf(endpoint)}`),
      );
    });
  }

  const firstClusters = clusters.filter((each) => clusterOf(each.doc.name) === each);
  firstClusters.forEach((second, at) => {
    for (const first of firstClusters.slice(0, at)) {
      const both = [first.doc.name, second.doc.name];
      if (!peers.some(({ doc }) => both.every((name) => doc.clusters.includes(name)))) continue;
      second.doc.subnets.forEach((subnet, index) => {
        const before = first.doc.subnets.findIndex((other) => holds(other, subnet) || holds(subnet, other));
        if (before !== -1) say('clusters-share-subnet', second.at(`subnets.${index}`), first.at(`subnets.${before}`));
      });
      const [a, b] = [first.doc.interface, second.doc.interface];
      if (a === b || `${a}x` === b || `${b}x` === a) {
        say('clusters-share-interface', second.at('interface'), first.at('interface'));
      }
      if (first.doc.port === second.doc.port) say('clusters-share-port', second.at('port'), first.at('port'));
    }
  });
  return found.sort();
}
