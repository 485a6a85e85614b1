import { type CheckRun, found, networksOf } from './check-run.ts';
import { formatEndpoint } from './endpoint.ts';
import { type Item, inOrder, refOf } from './item.ts';
import type { Diagnostic, ObjectRef } from './model.ts';
import { contains, parseIp, reservedUse } from './net.ts';

/** Names are unique per kind, in all files together. */
export function checkName({ index }: CheckRun, ref: string): Diagnostic[] {
  const [first, ...rest] = inOrder(index.byRef.get(ref as ObjectRef));
  const path = '/metadata/name';
  return rest.map((item) => found('name-duplicate', { object: item.ref }, item.at(path), first?.at(path)));
}

/** A Peer's clusters exist, and its endpoints lie outside of them. */
export function checkPeer(run: CheckRun, name: string): Diagnostic[] {
  return [...run.index.byRef.get(refOf('Peer', name))].flatMap((item) =>
    (item.peer?.clusters ?? []).flatMap((cluster, at) => {
      const { declared, item: target } = run.find('Cluster', cluster);
      if (declared) return target === undefined ? [] : endpointsInside(item, target);
      const suggestion = run.suggestion('Cluster', cluster);
      return [found('cluster-unknown', { cluster, suggestion }, item.at(`/spec/clusters/${at}`))];
    }),
  );
}

function endpointsInside(peer: Item, target: Item): Diagnostic[] {
  const { cluster } = target;
  return (peer.peer?.endpoints ?? []).flatMap((endpoint, at) => {
    const ip = parseIp(endpoint.host);
    if (cluster === undefined || !ip.ok) return [];
    const subnet = networksOf(cluster).findIndex((each) => contains(each, ip.value));
    if (subnet === -1) return [];
    const parameters = {
      endpoint: formatEndpoint(endpoint),
      subnet: cluster.subnets[subnet] ?? '',
      cluster: cluster.metadata.name,
    };
    return [
      found(
        'endpoint-inside-subnet',
        parameters,
        peer.at(`/spec/endpoints/${at}`),
        target.at(`/spec/subnets/${subnet}`),
      ),
    ];
  });
}

/** A VIP's cluster and peer exist and belong together, and the address is one of the cluster's. */
export function checkVip(run: CheckRun, name: string): Diagnostic[] {
  return [...run.index.byRef.get(refOf('VIP', name))].flatMap((item) => {
    const { vip } = item;
    if (vip === undefined) return [];
    const diagnostics: Diagnostic[] = [];
    const cluster = run.find('Cluster', vip.cluster);
    const peer = run.find('Peer', vip.peer);
    if (!cluster.declared) {
      const suggestion = run.suggestion('Cluster', vip.cluster);
      diagnostics.push(found('cluster-unknown', { cluster: vip.cluster, suggestion }, item.at('/spec/cluster')));
    }
    if (!peer.declared) {
      const suggestion = run.suggestion('Peer', vip.peer);
      diagnostics.push(found('peer-unknown', { peer: vip.peer, suggestion }, item.at('/spec/peer')));
    }
    const holder = peer.item?.peer;
    if (cluster.declared && holder !== undefined && !holder.clusters.includes(vip.cluster)) {
      const related = peer.item?.at('/spec/clusters');
      diagnostics.push(
        found('peer-not-member', { peer: vip.peer, cluster: vip.cluster }, item.at('/spec/peer'), related),
      );
    }
    if (cluster.item !== undefined) diagnostics.push(...checkAddressIn(item, cluster.item, vip.address));
    return diagnostics;
  });
}

function checkAddressIn(item: Item, target: Item, address: string): Diagnostic[] {
  const { cluster } = target;
  const ip = parseIp(address);
  if (cluster === undefined || !ip.ok) return [];
  const path = '/spec/address';
  const subnet = networksOf(cluster).find((each) => contains(each, ip.value));
  if (subnet === undefined) {
    const parameters = { address, cluster: cluster.metadata.name, subnets: cluster.subnets.join(', ') };
    return [found('vip-outside-subnets', parameters, item.at(path), target.at('/spec/subnets'))];
  }
  const what = reservedUse(subnet, ip.value);
  if (what === undefined) return [];
  return [found('vip-reserved-address', { address, what, subnet: subnet.text }, item.at(path))];
}
