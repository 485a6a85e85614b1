import { Command, type Option } from 'commander';
import { Flag } from './options.ts';
import { cliVersion } from './package.ts';
import type { Cli } from './verb.ts';
import { agentCommand } from './verbs/agent.ts';
import { applyCommand } from './verbs/apply.ts';
import { completionCommand } from './verbs/completion.ts';
import { confirmCommand } from './verbs/confirm.ts';
import { describeCommand } from './verbs/describe.ts';
import { diffCommand } from './verbs/diff.ts';
import { doctorCommand } from './verbs/doctor.ts';
import { eventsCommand } from './verbs/events.ts';
import { getCommand } from './verbs/get.ts';
import { historyCommand } from './verbs/history.ts';
import { holdCommand } from './verbs/hold.ts';
import { initCommand } from './verbs/init.ts';
import { reconcileCommand } from './verbs/reconcile.ts';
import { releaseCommand } from './verbs/release.ts';
import { resealCommand } from './verbs/reseal.ts';
import { resumeCommand } from './verbs/resume.ts';
import { retryCommand } from './verbs/retry.ts';
import { rollbackCommand } from './verbs/rollback.ts';
import { rotateCommand } from './verbs/rotate.ts';
import { sealCommand } from './verbs/seal.ts';
import { statusCommand } from './verbs/status.ts';
import { suspendCommand } from './verbs/suspend.ts';
import { validateCommand } from './verbs/validate.ts';
import { versionCommand } from './verbs/version.ts';
import { waitCommand } from './verbs/wait.ts';
import { whyCommand } from './verbs/why.ts';

const EPILOGUE = `
Every flag has a variable: --state-dir is OMNI_STATE_DIR. The flag beats it.

Exit codes: 0 done, 1 failed (diff: a difference), 2 usage, invalid manifests
or a guard, 3 source or signature, 4 agent not reachable or time-out,
5 rolled back, 6 partly done, 130 interrupted.
`;

/** The whole command tree: what is parsed, completed and documented. */
export function createProgram(cli: Cli): Command {
  const { stdout } = cli.io;
  const program = new Command('omni')
    .description('An encrypted Layer-2 fabric for robot fleets, kept as git says.')
    .version(cliVersion(), '-V, --version', 'print the version')
    .helpOption('-h, --help', 'show help')
    .helpCommand('help [verb]', 'show help for a verb')
    .addOption(
      new Flag('--color <when>', 'colours in the output', { default: 'auto', choices: ['auto', 'always', 'never'] }),
    )
    .addOption(new Flag('-v, --verbose', 'say more of what goes wrong', { default: false }))
    .configureHelp({
      showGlobalOptions: true,
      subcommandTerm: (command) => command.name(),
      optionDescription: describeFlag,
    })
    .addHelpText('after', EPILOGUE);
  for (const command of [
    initCommand(cli),
    rotateCommand(cli),
    validateCommand(cli),
    sealCommand(cli),
    resealCommand(cli),
    diffCommand(cli),
    applyCommand(cli),
    getCommand(cli),
    describeCommand(cli),
    statusCommand(cli),
    eventsCommand(cli),
    whyCommand(cli),
    waitCommand(cli),
    reconcileCommand(cli),
    historyCommand(cli),
    confirmCommand(cli),
    retryCommand(cli),
    rollbackCommand(cli),
    holdCommand(cli),
    releaseCommand(cli),
    suspendCommand(cli),
    resumeCommand(cli),
    agentCommand(cli),
    doctorCommand(cli),
    completionCommand(cli, () => program),
    versionCommand(cli),
  ]) {
    program.addCommand(command);
  }
  for (const command of [program, ...program.commands]) {
    command
      .exitOverride()
      .configureOutput({
        writeOut: (text) => stdout.write(text),
        writeErr: () => undefined,
        outputError: () => undefined,
        getOutHelpWidth: () => stdout.columns ?? 80,
        getOutHasColors: () => false,
      })
      .helpOption('-h, --help', 'show help');
  }
  for (const command of program.commands) command.copyInheritedSettings(program);
  return program;
}

function describeFlag(option: Option): string {
  const extras: string[] = [];
  if (option.argChoices && !option.description.includes('|')) extras.push(option.argChoices.join('|'));
  const fallback: unknown = option.defaultValueDescription ?? option.defaultValue;
  if (fallback !== undefined && fallback !== '' && typeof fallback !== 'boolean')
    extras.push(`default ${String(fallback)}`);
  return extras.length === 0 ? option.description : `${option.description} (${extras.join('; ')})`;
}
