import { ExitCode, OmniError } from '../errors.ts';
import { requireNoHold, requireQuiet } from '../reconcile/rollout/people.ts';
import type { HoldRequest, RolloutReport } from './api.ts';
import { isClockSet } from './clock-set.ts';
import type { Parts } from './parts.ts';
import { ApiFailure } from './server.ts';

/** What keeps a node from new revisions for a while, and from doing anything at all. */
export class Pauses {
  readonly #parts: Pick<Parts, 'rollout' | 'follower' | 'now'>;

  constructor(parts: Pick<Parts, 'rollout' | 'follower' | 'now'>) {
    this.#parts = parts;
  }

  async hold({ reason, until, replace }: HoldRequest): Promise<RolloutReport> {
    const { rollout } = this.#parts;
    if (!replace) conflict(() => requireNoHold(rollout.state));
    if (until !== undefined && !isClockSet(this.#parts.now())) throw clockNotSet(this.#now());
    const hold = { reason, since: this.#now(), ...(until === undefined ? {} : { until }) };
    await rollout.command({ type: 'hold', hold });
    return rollout.report();
  }

  async release(): Promise<RolloutReport> {
    const { rollout } = this.#parts;
    await rollout.command({ type: 'release' });
    return rollout.report();
  }

  async suspend(reason: string): Promise<RolloutReport> {
    const { rollout } = this.#parts;
    conflict(() => requireQuiet(rollout.state));
    await rollout.command({ type: 'suspend', reason });
    return rollout.report();
  }

  async resume(): Promise<RolloutReport> {
    const { rollout, follower } = this.#parts;
    await rollout.command({ type: 'resume' });
    follower.look();
    return rollout.report();
  }

  #now(): string {
    return new Date(this.#parts.now()).toISOString();
  }
}

/** The hold would end as soon as somebody sets the clock. */
function clockNotSet(time: string): ApiFailure {
  return new ApiFailure(
    409,
    new OmniError(`this node's clock says ${time}: a hold until some time would end when it is set`, {
      code: 'clock-not-set',
      class: 'wait',
      exitCode: ExitCode.usage,
      fix: 'Set the clock (timedatectl), or hold without --until and run omni release afterwards.',
    }),
  );
}

/** 409 where things stand otherwise. */
function conflict(check: () => void): void {
  try {
    check();
  } catch (error) {
    throw error instanceof OmniError ? new ApiFailure(409, error) : error;
  }
}
