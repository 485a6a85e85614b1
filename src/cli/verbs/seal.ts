import { randomBytes } from 'node:crypto';
import { Command } from 'commander';
import { ExitCode } from '../../errors.ts';
import { type Member, membersOf } from '../../secrets/members.ts';
import { ageRecipient } from '../../secrets/recipients.ts';
import { usageError } from '../errors.ts';
import { addManifestFlags, Flag } from '../options.ts';
import { type ClusterOptions, type SealingTarget, sealingTarget, writeSealedFields } from '../sealing/fleet-files.ts';
import { readKey } from '../sealing/key-input.ts';
import type { SealedFields } from '../sealing/manifest-edit.ts';
import { memberWords, renderSealedFields } from '../sealing/output.ts';
import { GUIDANCE, ROTATION_STEPS, type RotationStep, requireStep } from '../sealing/rotation.ts';
import { type Cli, handleVerb, type Invocation } from '../verb.ts';

interface SealOptions extends ClusterOptions {
  readonly pskFile?: string;
  readonly next: boolean;
  readonly rotate?: RotationStep;
  readonly recipients: boolean;
  readonly write: boolean;
}

const PSK_LEN = 32;

export function sealCommand(cli: Cli): Command {
  const command = new Command('seal')
    .summary("Put a cluster's pre-shared key into its manifest, encrypted")
    .description(
      "Makes a pre-shared key, encrypts it with age to the keys of the cluster's peers, and prints what to put into the Cluster's manifest, or writes it there. With --rotate, takes one of the three steps from one key to another that no session notices.",
    );
  addManifestFlags(command)
    .addOption(new Flag('--cluster <name>', 'the Cluster; needed where there are several'))
    .addOption(
      new Flag(
        '--psk-file <file>',
        "the key to seal, base64 of 32 bytes, mode 0600; '-' is stdin; default: a new one",
        {
          completes: 'path',
        },
      ),
    )
    .addOption(
      new Flag('--next', 'seal it as nextPsk, which is accepted too: the same as --rotate add', { default: false }),
    )
    .addOption(new Flag('--rotate <step>', 'a step from one key to another', { choices: ROTATION_STEPS }))
    .addOption(
      new Flag('--recipients', "print the members' keys in age's form instead, for `age -R`", { default: false }),
    )
    .addOption(new Flag('--write', "edit the Cluster's file in place", { default: false }))
    .addHelpText('after', '\nExample:\n  omni seal -f fleet/ --cluster warehouse --write');
  return handleVerb<SealOptions>(cli, command, seal);
}

async function seal(invocation: Invocation<SealOptions>): Promise<number> {
  const { io, options, out, progress } = invocation;
  const step = stepOf(options);
  const target = await sealingTarget(invocation);
  const members = membersOf(target.fleet, target.cluster);
  const object = `cluster/${target.cluster.metadata.name}`;
  if (members.length === 0) throw usageError(`${object} has no peers to seal a key for`, 'Commit its Peers first.');
  if (options.recipients) {
    out.write(renderRecipients(members));
    return ExitCode.ok;
  }
  requireStep(step, target.cluster);
  const fields = await fieldsOf(step, target, members, invocation);
  if (options.write) {
    const path = await writeSealedFields(io, target, fields);
    out.write(`${object} configured\n`);
    progress.done(`wrote ${path}`);
  } else out.write(renderSealedFields(fields));
  if (step === 'first') {
    progress.info(
      'nodes that have this key and nodes that have not make no new sessions with each other: in a cluster that is in use, `--rotate add` avoids that',
    );
  } else {
    progress.info(GUIDANCE[step].step);
    progress.info(GUIDANCE[step].next);
  }
  return ExitCode.ok;
}

function stepOf({ next, rotate, recipients, pskFile, write }: SealOptions): RotationStep | 'first' {
  if (next && rotate !== undefined && rotate !== 'add') {
    throw usageError(`--next and --rotate ${rotate} are different steps`, 'Give one of them.');
  }
  if (recipients && (next || rotate !== undefined || pskFile !== undefined || write)) {
    throw usageError('--recipients prints keys and seals nothing', 'Give it with -f and --cluster alone.');
  }
  return rotate ?? (next ? 'add' : 'first');
}

async function fieldsOf(
  step: RotationStep | 'first',
  { cluster }: SealingTarget,
  members: readonly Member[],
  { io, options, progress }: Invocation<SealOptions>,
): Promise<SealedFields> {
  const { pskFile } = options;
  if (step === 'drop' || (step === 'swap' && cluster.psk !== undefined)) {
    if (pskFile !== undefined) throw usageError(`--rotate ${step} takes no key here`, 'Leave --psk-file away.');
    return step === 'drop' ? { nextPsk: null } : { psk: cluster.nextPsk ?? null, nextPsk: cluster.psk ?? null };
  }
  // What a cluster without spec.psk uses: the nodes' --psk-file, or zeros. It must be accepted for one more step.
  const fresh = (): Uint8Array => (step === 'swap' ? new Uint8Array(PSK_LEN) : Uint8Array.from(randomBytes(PSK_LEN)));
  const psk = pskFile === undefined ? fresh() : await readKey(io, pskFile, options);
  try {
    const { sealPsk } = await import('../../secrets/seal.ts');
    const sealed = await sealPsk(psk, members);
    const what = step === 'swap' ? 'the key that nodes use until now' : pskFile === undefined ? 'a new key' : 'the key';
    progress.done(`sealed ${what} for ${memberWords(members)}`);
    if (step === 'first') return { psk: sealed };
    return step === 'add' ? { nextPsk: sealed } : { psk: cluster.nextPsk ?? null, nextPsk: sealed };
  } finally {
    psk.fill(0);
  }
}

/** As `age -R` reads them: a line each, and comments. */
function renderRecipients(members: readonly Member[]): string {
  return members.map(({ peer, publicKey }) => `# peer/${peer}\n${ageRecipient(publicKey)}\n`).join('');
}
