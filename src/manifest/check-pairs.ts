import { type CheckRun, found, networksOf } from './check-run.ts';
import { pairKey } from './fleet-index.ts';
import { type Item, inOrder } from './item.ts';
import type { Cluster, Diagnostic } from './model.ts';
import { overlaps } from './net.ts';

/** Two clusters with a node in common differ in subnets, interface and port. */
export function checkPair(run: CheckRun, pair: string): Diagnostic[] {
  const [a = '', b = ''] = pair.split(' ');
  const shared = run.index.pairs.get(pairKey(a, b));
  const items = [run.find('Cluster', a).item, run.find('Cluster', b).item];
  const [first, second] = inOrder(items.filter((item) => item !== undefined));
  if (shared.size === 0 || first?.cluster === undefined || second?.cluster === undefined) return [];
  return sharedConflicts(first, first.cluster, second, second.cluster, shared);
}

function leastRef(items: Iterable<Item>): string {
  let least: string | undefined;
  for (const { ref } of items) if (least === undefined || ref < least) least = ref;
  return least ?? '';
}

function sharedConflicts(first: Item, one: Cluster, second: Item, two: Cluster, shared: Iterable<Item>): Diagnostic[] {
  const diagnostics: Diagnostic[] = [];
  const common = () => ({ cluster: second.name, other: first.name, peer: leastRef(shared) });
  networksOf(two).forEach((subnet, at) => {
    const before = networksOf(one).findIndex((each) => overlaps(each, subnet));
    if (before === -1) return;
    const parameters = { ...common(), subnet: subnet.text, otherSubnet: one.subnets[before] ?? '' };
    const related = first.at(`/spec/subnets/${before}`);
    diagnostics.push(found('clusters-share-subnet', parameters, second.at(`/spec/subnets/${at}`), related));
  });
  const [name, otherName] = [two.interface, one.interface];
  if (name === otherName || `${name}x` === otherName || name === `${otherName}x`) {
    const parameters = { ...common(), interface: name, otherInterface: otherName };
    const path = '/spec/interface';
    diagnostics.push(found('clusters-share-interface', parameters, second.at(path), first.at(path)));
  }
  if (one.port === two.port) {
    const parameters = { ...common(), port: one.port };
    diagnostics.push(found('clusters-share-port', parameters, second.at('/spec/port'), first.at('/spec/port')));
  }
  return diagnostics;
}
