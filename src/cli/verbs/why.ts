import { Command } from 'commander';
import { ExitCode } from '../../errors.ts';
import { type AgentOptions, addAgentFlags, connect } from '../agent.ts';
import { Operand, outputFlag } from '../options.ts';
import type { OutputFormat } from '../output.ts';
import { type Cli, handleVerb, type Invocation } from '../verb.ts';
import { renderWhy } from '../views/why.ts';

interface WhyOptions extends AgentOptions {
  readonly output: Extract<OutputFormat, 'table' | 'json' | 'yaml'>;
}

export function whyCommand(cli: Cli): Command {
  const command = new Command('why')
    .summary('Show which commit asked for something')
    .description(
      'Goes from something that the kernel holds back to who asked for it: rows of the data path and when they were verified, the manifest with its line, the commit with its author.',
    )
    .addArgument(
      new Operand('<what>', 'peer/robot-17, an address, a MAC, a session, or a row of `omni get rows`', 'objects'),
    )
    .addOption(outputFlag(['table', 'json', 'yaml']));
  addAgentFlags(command, '10s');
  return handleVerb<WhyOptions>(cli, command, why);
}

async function why({ io, args, options, out }: Invocation<WhyOptions>): Promise<number> {
  const [query = ''] = args;
  const client = connect({ io, options });
  const reports = await client.why(query);
  const { output } = options;
  if (output !== 'table') out.document(output, 'WhyList', { items: reports });
  else {
    const sessions = reports.some((report) => report.sessions.length > 0);
    const sessionMs = sessions ? (await client.status()).sessions.clockMs : undefined;
    const layout = { clocks: { nowMs: io.now(), sessionMs }, style: out.style, width: out.width };
    out.write(reports.map((report) => renderWhy(report, layout)).join('\n'));
  }
  return ExitCode.ok;
}
