import { resolve } from 'node:path';
import { Command } from 'commander';
import { ExitCode } from '../../errors.ts';
import type { Cluster } from '../../manifest/model.ts';
import { type Member, membersOf } from '../../secrets/members.ts';
import type { SealedPlace } from '../../secrets/open.ts';
import { readIdentity } from '../../session/identity.ts';
import { readNextIdentity } from '../../session/next-identity.ts';
import { usageError } from '../errors.ts';
import { addIdentityFlags, addManifestFlags, Flag, type IdentityOptions, identityPath } from '../options.ts';
import { type ClusterOptions, sealingTarget, writeSealedFields } from '../sealing/fleet-files.ts';
import { readKey } from '../sealing/key-input.ts';
import type { SealedFields } from '../sealing/manifest-edit.ts';
import { memberWords, renderSealedFields } from '../sealing/output.ts';
import { plural } from '../text.ts';
import { type Cli, handleVerb, type Invocation } from '../verb.ts';

interface ResealOptions extends ClusterOptions, IdentityOptions {
  readonly pskFile?: string;
  readonly write: boolean;
}

export function resealCommand(cli: Cli): Command {
  const command = new Command('reseal')
    .summary("Encrypt a cluster's pre-shared key for the peers that it has now")
    .description(
      "Opens a cluster's pre-shared keys with this node's identity, or takes the key of --psk-file, and encrypts them for the peers that the manifests have now. Nodes notice nothing: the key stays the same.",
    );
  addManifestFlags(command).addOption(new Flag('--cluster <name>', 'the Cluster; needed where there are several'));
  addIdentityFlags(command)
    .addOption(
      new Flag('--psk-file <file>', "the key of spec.psk, mode 0600; '-' is stdin; no identity is read then", {
        completes: 'path',
      }),
    )
    .addOption(new Flag('--write', "edit the Cluster's file in place", { default: false }))
    .addHelpText('after', '\nExample:\n  sudo omni reseal -f fleet/ --cluster warehouse --write');
  return handleVerb<ResealOptions>(cli, command, reseal);
}

async function reseal(invocation: Invocation<ResealOptions>): Promise<number> {
  const { io, options, out, progress } = invocation;
  const target = await sealingTarget(invocation);
  const { fleet, cluster } = target;
  const object = `cluster/${cluster.metadata.name}`;
  if (cluster.psk === undefined && cluster.nextPsk === undefined) {
    throw usageError(`${object} has no sealed key`, 'Make one with `omni seal`.');
  }
  const members = membersOf(fleet, cluster);
  if (members.length === 0) throw usageError(`${object} has no peers to seal a key for`, 'Commit its Peers first.');
  const fields = await fieldsOf(invocation, cluster, members);
  if (!options.write) {
    out.write(renderSealedFields(fields));
    return ExitCode.ok;
  }
  const path = await writeSealedFields(io, target, fields);
  out.write(`${object} configured\n`);
  progress.done(`wrote ${path}`);
  progress.info('commit it');
  return ExitCode.ok;
}

async function fieldsOf(
  invocation: Invocation<ResealOptions>,
  cluster: Cluster,
  members: readonly Member[],
): Promise<SealedFields> {
  // Loaded when called: most verbs encrypt nothing.
  const { countRecipients } = await import('../../secrets/census.ts');
  const { progress } = invocation;
  const fields: { psk?: string; nextPsk?: string } = {};
  for (const field of ['psk', 'nextPsk'] as const) {
    const sealed = cluster[field];
    if (sealed === undefined) continue;
    const psk = await openField(invocation, sealed, { cluster: cluster.metadata.name, field });
    if (psk === undefined) {
      progress.warn(`spec.${field} stays as it is: --psk-file is the key of spec.psk`);
      continue;
    }
    fields[field] = await sealedAgain(psk, members);
    // Whose keys it was for, an age file does not tell.
    const count = countRecipients(sealed);
    const before = count === undefined ? 'it was damaged before' : `it was for ${plural(count, 'key')} before`;
    progress.done(`spec.${field}: sealed for ${memberWords(members)}; ${before}`);
  }
  return fields;
}

/** Undefined: nothing at hand says what is in it. */
async function openField(
  { io, options }: Invocation<ResealOptions>,
  sealed: string,
  place: SealedPlace,
): Promise<Uint8Array | undefined> {
  const { pskFile } = options;
  if (pskFile !== undefined) return place.field === 'psk' ? readKey(io, pskFile, options) : undefined;
  const path = resolve(io.cwd, identityPath(options));
  const next = readNextIdentity(path);
  const identities = [readIdentity(path), ...(next === undefined ? [] : [next])];
  const { openPsk } = await import('../../secrets/open.ts');
  return openPsk(
    sealed,
    identities.map(({ keyPair }) => keyPair),
    place,
  );
}

async function sealedAgain(psk: Uint8Array, members: readonly Member[]): Promise<string> {
  const { sealPsk } = await import('../../secrets/seal.ts');
  try {
    return await sealPsk(psk, members);
  } finally {
    psk.fill(0);
  }
}
