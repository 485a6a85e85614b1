import { Command } from 'commander';
import type { AgentClient } from '../../agent/client.ts';
import { ExitCode, OmniError } from '../../errors.ts';
import { type AgentOptions, addAgentFlags, connect } from '../agent.ts';
import { outputFlag } from '../options.ts';
import type { OutputFormat } from '../output.ts';
import { cliVersion } from '../package.ts';
import { type Cli, handleVerb } from '../verb.ts';

interface VersionOptions extends AgentOptions {
  readonly output: Extract<OutputFormat, 'table' | 'json' | 'yaml'>;
}

export function versionCommand(cli: Cli): Command {
  const command = new Command('version')
    .summary('Print versions of program and agent')
    .description('Prints the version of this program and, if it can be reached, of the agent.')
    .addOption(outputFlag(['table', 'json', 'yaml']));
  addAgentFlags(command, '2s');
  return handleVerb<VersionOptions>(cli, command, async ({ io, options, out }) => {
    const agent = await agentVersion(connect({ io, options }));
    const client = {
      version: cliVersion(),
      node: process.versions.node,
      platform: `${process.platform}/${process.arch}`,
    };
    if (options.output !== 'table') {
      out.document(options.output, 'Version', {
        client,
        ...('version' in agent ? { agent } : { agentError: agent.error }),
      });
    } else {
      out.write(`Client: ${client.version} (Node.js ${client.node}, ${client.platform})\n`);
      out.write(`Agent:  ${'version' in agent ? `${agent.version} (pid ${agent.pid})` : agent.error}\n`);
    }
    return ExitCode.ok;
  });
}

/** No agent is an answer here, not a failure. */
async function agentVersion(client: AgentClient): Promise<{ version: string; pid: number } | { error: string }> {
  try {
    const { node } = await client.status();
    return { version: node.version, pid: node.pid };
  } catch (error) {
    if (error instanceof OmniError) return { error: `not reached: ${error.message}` };
    throw error;
  }
}
