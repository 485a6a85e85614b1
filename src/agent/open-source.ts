import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { systemClock } from '../source/clock.ts';
import { openDirectorySource } from '../source/directory.ts';
import { openGitSource } from '../source/git.ts';
import { defaultLimits } from '../source/limits.ts';
import type { Source } from '../source/source.ts';
import { sourceInvalid } from '../source/url.ts';
import { AppliedSource } from './applied.ts';
import type { AgentConfig } from './config.ts';

const NAME_REMOTES = 'Name git remotes, or do without';

/**
 * The source that the configuration names; `publicKey` (the node's, 32 bytes) spreads the polls of a fleet. Throws
 * `source-invalid` for what cannot be one; asks nobody yet.
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
  return openGitSource({
    ...common,
    remotes: source.remotes,
    ref: config.ref,
    path: config.path,
    phase: phaseOf(publicKey),
    cacheDir: join(config.stateDir, 'git'),
    sandbox: config.sandbox,
    ...(signed ? { verify } : {}),
  });
}

/** In [0, 1): of its own for each node, and the same at each start. */
function phaseOf(publicKey: Uint8Array): number {
  return createHash('sha256').update(publicKey).digest().readUInt32BE() / 2 ** 32;
}
