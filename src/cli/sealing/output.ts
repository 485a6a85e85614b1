import type { Member } from '../../secrets/members.ts';
import type { SealedPlace } from '../../secrets/open.ts';
import { plural } from '../text.ts';
import { blockLines, type SealedFields } from './manifest-edit.ts';

const FIELDS: readonly SealedPlace['field'][] = ['psk', 'nextPsk'];
const SHOWN_PEERS = 10;

/** What is to stand in the Cluster's manifest, as YAML to be put there by hand. */
export function renderSealedFields(fields: SealedFields): string {
  const lines = FIELDS.flatMap((field) => {
    const sealed = fields[field];
    if (sealed === undefined) return [];
    return sealed === null ? [`# ${field} goes`] : blockLines(field, sealed);
  });
  return `spec:\n${lines.map((line) => `  ${line}\n`).join('')}`;
}

/** `4 keys of robot-1, robot-2 and 1 more`: a peer that changes its key has two. */
export function memberWords(members: readonly Member[]): string {
  const peers = [...new Set(members.map(({ peer }) => peer))];
  const shown = peers.slice(0, SHOWN_PEERS).join(', ');
  const rest = peers.length > SHOWN_PEERS ? ` and ${peers.length - SHOWN_PEERS} more` : '';
  return `${plural(members.length, 'key')} of ${shown}${rest}`;
}
