import { join } from 'node:path';
import { systemClock } from '../source/clock.ts';
import { openDirectorySource } from '../source/directory.ts';
import { openGitSource } from '../source/git.ts';
import { defaultLimits } from '../source/limits.ts';
import type { Source } from '../source/source.ts';
import { AppliedSource } from './applied.ts';
import type { AgentConfig } from './config.ts';

/** The source that the configuration names. Throws `source-invalid` for what cannot be one; asks nobody yet. */
export function openSource(config: AgentConfig): Source {
  const { source } = config;
  if (source === undefined) return new AppliedSource(config.stateDir);
  const common = {
    intervalMs: config.intervalMs,
    limits: { ...defaultLimits, ...config.limits },
    random: Math.random,
    clock: systemClock,
  };
  if (source.kind === 'directory') return openDirectorySource({ ...common, path: join(source.path, config.path) });
  const [remote] = source.remotes;
  const cacheDir = join(config.stateDir, 'git');
  return openGitSource({ ...common, url: remote?.url ?? '', ref: config.ref, path: config.path, cacheDir });
}
