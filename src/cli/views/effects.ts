import { etherTypeText } from '../../manifest/ethertype.ts';
import type { AddressChange, KeyChange } from '../../reconcile/impact/blast.ts';
import type { PathLoss } from '../../reconcile/impact/paths.ts';
import type { Refusal } from '../../reconcile/impact/refusals.ts';
import { humanSpan } from '../format.ts';
import type { RevisionComparison } from '../revisions.ts';
import { byName, plural } from '../text.ts';

/** How a name, an address or a key is written. */
export type Code = (text: string) => string;

export interface Effect {
  /** `bad`: a human must act or a node is cut off; `warn`: somebody loses something. */
  readonly tone: 'bad' | 'warn' | 'plain';
  readonly text: string;
  /** In the words of a node. */
  readonly detail?: string;
}

/** What a reviewer must not miss, worst first; what single nodes do is told elsewhere. */
export function effectsOf(comparison: RevisionComparison, code: Code): Effect[] {
  const { refusals, pathLosses, addresses, keys } = comparison;
  return [
    ...refusals.map((refusal) => refusalEffect(refusal, code)),
    ...pathLosses
      .map((loss) => lossEffect(loss, code))
      .sort((a, b) => Number(b.tone === 'bad') - Number(a.tone === 'bad')),
    ...clusterEffects(comparison, code),
    ...trustEffects(comparison, code),
    ...addresses.flatMap((change) => addressEffect(change, code)),
    ...keys.map((change) => keyEffect(change, code)),
  ];
}

function refusalEffect({ reason, message, node, nodes }: Refusal, code: Code): Effect {
  const text = `${nodesText(nodes, code)} would not take this over without a human: ${reason}`;
  return { tone: 'bad', text, detail: nodes.length === 1 ? message : `${node}: ${message}` };
}

function lossEffect({ nodes, peers, isolated }: PathLoss, code: Code): Effect {
  const who = nodesText(nodes, code);
  const [loses, are] = nodes.length === 1 ? ['loses', 'is'] : ['lose', 'are'];
  const others = nodes.some((node) => peers.includes(node)) ? 'each other and ' : '';
  const lost = peers.filter((peer) => !nodes.includes(peer));
  const whom = lost.length === 0 ? 'each other' : `${others}${listText(lost, code)}`;
  return isolated
    ? { tone: 'bad', text: `${who} ${are} cut off from every peer: ${loses} ${whom}` }
    : { tone: 'warn', text: `${who} ${loses} ${whom}` };
}

/** What each member of a cluster has to follow. */
const EVERYWHERE: ReadonlySet<string> = new Set(['interface', 'port', 'mtu', 'subnets']);

function clusterEffects({ manifests, after }: RevisionComparison, code: Code): Effect[] {
  return manifests.flatMap(({ op, object, fields }): Effect[] => {
    const touching = object.startsWith('cluster/') ? fields.filter(({ field }) => EVERYWHERE.has(field)) : [];
    if (op !== 'changed' || touching.length === 0) return [];
    const members = after.peersOfCluster.get(object.slice('cluster/'.length))?.size ?? 0;
    const words = touching.map(({ field }) => code(field)).join(', ');
    return [{ tone: 'warn', text: `${code(object)} has another ${words} on each of its ${plural(members, 'node')}` }];
  });
}

/** What nodes take from each other from then on, and did not before. */
function trustEffects({ manifests, after }: RevisionComparison, code: Code): Effect[] {
  return manifests.flatMap(({ op, object, fields }): Effect[] => {
    if (op === 'removed') return [];
    const isNew = (name: string) => op === 'added' || fields.some(({ field }) => field === name);
    const [cluster, peer] = [after.clusters.get(nameOf('cluster', object)), after.peers.get(nameOf('peer', object))];
    const texts: string[] = [];
    if (cluster?.foreignSources === 'allow' && isNew('foreignSources')) {
      texts.push(`members of ${code(object)} may send from addresses outside its subnets`);
    }
    if (cluster !== undefined && cluster.etherTypes.length > 0 && isNew('etherTypes')) {
      const types = cluster.etherTypes.map((type) => code(etherTypeText(type))).join(', ');
      texts.push(`members of ${code(object)} may send ${types}: nothing but the source MAC of such frames is checked`);
    }
    if (peer !== undefined && peer.roles.length > 0 && isNew('roles')) {
      texts.push(`${code(object)} becomes ${peer.roles.join(' and ')}: the others believe what it says as such`);
    }
    return texts.map((text) => ({ tone: 'warn', text }));
  });
}

function nameOf(kind: string, object: string): string {
  return object.startsWith(`${kind}/`) ? object.slice(kind.length + 1) : '';
}

function addressEffect({ cluster, address, from, to }: AddressChange, code: Code): Effect[] {
  if (from === undefined || to === undefined) return [];
  return [{ tone: 'warn', text: `${code(address)} of ${code(cluster)} moves from ${code(from)} to ${code(to)}` }];
}

function keyEffect({ peer, change, from, to, confirmWithinMs }: KeyChange, code: Code): Effect {
  const who = peer === undefined ? 'no peer' : code(peer);
  const [old, next] = [code(from ?? 'none'), code(to ?? 'none')];
  switch (change) {
    case 'replaced':
      return { tone: 'warn', text: replacementText({ who, old, next, withinMs: confirmWithinMs }) };
    case 'promoted':
      return { tone: 'plain', text: `${who} changes its key from ${old} to ${next}; its sessions stay` };
    case 'announced':
      return { tone: 'plain', text: `${who} may use a second key, ${next}` };
    case 'withdrawn':
      return { tone: 'plain', text: `${who} may not use its second key, ${old}, any more` };
    case 'revoked':
      return {
        tone: 'warn',
        text:
          peer === undefined
            ? `the key ${old} is revoked, and no Peer had it: nothing is cut by it. Is it the right one?`
            : `the key ${old} of ${who} is revoked: every node cuts it off at once, even where it refuses the rest of the commit, and no rollback lets it back in`,
      };
    case 'readmitted':
      return { tone: 'warn', text: `the key ${next} of ${who} is revoked no more: it may be used again` };
  }
}

interface Replacement {
  readonly who: string;
  readonly old: string;
  readonly next: string;
  /** Undefined: the old key is revoked. */
  readonly withinMs: number | undefined;
}

function replacementText({ who, old, next, withinMs }: Replacement): string {
  return withinMs === undefined
    ? `the key of ${who} is replaced, ${next} for ${old}, which is revoked: every node cuts the old one off at once, and asks nothing of the new one`
    : `the key of ${who} is replaced outright, ${next} for ${old}: it must answer by the new key within ${humanSpan(withinMs)} or the commit is taken back; if the old key leaked, name it in revokedKeys`;
}

/** The outcome in a few words, worst first: `2 nodes lose a peer`, `14 nodes change`, `1 session cut`. */
export function headlinesOf(comparison: RevisionComparison): string[] {
  const { refusals, pathLosses, nodes, sessionsCut, addresses, keys } = comparison;
  const count = (names: Iterable<string>) => new Set(names).size;
  const some = (many: number, words: (count: string) => string): string[] =>
    many === 0 ? [] : [words(plural(many, 'node'))];
  const isolated = count(pathLosses.flatMap((loss) => (loss.isolated ? loss.nodes : [])));
  const losing = count(pathLosses.flatMap((loss) => (loss.isolated ? [] : loss.nodes)));
  const moved = addresses.filter(({ from, to }) => from !== undefined && to !== undefined).length;
  const verb = (many: number, one: string, several: string) => (many === 1 ? one : several);
  const refusing = count(refusals.flatMap((refusal) => refusal.nodes));
  const changing = nodes.filter((node) => node.operations > 0).length;
  const left = nodes.filter(({ impact }) => impact.leaves).length;
  const unable = nodes.filter(({ impact }) => impact.note !== undefined && !impact.leaves).length;
  const touched = (change: KeyChange['change']) => keys.filter((key) => key.change === change).length;
  return [
    ...some(refusing, (n) => `${n} would wait for a human`),
    ...some(isolated, (n) => `${n} ${verb(isolated, 'is', 'are')} cut off from every peer`),
    ...some(losing, (n) => `${n} ${verb(losing, 'loses', 'lose')} a peer`),
    ...some(unable, (n) => `${n} cannot do what it asks`),
    ...some(left, (n) => `${n} ${verb(left, 'leaves', 'leave')}`),
    changing === 0
      ? 'no node has anything to do'
      : `${plural(changing, 'node')} ${verb(changing, 'changes', 'change')}`,
    `${plural(sessionsCut, 'session')} cut`,
    ...(moved === 0 ? [] : [`${plural(moved, 'address', 'addresses')} ${verb(moved, 'moves', 'move')}`]),
    ...(touched('replaced') === 0 ? [] : [`${plural(touched('replaced'), 'key')} replaced`]),
    ...(touched('revoked') === 0 ? [] : [`${plural(touched('revoked'), 'key')} revoked`]),
  ];
}

const NAMED = 6;

function nodesText(names: readonly string[], code: Code): string {
  return names.length === 1 ? code(names[0] ?? '') : `${plural(names.length, 'node')} (${listText(names, code)})`;
}

function listText(names: readonly string[], code: Code): string {
  const sorted = [...names].sort(byName);
  if (sorted.length <= NAMED) return sorted.map(code).join(', ');
  return `${sorted
    .slice(0, NAMED - 1)
    .map(code)
    .join(', ')} and ${sorted.length - NAMED + 1} more`;
}
