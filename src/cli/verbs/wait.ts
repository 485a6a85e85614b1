import { Command } from 'commander';
import { connectAgent } from '../../agent/client.ts';
import { ExitCode, OmniError } from '../../errors.ts';
import { formatDuration } from '../../manifest/duration.ts';
import { type AgentOptions, agentSocket } from '../agent.ts';
import { checkGoal, type Goal, type Judgement, judge, parseGoal, type Reading } from '../goal.ts';
import { parseObjectRef } from '../kinds.ts';
import { durationFlag, Flag, Operand, socketFlag } from '../options.ts';
import { readAgain } from '../polling.ts';
import { type Cli, handleVerb, type Invocation } from '../verb.ts';

interface WaitOptions extends AgentOptions {
  readonly for: string;
}

/** For one look; the agent may be busy. */
const ANSWER_MS = 10_000;

export function waitCommand(cli: Cli): Command {
  const command = new Command('wait')
    .summary('Wait for a condition')
    .description(
      'Waits until the node, or each of these objects, has a condition, until this node has a revision as last known good, or until objects are gone. Exits 4 when the time is up.',
    )
    .addArgument(new Operand('[objects...]', 'peer/NAME, vip/NAME, cluster/NAME or node; default: node', 'objects'))
    .addOption(
      new Flag('--for <what>', 'condition=Ready, condition=Ready=False, revision=COMMIT or delete', {
        default: 'condition=Ready',
      }),
    )
    .addOption(socketFlag())
    .addOption(durationFlag('--timeout <duration>', 'how long to wait; 0s looks once', '5m'))
    .addHelpText('after', '\nExample:\n  git push && omni wait --for=revision=$(git rev-parse HEAD)');
  return handleVerb<WaitOptions>(cli, command, wait);
}

async function wait(invocation: Invocation<WaitOptions>): Promise<number> {
  const { io, options, args, out, progress } = invocation;
  const goal = parseGoal(options.for);
  const pending = new Set((args.length === 0 ? ['node'] : args).map(targetOf));
  for (const target of pending) checkGoal(goal, target);
  const deadlineMs = io.now() + options.timeout;
  const polling = { io, progress, signal: io.signal, patient: true, deadlineMs };
  let last: { readonly target: string; readonly judgement?: Judgement } | undefined;
  let said = '';
  for await (const reading of readAgain(readerOf(invocation, goal, pending), polling)) {
    for (const target of [...pending]) {
      const judgement = reading === undefined ? undefined : judge(goal, target, reading);
      if (judgement?.met) {
        progress.clear();
        out.write(`${target} condition met\n`);
        pending.delete(target);
      } else last = { target, ...(judgement === undefined ? {} : { judgement }) };
    }
    if (pending.size === 0) return ExitCode.ok;
    const text = last?.judgement === undefined ? '' : `waiting for ${last.target}: ${last.judgement.short}`;
    if (text !== '' && text !== said) progress.step(text);
    said = text;
  }
  throw timedOut(last?.target ?? 'node', last?.judgement, options.timeout);
}

function targetOf(text: string): string {
  return text === 'node' ? text : parseObjectRef(text);
}

/** Asks only for what the targets need. */
function readerOf(
  { io, options }: Invocation<WaitOptions>,
  goal: Goal,
  targets: ReadonlySet<string>,
): () => Promise<Reading> {
  const client = connectAgent({ socket: agentSocket({ io, options }), timeoutMs: ANSWER_MS, signal: io.signal });
  return async () => {
    const objects = [...targets].some((target) => target !== 'node') ? await client.objects() : undefined;
    const status = goal.kind === 'revision' || targets.has('node') ? await client.status() : undefined;
    return { ...(objects === undefined ? {} : { objects }), ...(status === undefined ? {} : { status }) };
  };
}

function timedOut(target: string, judgement: Judgement | undefined, timeoutMs: number): OmniError {
  const why = judgement?.full ?? 'no agent answers';
  const after = timeoutMs === 0 ? 'the condition is not met' : `timed out after ${formatDuration(timeoutMs)}`;
  return new OmniError(`${after}: ${target}: ${why}`, {
    code: 'wait-timeout',
    class: 'wait',
    exitCode: ExitCode.stale,
    fix: wayOut(target, judgement),
  });
}

function wayOut(target: string, judgement: Judgement | undefined): string {
  if (judgement === undefined) return 'Start it with `omni agent`, or name its socket with --socket.';
  return target === 'node' ? 'See `omni status`.' : `See \`omni describe ${target}\`.`;
}
