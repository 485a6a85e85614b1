import { resolve } from 'node:path';
import { Command } from 'commander';
import { ExitCode, OmniError } from '../../errors.ts';
import { fingerprint } from '../../manifest/keys.ts';
import { type Identity, readIdentity } from '../../session/identity.ts';
import {
  discardNextIdentity,
  makeNextIdentity,
  nextIdentityPath,
  promoteNextIdentity,
  readNextIdentity,
} from '../../session/next-identity.ts';
import { type AgentOptions, addAgentFlags } from '../agent.ts';
import { usageError } from '../errors.ts';
import { addIdentityFlags, Flag, type IdentityOptions, identityPath, outputFlag } from '../options.ts';
import type { OutputFormat } from '../output.ts';
import { type InForce, inForceOf, type Trusted, trusted } from '../rotation/in-force.ts';
import { COMMITS, type Stage, type Step, stageOf } from '../rotation/stage.ts';
import { renderStage, resealHint, sourceText } from '../rotation/text.ts';
import { type Cli, handleVerb, type Invocation } from '../verb.ts';

interface RotateOptions extends IdentityOptions, AgentOptions {
  readonly status: boolean;
  readonly finish: boolean;
  readonly abort: boolean;
  readonly output: Extract<OutputFormat, 'table' | 'json' | 'yaml'>;
}

type Rotation = Invocation<RotateOptions>;

export function rotateCommand(cli: Cli): Command {
  const command = new Command('rotate')
    .summary("Change this node's key; say what to commit next")
    .description(
      "Makes this node's next key beside identity.key, and says what to commit: three commits, one after another, each once every node has the one before. Called again, it says where this node is. No packet is lost on the way.",
    );
  addIdentityFlags(command)
    .addOption(new Flag('--status', 'make nothing: say where this node is', { default: false }))
    .addOption(
      new Flag('--finish', 'the next key takes the place of identity.key; the old one is wiped', { default: false }),
    )
    .addOption(new Flag('--abort', 'remove the next key, as long as no Peer names it', { default: false }))
    .addOption(outputFlag(['table', 'json', 'yaml']));
  addAgentFlags(command, '2s').addHelpText(
    'after',
    '\nExample:\n  omni rotate            # and commit what it prints; the same twice more\n  omni rotate --finish',
  );
  return handleVerb<RotateOptions>(cli, command, rotate);
}

interface Held {
  readonly path: string;
  readonly identity: Identity;
  readonly next: Identity | undefined;
}

async function rotate(invocation: Rotation): Promise<number> {
  const { io, options } = invocation;
  if ([options.status, options.finish, options.abort].filter(Boolean).length > 1) {
    throw usageError('--status, --finish and --abort are three different things', 'Give one of them.');
  }
  const path = resolve(io.cwd, identityPath(options));
  const held: Held = { path, identity: readIdentity(path), next: readNextIdentity(path) };
  requireTwoKeys(held);
  const inForce = await inForceOf({ io, options, held: keysOf(held) });
  if (options.finish) return finish(invocation, held, inForce);
  if (options.abort) return abort(invocation, held, inForce);
  return next(invocation, held, inForce);
}

function requireTwoKeys({ path, identity, next }: Held): void {
  if (identity.publicKey !== next?.publicKey) return;
  const file = nextIdentityPath(path);
  throw new OmniError(`${file} is a copy of ${path}: no key to go over to`, {
    code: 'next-key-copied',
    class: 'stall',
    exitCode: ExitCode.usage,
    fix: `Remove it, \`rm ${file}\`, and run \`omni rotate\` to make one.`,
  });
}

function keysOf({ identity, next }: Pick<Held, 'identity' | 'next'>) {
  return { publicKey: identity.publicKey, ...(next === undefined ? {} : { nextPublicKey: next.publicKey }) };
}

/** What is to be done now; at the very beginning, the next key is made. */
async function next(invocation: Rotation, held: Held, inForce: InForce | undefined): Promise<number> {
  const { options, out, progress } = invocation;
  const made = held.next === undefined && !options.status;
  // Whatever speaks against it shows before a key is made.
  stageOf(keysOf(held), inForce?.keys);
  const now = made ? { ...held, next: makeNextIdentity(held.path) } : held;
  const stage = stageOf(keysOf(now), inForce?.keys);
  if (made && now.next !== undefined) {
    progress.done(`made ${nextIdentityPath(held.path)}, public key ${fingerprint(now.next.publicKey)}`);
  }
  if (options.output !== 'table') {
    out.document(options.output, 'Rotation', documentOf(stage, now, inForce));
    return ExitCode.ok;
  }
  out.write(renderStage(stage, inForce));
  progress.info(sourceText(inForce));
  if (!made && now.next !== undefined && lacks(inForce, now.next)) {
    progress.warn('the agent does not go by the next key yet: see its log');
  }
  if (stage.spec !== undefined)
    progress.info('once every node has that commit (omni status tells), run omni rotate again');
  return ExitCode.ok;
}

/** The agent said who it is, and it is not this as well. */
function lacks(inForce: InForce | undefined, { publicKey }: Identity): boolean {
  const { agent } = inForce ?? {};
  return agent !== undefined && agent.publicKey !== publicKey && agent.nextPublicKey !== publicKey;
}

function documentOf(stage: Stage, held: Pick<Held, 'identity' | 'next'>, inForce: InForce | undefined): object {
  const commit = COMMITS.indexOf(stage.step) + 1;
  return {
    ...keysOf(held),
    step: stage.step,
    ...(commit === 0 ? {} : { commit }),
    ...(stage.spec === undefined ? {} : { spec: stage.spec, reseal: resealHint(stage, inForce).length > 0 }),
    ...(inForce === undefined
      ? {}
      : {
          inForce: {
            revision: inForce.revision,
            from: inForce.from,
            peer: inForce.peer,
            position: inForce.position,
            keys: { publicKey: inForce.keys.publicKey, nextPublicKey: inForce.keys.nextPublicKey },
          },
        }),
  };
}

const NOT_YET: Readonly<Record<Exclude<Step, 'finish'>, string>> = {
  begin: 'there is no next key',
  announce: 'the revision in force does not know the next key yet',
  swap: 'the revision in force still calls this node by its old key',
  drop: 'the revision in force still takes the old key',
};

async function finish(invocation: Rotation, held: Held, inForce: InForce | undefined): Promise<number> {
  const { out, progress, options } = invocation;
  requireFinished(stageOf(keysOf(held), inForce?.keys));
  if (held.next === undefined) throw refused('rotation-unfinished', NOT_YET.begin, 'Begin with `omni rotate`.');
  await requireOpens(held.next, await trustedInForce(invocation, held, inForce));
  promoteNextIdentity(held.path);
  const [now, old] = [held.next.publicKey, held.identity.publicKey];
  progress.done(`${held.path} holds ${fingerprint(now)} now; ${fingerprint(old)} was wiped`);
  if (options.output === 'table') out.write(`${now}\n`);
  else out.document(options.output, 'Rotation', { publicKey: now, step: 'done', wiped: old });
  return ExitCode.ok;
}

function requireFinished({ step }: Stage): void {
  if (step === 'finish') return;
  throw refused('rotation-unfinished', NOT_YET[step], 'Run `omni rotate`: it says what to commit.');
}

const LOOK_AGAIN_MS = 100;

/** A start without a network must not need the old key either. A revision is on disk a moment after it is trusted. */
async function trustedInForce({ io, options }: Rotation, held: Held, inForce: InForce | undefined): Promise<Trusted> {
  const question = { io, options, held: keysOf(held) };
  const deadlineMs = io.now() + options.timeout;
  for (;;) {
    const found = await trusted(question);
    if (found !== undefined && found.inForce.revision === inForce?.revision) return found;
    if (io.now() >= deadlineMs) {
      throw refused(
        'rotation-untrusted',
        `this node does not trust ${inForce?.revision} yet: it would boot into ${found?.inForce.revision ?? 'no revision'}`,
        'Wait until its trial has passed (`omni status`), and run this again.',
      );
    }
    await io.sleep(LOOK_AGAIN_MS, io.signal);
  }
}

/** Once the old key is gone, the next one alone opens what the clusters sealed. */
async function requireOpens({ keyPair }: Identity, { clusters }: Trusted): Promise<void> {
  if (clusters.length === 0) return;
  const { openPsk } = await import('../../secrets/open.ts');
  for (const { metadata, ...cluster } of clusters) {
    for (const field of ['psk', 'nextPsk'] as const) {
      const sealed = cluster[field];
      if (sealed !== undefined) (await openPsk(sealed, [keyPair], { cluster: metadata.name, field })).fill(0);
    }
  }
}

async function abort({ out, progress, options }: Rotation, held: Held, inForce: InForce | undefined): Promise<number> {
  const file = nextIdentityPath(held.path);
  if (held.next === undefined)
    throw refused('no-next-key', `there is no ${file}`, 'Begin with `omni rotate`: there is nothing to give up.');
  const { publicKey } = held.next;
  if (inForce?.keys.publicKey === publicKey || inForce?.keys.nextPublicKey === publicKey) {
    throw refused(
      'next-key-in-use',
      `peer/${inForce.peer} of ${inForce.revision} names the next key, ${fingerprint(publicKey)}`,
      `Commit the Peer with publicKey: ${held.identity.publicKey} alone, and wait until it is in force here.`,
    );
  }
  discardNextIdentity(held.path);
  progress.done(`removed ${file}`);
  const { publicKey: own } = held.identity;
  if (options.output === 'table') out.write(`${own}\n`);
  else out.document(options.output, 'Rotation', { publicKey: own, step: 'begin', wiped: publicKey });
  return ExitCode.ok;
}

function refused(code: string, message: string, fix: string): OmniError {
  return new OmniError(message, { code, class: 'wait', exitCode: ExitCode.usage, fix });
}
