import { DEFAULT_PRUNE_LIMIT } from '../reconcile/guards.ts';
import type { RolloutOptions } from '../reconcile/rollout/options.ts';
import type { RolloutRecord } from '../reconcile/rollout/record.ts';
import { Rollout } from '../reconcile/rollout/rollout.ts';
import type { EndpointResolver } from './dns.ts';
import { Gates } from './gates.ts';
import type { Parts } from './parts.ts';
import { createProber } from './probes/prober.ts';

export interface RolloutIngredients
  extends Pick<RolloutOptions, 'clock' | 'onEvent' | 'onTarget' | 'bootId'>,
    Pick<Parts, 'config' | 'node' | 'source' | 'store' | 'reconciler' | 'dataPlane' | 'manager' | 'peers'> {
  readonly record: RolloutRecord;
  readonly resolver: EndpointResolver;
}

/** The rollout of a real node: its disk, its data path, its windows and hooks. */
export function openRollout(ingredients: RolloutIngredients): Rollout {
  const { config, source, reconciler, dataPlane, manager, peers, clock, resolver } = ingredients;
  const { windows = [], busy, pruneLimit = DEFAULT_PRUNE_LIMIT } = config;
  return new Rollout({
    ...ingredients,
    pruneLimit,
    random: Math.random,
    probesSource: source.kind === 'git',
    sourceAddresses: () => (source.hosts ?? []).flatMap((host) => resolver.resolve(host) ?? []),
    gates: new Gates({ windows, wall: () => clock.wall(), now: () => clock.now(), ...(busy && { busy }) }),
    prober: createProber({
      dataPlane,
      echo: peers.echo,
      interfaceName: () => reconciler.target?.state.sessions?.interface,
      callAt: (peer, hints, signal) => manager.callAt(peer, hints, signal),
      source,
      setTimer: (delayMs, run) => clock.setTimer(delayMs, run),
    }),
  });
}
