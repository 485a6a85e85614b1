import { Command } from 'commander';
import { ExitCode, OmniError } from '../../errors.ts';
import { type AgentOptions, addAgentFlags, connect, peerNames } from '../agent.ts';
import { parseObjectRef } from '../kinds.ts';
import { Operand, outputFlag } from '../options.ts';
import type { OutputFormat } from '../output.ts';
import { type Cli, handleVerb, type Invocation } from '../verb.ts';
import { renderDescription } from '../views/describe.ts';
import type { EventView } from '../views/events.ts';
import { objectDocument } from '../views/objects.ts';
import { pairRows } from '../views/rows.ts';

interface DescribeOptions extends AgentOptions {
  readonly output: Extract<OutputFormat, 'table' | 'json' | 'yaml'>;
}

export function describeCommand(cli: Cli): Command {
  const command = new Command('describe')
    .summary('Show all about one object')
    .description('Says all about one object: where it is declared, its state, session, rows and recent events.')
    .addArgument(new Operand('<object>', 'peer/NAME, vip/NAME or cluster/NAME', 'objects'))
    .addArgument(new Operand('[name]', "the name, where the first argument is a kind alone ('peer robot-17')", 'names'))
    .addOption(outputFlag(['table', 'json', 'yaml']));
  addAgentFlags(command, '10s');
  return handleVerb<DescribeOptions>(cli, command, describe);
}

async function describe({ io, args, options, out }: Invocation<DescribeOptions>): Promise<number> {
  const ref = parseObjectRef(args.join('/'));
  const client = connect({ io, options });
  const [objects, rows, status, sessions] = await Promise.all([
    client.objects(),
    client.rows(),
    client.status(),
    client.sessions(),
  ]);
  const object = objects.find((one) => one.object === ref);
  if (object === undefined) {
    throw new OmniError(`${ref} is not known to this node`, {
      code: 'not-found',
      class: 'stall',
      exitCode: ExitCode.failed,
      fix: 'See `omni get all` for what is.',
    });
  }
  const events: EventView[] = [];
  for await (const event of client.events({ watch: false, signal: io.signal })) {
    if (event.object === ref) events.push(event);
  }
  const own = pairRows(rows).filter((pair) => pair.origin?.object === ref);
  const ofPeer = sessions.filter((session) => session.peer === object.detail.publicKey);
  const { output } = options;
  if (output !== 'table') {
    const { kind, ...fields } = objectDocument(object);
    out.document(output, kind, { ...fields, sessions: ofPeer, rows: own, events });
  } else {
    const clocks = { nowMs: io.now(), sessionMs: status.sessions.clockMs };
    const context = { names: peerNames(objects), clocks, style: out.style, width: out.width };
    const { revoked } = status.rollout;
    out.write(renderDescription({ object, sessions: ofPeer, rows: own, events, revoked }, context));
  }
  return ExitCode.ok;
}
