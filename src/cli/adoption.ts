import { type AgentClient, connectAgent } from '../agent/client.ts';
import { ExitCode } from '../errors.ts';
import { type AgentOptions, agentSocket, connect, peerNames } from './agent.ts';
import { shortRevision } from './format.ts';
import type { OutputFormat } from './output.ts';
import type { Invocation } from './verb.ts';
import { type Conclusion, conclude, isTakenBack, newerConclusion } from './verdict.ts';
import { type ApplyView, operationTally, tally, writeObjectLines } from './views/apply.ts';
import { changeLines } from './views/changes.ts';
import { type StatusView, trialWords } from './views/rollout.ts';

const POLL_MS = 500;
const ANSWER_MS = 2_000;

export interface AdoptionOptions extends AgentOptions {
  readonly output: OutputFormat;
}

/** What verbs that ask for a revision have in common: waits for the verdict, prints what was done, and ends as `settle` says. */
export async function adopt(
  invocation: Invocation<AdoptionOptions>,
  request: {
    readonly kind: string;
    readonly starting: string;
    readonly follow: boolean;
    /** That the revision on trial is taken back is what was asked for. */
    readonly takesBack?: true;
    readonly ask: (client: AgentClient) => Promise<ApplyView>;
  },
): Promise<number> {
  const { io, options, out, progress } = invocation;
  const client = connect(invocation);
  const sinceMs = io.now();
  const report = await awaitReport(invocation, request.starting, () => request.ask(client));
  const { output } = options;
  const touched = report.objects.filter(({ verb }) => verb !== 'unchanged');
  if (output === 'json' || output === 'yaml') out.document(output, request.kind, report);
  else if (output === 'name') for (const { object } of touched) out.write(`${object}\n`);
  else {
    writeObjectLines(out, output === 'wide' ? report.objects : touched, '');
    if (report.changes.length > 0) {
      const layout = { style: out.style, width: out.width, indent: '  ' };
      const lines = changeLines(report.changes, peerNames(await client.objects(), report.peers), layout);
      out.write(`${lines.join('\n')}\n`);
    }
    out.write(`${tally(report.objects)}; ${operationTally(report.changes)}\n`);
  }
  if (request.takesBack && isTakenBack(report)) {
    progress.done(`${shortRevision(report.revision.label)} is taken back, and quarantined`);
    return ExitCode.ok;
  }
  return settle(invocation, report, { client, follow: request.follow, sinceMs });
}

/** Waits for the agent's report, and says meanwhile on stderr how the trial goes. */
export async function awaitReport(
  { io, options, progress }: Invocation<AgentOptions>,
  starting: string,
  ask: () => Promise<ApplyView>,
): Promise<ApplyView> {
  progress.step(starting);
  const answered = new AbortController();
  const signal = AbortSignal.any([io.signal, answered.signal]);
  const onlooker = connectAgent({ socket: agentSocket({ io, options }), timeoutMs: ANSWER_MS, signal });
  const looking = tell(onlooker, {
    // Elsewhere than on a terminal lines stay: one for each change is enough.
    live: io.stderr.isTTY,
    say: (text) => progress.step(text),
    sleep: () => io.sleep(POLL_MS, signal),
  });
  try {
    return await ask();
  } catch (error) {
    if (io.signal.aborted) progress.info('the agent goes on by itself: see omni status');
    throw error;
  } finally {
    answered.abort();
    await looking;
    progress.clear();
  }
}

interface Onlooker {
  readonly live: boolean;
  readonly say: (text: string) => void;
  /** Rejects once there is nothing to wait for any more. */
  readonly sleep: () => Promise<void>;
}

async function tell(client: AgentClient, { live, say, sleep }: Onlooker): Promise<void> {
  let said = '';
  for (;;) {
    try {
      await sleep();
    } catch {
      return;
    }
    // Where the agent does not answer, whoever waits for the report learns it, and says so.
    const rollout = await client.rollout().catch(() => undefined);
    if (rollout?.trial === undefined) continue;
    const { revision, probes } = rollout.trial;
    const text = `trying ${shortRevision(revision.label)}: ${trialWords(rollout.trial)}`;
    const state = live ? text : JSON.stringify([revision.id, probes.map(({ id, state: how }) => [id, how])]);
    if (state === said) continue;
    said = state;
    say(text);
  }
}

export interface Settling {
  readonly client: AgentClient;
  /** The request that was answered named no revision: where a newer one came first, that one's verdict counts. */
  readonly follow: boolean;
  /** When it was asked for, milliseconds since 1970. */
  readonly sinceMs: number;
}

/** The exit code of a report, or the error that it amounts to. */
export async function settle(
  { io, options, progress }: Invocation<AgentOptions>,
  { revision, verdict, ready }: ApplyView,
  { client, follow, sinceMs }: Settling,
): Promise<number> {
  if (verdict?.outcome !== 'preempted' || !follow) return conclude({ revision, verdict, ready }, progress);
  progress.info(`a newer revision came before the verdict on ${shortRevision(revision.label)}: waiting for its own`);
  for (;;) {
    const status = await client.status();
    const newer = newerConclusion(status, { revision, sinceMs });
    if (newer !== undefined) return conclude(newer, progress);
    if (io.now() >= sinceMs + options.timeout) return conclude(undecided(status, revision), progress);
    await io.sleep(POLL_MS, io.signal);
  }
}

function undecided({ rollout: { trial } }: StatusView, preempted: Conclusion['revision']): Conclusion {
  const verdict =
    trial === undefined
      ? ({ outcome: 'preempted', reason: 'Superseded', message: 'nothing came of that one yet' } as const)
      : ({ outcome: 'trial', reason: 'Probation', message: trialWords(trial) } as const);
  return { revision: trial?.revision ?? preempted, verdict, ready: false };
}
