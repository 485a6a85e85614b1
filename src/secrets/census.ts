import { armor } from 'age-encryption';
import type { Cluster, Fleet, ObjectRef, Position } from '../manifest/model.ts';
import { membersOf } from './members.ts';
import type { SealedPlace } from './open.ts';

const STANZA = '\n-> X25519 ';
const END_OF_HEADER = '\n--- ';

/** How many X25519 keys an age file is sealed for: anybody can see that, but not whose. Undefined: it is no age file. */
export function countRecipients(sealed: string): number | undefined {
  let text: string;
  try {
    text = Buffer.from(armor.decode(sealed)).toString('latin1');
  } catch {
    return undefined;
  }
  const end = text.indexOf(END_OF_HEADER);
  return end < 0 ? undefined : text.slice(0, end).split(STANZA).length - 1;
}

/** A sealed key that is not for exactly as many keys as the cluster's members have. */
export interface SealingGap extends SealedPlace {
  readonly object: ObjectRef;
  readonly position: Position;
  readonly message: string;
  readonly fix: string;
}

/** What of a fleet's sealed keys does not fit its members, as far as numbers tell. */
export function sealingGaps(fleet: Fleet): readonly SealingGap[] {
  return [...fleet.clusters.values()].flatMap((cluster) => [
    ...gapOf(fleet, cluster, 'psk'),
    ...gapOf(fleet, cluster, 'nextPsk'),
  ]);
}

function gapOf(fleet: Fleet, cluster: Cluster, field: SealedPlace['field']): readonly SealingGap[] {
  const sealed = cluster[field];
  if (sealed === undefined) return [];
  const { name } = cluster.metadata;
  const recipients = countRecipients(sealed) ?? 0;
  const members = membersOf(fleet, cluster).length;
  if (recipients === members) return [];
  const meaning = recipients < members ? 'some member cannot open it' : 'somebody who is no member can open it';
  return [
    {
      cluster: name,
      field,
      object: `cluster/${name}`,
      position: cluster.position,
      message: `spec.${field} of cluster/${name} is sealed for ${keys(recipients)}, and its members have ${keys(members)}: ${meaning}`,
      fix: `Run \`omni reseal -f <fleet> --cluster ${name} --write\` and commit.`,
    },
  ];
}

function keys(count: number): string {
  return count === 1 ? '1 key' : `${count} keys`;
}
