import { Command } from 'commander';
import { ExitCode } from '../../errors.ts';
import { type AgentOptions, addAgentFlags, connect } from '../agent.ts';
import { usageError } from '../errors.ts';
import { Flag, outputFlag } from '../options.ts';
import type { OutputFormat } from '../output.ts';
import { parseUntil } from '../time.ts';
import { type Cli, handleVerb } from '../verb.ts';
import { untilWords } from '../views/rollout.ts';

interface HoldOptions extends AgentOptions {
  readonly reason?: string;
  readonly until?: string;
  readonly replace: boolean;
  readonly output: Extract<OutputFormat, 'table' | 'json' | 'yaml'>;
}

export function holdCommand(cli: Cli): Command {
  const command = new Command('hold')
    .summary('Adopt no new revision for a while')
    .description(
      'Keeps this node on the revision that it has, which it goes on healing, and adopts no new one until `omni release` or the time of --until.',
    )
    .addOption(new Flag('--reason <text>', 'why, for whoever meets it'))
    .addOption(new Flag('--until <time>', "when it ends by itself: '2h', '18:30' or RFC 3339"))
    .addOption(new Flag('--replace', 'in place of a hold that is in force', { default: false }))
    .addOption(outputFlag(['table', 'json', 'yaml']))
    .addHelpText('after', "\nExample:\n  omni hold --reason 'mission 12' --until 18:30");
  addAgentFlags(command, '10s');
  return handleVerb<HoldOptions>(cli, command, async ({ io, options, out }) => {
    const { reason = '', until, replace, output } = options;
    if (reason.trim() === '') {
      throw usageError('a hold needs a reason', "Say why, as in `omni hold --reason 'mission 12' --until 18:30`.");
    }
    const nowMs = io.now();
    const end = until === undefined ? undefined : new Date(parseUntil(until, nowMs)).toISOString();
    const request = { reason, replace, ...(end === undefined ? {} : { until: end }) };
    const rollout = await connect({ io, options }).hold(request);
    if (output !== 'table') out.document(output, 'Rollout', rollout);
    else out.write(`node held ${end === undefined ? 'until `omni release`' : untilWords(end, nowMs)}\n`);
    return ExitCode.ok;
  });
}
