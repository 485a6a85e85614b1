import type { Command, Option } from 'commander';
import { Flag } from './options.ts';

/** docs/cli.md: every verb and flag, from the command tree itself. */
export function renderReference(program: Command): string {
  const help = program.createHelp();
  return [
    '# Command line',
    'Generated from the command tree by `npm run generate`; do not edit.',
    'stdout carries the answer only; progress, warnings and errors go to stderr. Every flag has a variable, which the flag beats; an empty variable counts as unset, and one of a repeatable flag holds a comma-separated list.',
    EXIT_CODES,
    JSON_FORMS,
    '## Flags of every verb',
    flagTable(help.visibleOptions(program)),
    ...program.commands.flatMap(verbSections),
  ]
    .join('\n\n')
    .concat('\n');
}

const EXIT_CODES = `| exit | \`omni diff\` | other verbs |
| --- | --- | --- |
| 0 | no difference | done; \`status\` and verbs that wait for a verdict: Ready |
| 1 | difference | failed, or not Ready |
| 2 | usage, or invalid manifests | same; or a guard, a quarantine, a hold, a window keeps the revision out |
| 3 | source: no such repository, revision or folder; no answer; a signature | same |
| 4 | the agent cannot be reached, or a time-out | same; or no verdict yet when the time was up |
| 5 | | the revision failed its probes and was rolled back |
| 6 | | partly done |
| 130, 143 | ended by SIGINT, SIGTERM | same; \`agent\` ends with 0 |`;

const JSON_FORMS = `## \`-o json\` and \`-o yaml\`

One document with \`apiVersion: omni.io/v1alpha1\` and a \`kind\`; nothing is shortened, and 64-bit counts are decimal strings. Fields are added, never renamed or removed within a version. Types named here are those of \`src/agent/api.ts\`.

| verb | kind | fields |
| --- | --- | --- |
| \`validate\` | \`ValidationReport\` | \`valid\`, \`objects\` (how many), \`diagnostics\`: \`severity\`, \`rule\`, \`message\`, \`fix\`, \`position\`, \`related\` |
| \`diff\`, \`diff -f\` | \`NodeDiff\` | \`DiffReport\`, and \`summary\`: \`changed\`, \`operations\` |
| \`diff --rev\` | \`Diff\` | \`from\`, \`to\`; \`manifests\`: \`op\`, \`object\`, \`position\`, \`fields\`; \`nodes\`: \`node\`, \`changes\`, \`sessionsCut\`, \`note\`; \`summary\`: \`changed\`, \`added\`, \`changedManifests\`, \`removed\`, \`nodes\`, \`operations\`, \`sessionsCut\` |
| \`apply\`, \`reconcile\`, \`confirm\`, \`retry\`, \`rollback\` | \`ApplyReport\`, \`ReconcileReport\`, \`ConfirmReport\`, \`RetryReport\`, \`RollbackReport\` | \`ApplyReport\` |
| \`history\` | \`HistoryList\` | \`items\`: \`revision\`, \`outcome\` (\`good\`, \`rolled-back\`, \`preempted\`, \`chosen\`, \`trial\`, \`waiting\`, \`refused\`, \`quarantined\`), \`message\`, \`at\`, \`tookMs\`, \`marks\` (\`in-force\`, \`last-known-good\`, \`quarantined\`) |
| \`hold\`, \`release\`, \`suspend\`, \`resume\` | \`Rollout\` | \`RolloutReport\` |
| \`get KIND\` | \`PeerList\`, \`VIPList\`, \`ClusterList\`, \`List\` | \`items\`, each as below |
| \`get KIND NAME\` | \`Peer\`, \`VIP\`, \`Cluster\` | \`metadata\`: \`name\`, \`labels\`; \`position\`; \`detail\`; \`status\`: \`ready\`, \`reason\`, \`message\`, \`revision\`, \`since\`, \`session\`, \`contact\` (peers: \`state\`, \`lastHandshakeMs\`, \`unanswered\`, \`hybrid\`, \`paths\`: \`endpoint\`, \`active\`, \`sinceMs\`, \`state\` (\`live\`, \`dead\`, \`unknown\`), \`rttMs\`, \`answeredMs\`, \`source\` (\`hint\`, \`seen\`, \`proved\`), \`local\`; \`moved\`: \`from\`, \`to\`, \`why\` (\`peer-moved\`, \`silent\`, \`faster\`, \`too-small\`, \`handshake\`), \`atMs\`, \`tookMs\`; \`keyInUseTwice\`: \`places\`, \`lastMs\`) |
| \`get sessions\` | \`SessionList\` | \`clockMs\` (now, on the clock of the session's times), \`items\` |
| \`get rows\` | \`RowList\` | \`items\`: \`key\`, \`row\`, \`state\` (\`in-sync\`, \`missing\`, \`different\`, \`unexpected\`), \`desired\`, \`observed\`, \`origin\` |
| \`describe\` | \`Peer\`, \`VIP\`, \`Cluster\` | as \`get KIND NAME\`, with \`sessions\`, \`rows\`, \`events\` |
| \`status\` | \`Status\` | \`Status\` |
| \`events\` | \`EventList\` | \`items\`; with \`-w\` one \`Event\` per line, without an envelope |
| \`get KIND -w\` | | per line \`type\` (\`ADDED\`, \`MODIFIED\`, \`DELETED\`) and \`object\`, as \`get KIND NAME\` has it; sessions and rows as in their lists |
| \`why\` | \`WhyList\` | \`items\`: \`WhyReport\` |
| \`doctor\` | \`DoctorReport\` | \`healthy\`; \`findings\`: \`check\`, \`status\` (\`ok\`, \`warning\`, \`failure\`, \`unknown\`), \`message\`, \`fix\` |
| \`version\` | \`Version\` | \`client\`: \`version\`, \`node\`, \`platform\`; \`agent\`: \`version\`, \`pid\`, or \`agentError\` |`;

function verbSections(command: Command): string[] {
  const help = command.createHelp();
  const usage = `omni ${help.commandUsage(command).replace(/^omni /, '')}`.replace('omni omni', 'omni');
  const operands = command.registeredArguments.map(
    (argument) => `- \`${argument.name()}\`${argument.required ? '' : ' (optional)'}: ${argument.description}`,
  );
  const flags = help.visibleOptions(command).filter((option) => option.long !== '--help');
  return [
    `## omni ${command.name()}`,
    command.description(),
    `\`${usage}\``,
    ...(operands.length === 0 ? [] : [operands.join('\n')]),
    ...(flags.length === 0 ? [] : [flagTable(flags)]),
  ];
}

function flagTable(options: readonly Option[]): string {
  const rows = options.map((option) => {
    const variable = option instanceof Flag ? `\`${option.variable}\`` : '';
    const fallback: unknown = option.defaultValueDescription ?? option.defaultValue;
    const shown = fallback === undefined || fallback === '' ? '' : `\`${String(fallback)}\``;
    const choices = option.argChoices === undefined ? '' : ` (${option.argChoices.join(', ')})`;
    const cells = [`\`${option.flags}\``, `${option.description}${choices}`, shown, variable];
    return `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`;
  });
  return ['| flag | what | default | variable |', '| --- | --- | --- | --- |', ...rows].join('\n');
}
