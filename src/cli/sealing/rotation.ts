import type { Cluster } from '../../manifest/model.ts';
import { usageError } from '../errors.ts';

/** The three commits that take a cluster from one key to another while nodes pull at different times. */
export const ROTATION_STEPS = ['add', 'swap', 'drop'] as const;
export type RotationStep = (typeof ROTATION_STEPS)[number];

/** What to tell whoever took a step. */
interface Guidance {
  readonly step: string;
  readonly next: string;
}

const EVERYWHERE = 'Commit it; when every node has applied the commit';

export const GUIDANCE: Readonly<Record<RotationStep, Guidance>> = {
  add: {
    step: 'step 1 of 3: nodes will accept the new key and still call under the present one',
    next: `${EVERYWHERE}, run \`omni seal --rotate swap\``,
  },
  swap: {
    step: 'step 2 of 3: nodes will call under the new key and still accept the old one',
    next: `${EVERYWHERE}, run \`omni seal --rotate drop\`; \`--rotate swap\` again goes back`,
  },
  drop: { step: 'step 3 of 3: nodes will accept the key in spec.psk alone', next: 'Commit it' },
};

type Keys = Pick<Cluster, 'metadata' | 'psk' | 'nextPsk'>;

/** Throws a usage error where a cluster's manifest is not where this step begins. */
export function requireStep(step: RotationStep | 'first', { metadata, psk, nextPsk }: Keys): void {
  const object = `cluster/${metadata.name}`;
  if (step === 'first' && psk !== undefined) {
    throw usageError(
      `${object} has a key already`,
      'Go to a new one with `--rotate add`; seal the present one for other members with `omni reseal`.',
    );
  }
  if (step === 'add' && nextPsk !== undefined) {
    throw usageError(
      `${object} has a second key already`,
      'Go on with `--rotate swap` where spec.psk is the old one, else with `--rotate drop`.',
    );
  }
  if ((step === 'swap' || step === 'drop') && nextPsk === undefined) {
    throw usageError(`${object} has no second key: there is nothing to ${step}`, 'Begin with `--rotate add`.');
  }
}
