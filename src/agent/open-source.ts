import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { ExitCode, OmniError } from '../errors.ts';
import { systemClock } from '../source/clock.ts';
import { openDirectorySource } from '../source/directory.ts';
import { openGitSource } from '../source/git.ts';
import { isUnauthenticated, type RemoteOptions } from '../source/git-remotes.ts';
import { defaultLimits } from '../source/limits.ts';
import { sandboxHidesFiles } from '../source/sandbox.ts';
import type { Source } from '../source/source.ts';
import { sourceInvalid } from '../source/url.ts';
import { AppliedSource } from './applied.ts';
import type { AgentConfig } from './config.ts';
import type { Log } from './log.ts';

const NAME_REMOTES = 'Name git remotes, or do without';

/**
 * The source that the configuration names; `publicKey` (the node's, 32 bytes) spreads the polls of a fleet. Throws
 * `source-invalid` for what cannot be one, `source-unauthenticated` (exit code 2) for what nobody vouches for; asks
 * nobody yet.
 */
export function openSource(config: AgentConfig, publicKey: Uint8Array): Source {
  const { source, verify } = config;
  const signed = verify !== undefined && (verify.commits !== 'off' || verify.tag);
  if (source?.kind !== 'git') {
    const what = source === undefined ? 'what omni apply hands over' : 'a folder';
    if (signed) throw sourceInvalid(`signatures are asked for, and ${what} has none`, `${NAME_REMOTES} verify.`);
    if (config.webhook !== undefined)
      throw sourceInvalid(`a webhook is of no use to ${what}`, `${NAME_REMOTES} webhook.`);
  }
  if (source === undefined) return new AppliedSource(config.stateDir);
  const common = {
    intervalMs: config.intervalMs,
    limits: { ...defaultLimits, ...config.limits },
    random: Math.random,
    clock: systemClock,
  };
  if (source.kind === 'directory') return openDirectorySource({ ...common, path: join(source.path, config.path) });
  const followed = openGitSource({
    ...common,
    remotes: source.remotes,
    ref: config.ref,
    path: config.path,
    phase: phaseOf(publicKey),
    cacheDir: join(config.stateDir, 'git'),
    sandbox: config.sandbox,
    ...(signed ? { verify } : {}),
  });
  if (!signed && config.insecureSource !== true) refuseUnauthenticated(source.remotes);
  return followed;
}

function refuseUnauthenticated(remotes: readonly RemoteOptions[]): void {
  const open = remotes.filter(({ url }) => isUnauthenticated(url));
  if (open.length === 0) return;
  const names = open.map(({ url }) => url).join(', ');
  throw new OmniError(`${names} would be followed without authentication: whoever is on the path decides`, {
    code: 'source-unauthenticated',
    class: 'stall',
    exitCode: ExitCode.usage,
    fix: 'Use https or ssh; or ask for signatures in spec.source.verify of the AgentConfig; or, where nobody else is on the path, say --insecure-source (spec.source.insecure: true).',
  });
}

/** What speaks against the source, and is no reason not to follow it: into the log, once. */
export async function logWarnings(source: Source, { sandbox }: AgentConfig, log: Log): Promise<void> {
  for (const warning of source.warnings?.() ?? []) log('warn', warning);
  if (source.kind !== 'git' || (await sandboxHidesFiles(sandbox))) return;
  log('warn', 'the kernel has no Landlock: git could read every file that this agent can, its key among them', {
    fix: 'Boot Linux 5.13 or later with CONFIG_SECURITY_LANDLOCK, and landlock in its lsm= list.',
  });
}

/** In [0, 1): of its own for each node, and the same at each start. */
function phaseOf(publicKey: Uint8Array): number {
  return createHash('sha256').update(publicKey).digest().readUInt32BE() / 2 ** 32;
}
