import type { ObjectRef } from '../manifest/model.ts';
import { usageError } from './errors.ts';

/** What `omni get` lists. `objects` are those of the manifests; sessions and rows are what the node made of them. */
export const KINDS = {
  peers: ['peer', 'peers', 'pr'],
  vips: ['vip', 'vips'],
  clusters: ['cluster', 'clusters', 'cl'],
  sessions: ['session', 'sessions', 'se'],
  rows: ['row', 'rows'],
  all: ['all'],
} as const;

export type KindName = keyof typeof KINDS;
export type ObjectKind = 'peers' | 'vips' | 'clusters';

/** Any of the kind's names, in any case: `peers`, `peer`, `pr`, `VIP`. */
export function parseKind(text: string): KindName {
  const wanted = text.toLowerCase();
  for (const [kind, names] of Object.entries(KINDS)) {
    if (names.some((name) => name === wanted)) return kind as KindName;
  }
  throw usageError(`there is no kind '${text}'`, `Ask for one of ${Object.keys(KINDS).join(', ')}.`);
}

/** `peer/robot-17`, `Peer/robot-17`, `pr/robot-17`: the object as everything prints it. */
export function parseObjectRef(text: string): ObjectRef {
  const slash = text.indexOf('/');
  if (slash <= 0 || slash === text.length - 1) {
    throw usageError(`'${text}' names no object`, 'Write kind/name, for example peer/robot-17.');
  }
  const kind = parseKind(text.slice(0, slash));
  if (kind !== 'peers' && kind !== 'vips' && kind !== 'clusters') {
    throw usageError(`'${text}' names no object of a manifest`, 'Write peer/NAME, vip/NAME or cluster/NAME.');
  }
  return `${singular(kind)}/${text.slice(slash + 1)}`;
}

/** What events speak of: an object, `node`, `source`, or a row of the data path as `omni get rows` has it. */
export function parseSubject(text: string): string {
  if (text === 'node' || text === 'source' || /^(?:link|address|route|fdb|neighbour)\/./.test(text)) return text;
  return parseObjectRef(text);
}

export function singular(kind: ObjectKind): 'peer' | 'vip' | 'cluster' {
  return kind === 'peers' ? 'peer' : kind === 'vips' ? 'vip' : 'cluster';
}
