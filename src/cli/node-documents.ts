import { Document, isCollection } from 'yaml';
import type { PublicKey } from '../manifest/model.ts';
import { networkOf, parseIp } from '../manifest/net.ts';
import { usageError } from './errors.ts';
import { API_VERSION } from './options.ts';

/** What a new node's Peer and VIPs say. Everything is as a person typed it. */
export interface NodeDocuments {
  readonly name: string;
  readonly cluster: string;
  readonly publicKey: PublicKey;
  readonly addresses: readonly string[];
  readonly endpoints: readonly string[];
  readonly labels: Readonly<Record<string, string>>;
  readonly keepalive?: string;
}

/** The Peer and its VIPs as YAML. The first VIP has the peer's name, further ones `NAME-2`, `NAME-3`, … */
export function renderNodeDocuments(node: NodeDocuments): string {
  const { name, cluster, publicKey, addresses, endpoints, labels, keepalive } = node;
  const peer = {
    apiVersion: API_VERSION,
    kind: 'Peer',
    metadata: { name, ...(Object.keys(labels).length === 0 ? {} : { labels }) },
    spec: {
      clusters: [cluster],
      publicKey,
      ...(endpoints.length === 0 ? {} : { endpoints }),
      ...(keepalive === undefined ? {} : { keepalive }),
    },
  };
  const vips = addresses.map((address, index) => ({
    apiVersion: API_VERSION,
    kind: 'VIP',
    metadata: { name: index === 0 ? name : `${name}-${index + 1}` },
    spec: { cluster, address, peer: name },
  }));
  return [peer, ...vips].map(renderDocument).join('---\n');
}

/** Block style, but for lists, which the field writes on one line. */
function renderDocument(value: object): string {
  const document = new Document(value);
  for (const field of ['clusters', 'endpoints']) {
    const node = document.getIn(['spec', field], true);
    if (isCollection(node)) node.flow = true;
  }
  return document.toString({ lineWidth: 0, flowCollectionPadding: false });
}

/**
 * Throws a usage error unless the documents are valid in a fleet whose cluster has room for their addresses: the
 * reader that will read them is the judge of names, keys, endpoints and durations.
 */
export async function checkNodeDocuments(node: NodeDocuments): Promise<void> {
  const subnets = node.addresses.flatMap((address) => {
    const ip = parseIp(address);
    return ip.ok ? [networkOf(ip.value, ip.value.bytes.length * 8).text] : [];
  });
  const cluster = new Document({
    apiVersion: API_VERSION,
    kind: 'Cluster',
    metadata: { name: node.cluster },
    spec: { subnets },
  });
  // Loaded when called, as in manifests.ts.
  const { createFleetReader, filesFromTexts } = await import('../manifest/load.ts');
  const files = filesFromTexts([
    { path: DOCUMENTS, text: renderNodeDocuments(node) },
    { path: 'cluster.yaml', text: cluster.toString() },
  ]);
  const { diagnostics } = await createFleetReader().read(files);
  const errors = diagnostics.filter(({ severity, position }) => severity === 'error' && position.file === DOCUMENTS);
  const [first] = errors;
  if (first === undefined) return;
  const messages = new Set(errors.map(({ message }) => message));
  throw usageError([...messages].join('\n  and: '), first.fix);
}

const DOCUMENTS = 'node.yaml';
