import type { ApplyReport, Json } from '../../agent/api.ts';
import type { Printer } from '../output.ts';
import type { Tone } from '../style.ts';
import { byName, oneLine, plural } from '../text.ts';

export type ApplyView = Json<ApplyReport>;
type Verb = ApplyView['objects'][number]['verb'];

const TONES: Readonly<Record<Verb, Tone>> = {
  created: 'add',
  configured: 'change',
  unchanged: 'dim',
  pruned: 'remove',
  failed: 'bad',
};

/** `peer/robot-17 configured`, a line per object, as kubectl prints them. */
export function writeObjectLines(out: Printer, objects: ApplyView['objects'], suffix: string): void {
  for (const { object, verb, message } of [...objects].sort((a, b) => byName(a.object, b.object))) {
    const because = message === undefined ? '' : `: ${oneLine(message)}`;
    out.write(`${object} ${out.style.paint(TONES[verb], verb)}${suffix}${because}\n`);
  }
}

/** `3 added, 1 changed, 0 removed`, and what failed or stayed if anything did. */
export function tally(objects: ApplyView['objects']): string {
  const count = (verb: Verb): number => objects.filter((one) => one.verb === verb).length;
  const counts = [
    `${count('created')} added`,
    `${count('configured')} changed`,
    `${count('pruned')} removed`,
    ...(count('unchanged') > 0 ? [`${count('unchanged')} unchanged`] : []),
    ...(count('failed') > 0 ? [`${count('failed')} failed`] : []),
  ];
  return counts.join(', ');
}

/** `12 operations on the data path`, or what it says where there were none. */
export function operationTally(changes: ApplyView['changes']): string {
  return changes.length === 0
    ? 'nothing to do on the data path'
    : `${plural(changes.length, 'operation')} on the data path`;
}
