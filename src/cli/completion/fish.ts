import type { Suggestions } from '../options.ts';
import type { CommandModel, FlagModel, VerbModel } from './model.ts';

/** fish completions: one `complete` line per verb, flag and argument. */
export function fishCompletion(model: CommandModel): string {
  const lines = [
    '# fish completion for omni. omni completion fish > ~/.config/fish/completions/omni.fish',
    'complete -c omni -f',
    ...model.globals.map((flag) => flagLine('', flag)),
    ...model.verbs.map(
      (verb) => `complete -c omni -n __fish_use_subcommand -a ${quote(verb.name)} -d ${quote(verb.description)}`,
    ),
    ...model.verbs.flatMap(verbLines),
  ];
  return `${lines.join('\n')}\n`;
}

function verbLines(verb: VerbModel): string[] {
  const condition = ` -n ${quote(`__fish_seen_subcommand_from ${verb.name}`)}`;
  const flags = verb.flags.filter((flag) => !flag.names.includes('--help')).map((flag) => flagLine(condition, flag));
  const operands = verb.operands.flatMap(({ suggestions }) => {
    const words = operandWords(suggestions);
    return words === '' ? [] : [`complete -c omni${condition} -a ${quote(words)}`];
  });
  return [...flags, ...operands];
}

/** What the agent knows. */
const ASKED = {
  objects: '(omni get all -o name 2>/dev/null)',
  revisions: '(omni history -o name 2>/dev/null)',
} as const;

function operandWords(suggestions: Suggestions): string {
  if (suggestions === 'objects' || suggestions === 'revisions') return ASKED[suggestions];
  if (suggestions === 'names')
    return '(omni get (commandline -opc)[3] -o name 2>/dev/null | string replace -r ".*/" "")';
  return suggestions.join(' ');
}

function flagLine(condition: string, flag: FlagModel): string {
  const names = flag.names.map((name) => (name.startsWith('--') ? `-l ${name.slice(2)}` : `-s ${name.slice(1)}`));
  return `complete -c omni${condition} ${names.join(' ')}${valueWords(flag)} -d ${quote(flag.description)}`;
}

function valueWords(flag: FlagModel): string {
  if (!flag.takesValue) return '';
  if (flag.choices.length > 0) return ` -x -a ${quote(flag.choices.join(' '))}`;
  if (flag.completes === 'objects' || flag.completes === 'revisions') return ` -x -a ${quote(ASKED[flag.completes])}`;
  if (flag.completes === 'directory') return " -x -a '(__fish_complete_directories)'";
  return flag.completes === 'path' ? ' -r -F' : ' -x';
}

function quote(text: string): string {
  return `'${text.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`;
}
