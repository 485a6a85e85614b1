import { Command } from 'commander';
import { ExitCode } from '../../errors.ts';
import type { ObjectRef } from '../../manifest/model.ts';
import { type AgentOptions, addAgentFlags, connect } from '../agent.ts';
import { parseObjectRef } from '../kinds.ts';
import { Flag, outputFlag } from '../options.ts';
import type { OutputFormat } from '../output.ts';
import { type Cli, handleVerb, type Invocation } from '../verb.ts';
import { EVENT_COLUMNS, type EventView, eventCells, eventLine } from '../views/events.ts';

interface EventsOptions extends AgentOptions {
  readonly output: Extract<OutputFormat, 'table' | 'wide' | 'json' | 'yaml'>;
  readonly watch: boolean;
  readonly for?: ObjectRef;
}

export function eventsCommand(cli: Cli): Command {
  const command = new Command('events')
    .summary('Show what happened on this node')
    .description('Says what happened on this node, oldest first.')
    .addOption(new Flag('-w, --watch', 'go on with what happens from now on', { default: false }))
    .addOption(new Flag('--for <object>', 'only events of this object, as in peer/robot-17', { parse: parseObjectRef }))
    .addOption(outputFlag(['table', 'wide', 'json', 'yaml']));
  addAgentFlags(command, '10s');
  return handleVerb<EventsOptions>(cli, command, async (invocation) => {
    if (invocation.options.watch) await watchEvents(invocation);
    else await listEvents(invocation);
    return ExitCode.ok;
  });
}

async function listEvents({ io, options, out, progress }: Invocation<EventsOptions>): Promise<void> {
  const events: EventView[] = [];
  for await (const event of connect({ io, options }).events({ watch: false, signal: io.signal })) {
    if (concerns(event, options.for)) events.push(event);
  }
  const { output } = options;
  if (output === 'json' || output === 'yaml') out.document(output, 'EventList', { items: events });
  else if (events.length === 0) progress.info('no events');
  else {
    const rows = events.map((event) => eventCells(event, io.now()));
    out.table(EVENT_COLUMNS, rows, output);
  }
}

/** Ends when the agent does, when stdout's reader has gone, or by a signal. */
async function watchEvents({ io, options, out }: Invocation<EventsOptions>): Promise<void> {
  const signal = AbortSignal.any([io.signal, io.stdoutClosed]);
  try {
    for await (const event of connect({ io, options }).events({ watch: true, signal })) {
      if (!concerns(event, options.for)) continue;
      if (options.output === 'json') out.data(event, 'line');
      else if (options.output === 'yaml') {
        out.write('---\n');
        out.data(event, 'yaml');
      } else out.write(eventLine(event, out));
    }
  } catch (error) {
    if (!io.stdoutClosed.aborted || io.signal.aborted) throw error;
  }
}

function concerns(event: EventView, object: ObjectRef | undefined): boolean {
  return object === undefined || event.object === object;
}
