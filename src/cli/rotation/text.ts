import { stringify } from 'yaml';
import { fingerprint } from '../../manifest/keys.ts';
import { shortRevision } from '../format.ts';
import type { InForce } from './in-force.ts';
import { COMMITS, type Stage } from './stage.ts';

const MEANING = {
  announce: 'every node takes both keys from then on',
  swap: 'this node goes over to its next key',
  drop: 'the old key is taken no more; leave nextPublicKey out',
} as const;

/** What is to be done now, for people: the lines of the Peer to commit, as they are to be. */
export function renderStage(stage: Stage, inForce: InForce | undefined): string {
  const { step, spec } = stage;
  if (step === 'begin') return 'this node has one key, and goes over to no other: omni rotate begins that\n';
  if (step === 'finish' || spec === undefined) {
    return `${shortRevision(inForce?.revision ?? '')} knows this node by its next key alone: run omni rotate --finish\n`;
  }
  const where = inForce === undefined ? "this node's Peer" : `peer/${inForce.peer} (${placeOf(inForce)})`;
  const lines = [
    `# Commit ${COMMITS.indexOf(step) + 1} of ${COMMITS.length}, in ${where}: ${MEANING[step]}`,
    stringify({ spec }).trimEnd(),
    ...resealHint(stage, inForce).map((hint) => `# ${hint}`),
  ];
  return `${lines.join('\n')}\n`;
}

function placeOf({ position: { file, line } }: InForce): string {
  return `${file}:${line}`;
}

/** A sealed cluster key is for the keys that its members have. */
export function resealHint({ step }: Stage, inForce: InForce | undefined): readonly string[] {
  if (step !== 'announce' && step !== 'drop') return [];
  return (inForce?.sealed ?? []).map(
    (cluster) =>
      `With it, seal the key of cluster/${cluster} again: omni reseal -f <fleet> --cluster ${cluster} --write`,
  );
}

/** What this was said of. */
export function sourceText(inForce: InForce | undefined): string {
  if (inForce === undefined) return 'no revision is in force here yet: the Peer is taken to name the present key alone';
  const { revision, keys, from } = inForce;
  const next = keys.nextPublicKey === undefined ? '' : `, next ${fingerprint(keys.nextPublicKey)}`;
  const why = inForce.agent === undefined ? 'no agent runs' : 'this node takes no part now';
  const whose = from === 'agent' ? 'in force' : `last known good, as ${why}`;
  return `${shortRevision(revision)} (${whose}) says: key ${fingerprint(keys.publicKey)}${next}`;
}
