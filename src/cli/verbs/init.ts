import { resolve } from 'node:path';
import { Command } from 'commander';
import { ExitCode, OmniError } from '../../errors.ts';
import { fingerprint } from '../../manifest/keys.ts';
import { ageIdentity, ageRecipient } from '../../secrets/recipients.ts';
import { createIdentity, type Identity, readIdentity, writeIdentity } from '../../session/identity.ts';
import { usageError } from '../errors.ts';
import { checkNodeDocuments, type NodeDocuments, renderNodeDocuments } from '../node-documents.ts';
import { addIdentityFlags, Flag, type IdentityOptions, identityPath } from '../options.ts';
import { type Cli, handleVerb, type Invocation } from '../verb.ts';

interface InitOptions extends IdentityOptions {
  readonly existing: boolean;
  readonly name?: string;
  readonly cluster?: string;
  readonly address?: readonly string[];
  readonly endpoint?: readonly string[];
  readonly keepalive?: string;
  readonly labels?: readonly string[];
  readonly age?: 'recipient' | 'identity';
}

export function initCommand(cli: Cli): Command {
  const command = new Command('init')
    .summary("Make this node's identity; print its key or documents")
    .description(
      "Makes this node's identity and prints its public key or, with --name, --cluster and --address, the Peer and VIP documents to commit. Never overwrites a key.",
    );
  addIdentityFlags(command)
    .addOption(new Flag('--existing', 'make nothing: print for the identity that is there already', { default: false }))
    .addOption(new Flag('--name <name>', "the Peer's name; with --cluster and --address documents are printed"))
    .addOption(new Flag('--cluster <name>', 'the Cluster that the node joins'))
    .addOption(
      new Flag('--address <addresses>', 'its addresses in the cluster, comma-separated: a VIP each', {
        repeatable: true,
      }),
    )
    .addOption(
      new Flag('--endpoint <endpoints>', 'where others reach it, as in 203.0.113.7:51820', { repeatable: true }),
    )
    .addOption(new Flag('--keepalive <duration>', 'for nodes behind NAT, as in 25s'))
    .addOption(new Flag('--labels <labels>', 'labels of the Peer, as in site=munich,role=amr', { repeatable: true }))
    .addOption(
      new Flag(
        '--age <form>',
        'print the key as the age program takes it: to encrypt for this node, or its SECRET one',
        {
          choices: ['recipient', 'identity'],
        },
      ),
    )
    .addHelpText(
      'after',
      '\nExample:\n  omni init --name robot-17 --cluster warehouse --address 10.77.0.17 \\\n    > fleet/robot-17.yaml',
    );
  return handleVerb<InitOptions>(cli, command, init);
}

async function init({ io, options, out, progress }: Invocation<InitOptions>): Promise<number> {
  const path = resolve(io.cwd, identityPath(options));
  const identity = options.existing ? readIdentity(path) : createIdentity();
  const documents = documentsOf(options, identity);
  if (documents !== undefined && options.age !== undefined) {
    throw usageError('--age prints a key, and no documents', 'Leave --name, --cluster and --address away.');
  }
  // Whatever is wrong with the flags shows before a key is made.
  if (documents !== undefined) await checkNodeDocuments(documents);
  if (!options.existing) {
    writeNew(path, identity);
    progress.done(`made ${path}, public key ${fingerprint(identity.publicKey)}`);
  }
  if (documents === undefined) {
    out.write(`${keyText(identity, options.age)}\n`);
  } else {
    out.write(renderNodeDocuments(documents));
    if (!io.stdout.isTTY) return ExitCode.ok;
    progress.info("commit these documents to the fleet's repository; '> fleet/NAME.yaml' writes them to a file");
  }
  return ExitCode.ok;
}

function keyText(identity: Identity, form: InitOptions['age']): string {
  if (form === undefined) return identity.publicKey;
  if (form === 'recipient') return ageRecipient(identity.publicKey);
  const seed = identity.seed();
  try {
    return ageIdentity(seed);
  } finally {
    seed.fill(0);
  }
}

function writeNew(path: string, identity: Identity): void {
  try {
    writeIdentity(path, identity);
  } catch (error) {
    if (!(error instanceof OmniError) || error.code !== 'identity-exists') throw error;
    throw new OmniError(error.message, {
      code: error.code,
      class: error.class,
      exitCode: ExitCode.usage,
      fix: 'Print it with `omni init --existing`; to make another node, name another file with --identity.',
      cause: error,
    });
  }
}

function documentsOf(options: InitOptions, identity: Identity): NodeDocuments | undefined {
  const { name, cluster, address, endpoint, keepalive, labels } = options;
  if (name === undefined || cluster === undefined || address === undefined) {
    const given = { name, cluster, address, endpoint, keepalive, labels };
    const present = Object.entries(given).filter(([, value]) => value !== undefined);
    if (present.length === 0) return undefined;
    const missing = ['name', 'cluster', 'address'].filter((flag) => !present.some(([key]) => key === flag));
    throw usageError(
      `documents need ${missing.map((flag) => `--${flag}`).join(' and ')} besides ${present.map(([key]) => `--${key}`).join(', ')}`,
      'Give --name, --cluster and --address together, or none of them for the public key alone.',
    );
  }
  return {
    name,
    cluster,
    publicKey: identity.publicKey,
    addresses: listOf(address),
    endpoints: listOf(endpoint),
    labels: labelsOf(listOf(labels)),
    ...(keepalive === undefined ? {} : { keepalive }),
  };
}

function listOf(values: readonly string[] | undefined): string[] {
  return (values ?? []).flatMap((value) => value.split(',')).map((value) => value.trim());
}

function labelsOf(pairs: readonly string[]): Record<string, string> {
  return Object.fromEntries(
    pairs.map((pair) => {
      const equals = pair.indexOf('=');
      if (equals <= 0) throw usageError(`the label '${pair}' has no value`, 'Write `--labels key=value,key=value`.');
      return [pair.slice(0, equals), pair.slice(equals + 1)];
    }),
  );
}
