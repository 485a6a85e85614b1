import { Command, InvalidArgumentError } from 'commander';
import { ExitCode } from '../../errors.ts';
import { type AgentOptions, addAgentFlags, connect } from '../agent.ts';
import { parseSubject } from '../kinds.ts';
import { durationFlag, Flag, outputFlag } from '../options.ts';
import type { OutputFormat, Printer } from '../output.ts';
import { createPresence, isAbsence } from '../polling.ts';
import { type Cli, handleVerb, type Invocation } from '../verb.ts';
import { EVENT_COLUMNS, type EventView, eventCells, eventLine } from '../views/events.ts';

interface EventsOptions extends AgentOptions {
  readonly output: Extract<OutputFormat, 'table' | 'wide' | 'json' | 'yaml'>;
  readonly watch: boolean;
  readonly for?: string;
  readonly types?: ReadonlySet<string>;
  /** Milliseconds. */
  readonly since?: number;
}

const TYPES: readonly EventView['type'][] = ['Normal', 'Warning'];
const RECONNECT_MS = 1_000;

export function eventsCommand(cli: Cli): Command {
  const command = new Command('events')
    .summary('Show what happened on this node')
    .description('Says what happened on this node, oldest first. -w goes on, also when the agent is restarted.')
    .addOption(new Flag('-w, --watch', 'go on with what happens from now on', { default: false }))
    .addOption(
      new Flag('--for <object>', 'only events of this object, as in peer/robot-17; or node, source', {
        parse: parseSubject,
        completes: 'objects',
      }),
    )
    .addOption(new Flag('--types <types>', 'only these: Normal, Warning or both', { parse: parseTypes }))
    .addOption(durationFlag('--since <duration>', 'only those of the last while, as in 10m'))
    .addOption(outputFlag(['table', 'wide', 'json', 'yaml']));
  addAgentFlags(command, '10s');
  return handleVerb<EventsOptions>(cli, command, async (invocation) => {
    if (invocation.options.watch) await watchEvents(invocation);
    else await listEvents(invocation);
    return ExitCode.ok;
  });
}

function parseTypes(text: string): ReadonlySet<string> {
  return new Set(
    text.split(',').map((name) => {
      const type = TYPES.find((one) => one.toLowerCase() === name.trim().toLowerCase());
      if (type === undefined) throw new InvalidArgumentError(`Types are ${TYPES.join(' and ')}.`);
      return type;
    }),
  );
}

/** What the flags let through. */
function filterOf({ io, options }: Invocation<EventsOptions>): (event: EventView) => boolean {
  const { for: object, types, since } = options;
  const fromMs = since === undefined ? Number.NEGATIVE_INFINITY : io.now() - since;
  return (event) =>
    (object === undefined || concerns(event, object)) &&
    (types === undefined || types.has(event.type)) &&
    Date.parse(event.time) >= fromMs;
}

/** Events of a peer's rows are its own: `peer/omni0/robot-17` is of `peer/robot-17`. */
function concerns(event: EventView, object: string): boolean {
  return event.object === object || event.object.replace(/^peer\/[^/]+\//, 'peer/') === object;
}

async function listEvents(invocation: Invocation<EventsOptions>): Promise<void> {
  const { io, options, out, progress } = invocation;
  const wanted = filterOf(invocation);
  const events: EventView[] = [];
  for await (const event of connect(invocation).events({ watch: false, signal: io.signal })) {
    if (wanted(event)) events.push(event);
  }
  const { output } = options;
  if (output === 'json' || output === 'yaml') out.document(output, 'EventList', { items: events });
  else if (events.length === 0) progress.info('no events');
  else {
    const rows = events.map((event) => eventCells(event, io.now()));
    out.table(EVENT_COLUMNS, rows, output);
  }
}

/** Ends by a signal, or when stdout's reader has gone. */
async function watchEvents(invocation: Invocation<EventsOptions>): Promise<void> {
  const { io, options, out } = invocation;
  const signal = AbortSignal.any([io.signal, io.stdoutClosed]);
  const wanted = filterOf(invocation);
  try {
    for await (const event of follow(invocation, signal)) if (wanted(event)) writeEvent(event, options.output, out);
  } catch (error) {
    if (!io.stdoutClosed.aborted || io.signal.aborted) throw error;
  }
}

/** Every event once, from one agent after the other. Rejects where there is none at the beginning. */
async function* follow(invocation: Invocation<EventsOptions>, signal: AbortSignal): AsyncGenerator<EventView> {
  const { io, progress } = invocation;
  const client = connect(invocation);
  const presence = createPresence(progress);
  let known: { readonly run: string; sequence: number } | undefined;
  for (;;) {
    try {
      const { node } = await client.status();
      const run = `${node.pid} ${node.startedAt}`;
      // Another agent counts from 1 again.
      if (known?.run !== run) known = { run, sequence: 0 };
      presence.answered();
      for await (const event of client.events({ watch: true, since: known.sequence, signal })) {
        known.sequence = event.sequence;
        yield event;
      }
      presence.missed('the agent has ended the stream of events');
    } catch (error) {
      if (known === undefined || !isAbsence(error)) throw error;
      presence.missed(error.message);
    }
    await io.sleep(RECONNECT_MS, signal);
  }
}

function writeEvent(event: EventView, output: EventsOptions['output'], out: Printer): void {
  if (output === 'json') out.data(event, 'line');
  else if (output === 'yaml') {
    out.write('---\n');
    out.data(event, 'yaml');
  } else out.write(eventLine(event, out));
}
