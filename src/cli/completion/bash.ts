import type { CommandModel, FlagModel, VerbModel } from './model.ts';

/** A bash function for `complete -F`; needs bash 4 and nothing else. */
export function bashCompletion(model: CommandModel): string {
  const verbs = model.verbs.map((verb) => verb.name);
  return `# bash completion for omni. In ~/.bashrc: source <(omni completion bash)
_omni() {
  local cur=\${COMP_WORDS[COMP_CWORD]} prev=\${COMP_WORDS[COMP_CWORD - 1]} verb='' position=-1 i word
  # Readline splits --flag=value at the equals sign.
  if [[ $cur == '=' ]]; then cur=''
  elif [[ $prev == '=' ]]; then prev=\${COMP_WORDS[COMP_CWORD - 2]}; fi
  for ((i = 1; i < COMP_CWORD; i++)); do
    word=\${COMP_WORDS[i]}
    if [[ $word == -* ]]; then
      case "$verb $word" in
        ${valuePatterns(model).join('|')}) ((i++)) || true ;;
      esac
    elif [[ -z $verb ]]; then verb=$word position=0
    else ((++position)); fi
  done
  COMPREPLY=()
  case "$verb $prev" in
${[...globalCases(model), ...model.verbs.flatMap(verbCases)].join('\n')}
  esac
  if [[ -z $verb ]]; then
    if [[ $cur == -* ]]; then COMPREPLY=($(compgen -W '${names(model.globals)}' -- "$cur"))
    else COMPREPLY=($(compgen -W '${[...verbs, 'help'].join(' ')}' -- "$cur")); fi
    return
  fi
  if [[ $cur == -* ]]; then
    case $verb in
${model.verbs.map((verb) => `      ${verb.name}) COMPREPLY=($(compgen -W '${names([...verb.flags, ...model.globals])}' -- "$cur")) ;;`).join('\n')}
    esac
    return
  fi
  case "$verb $position" in
    'help 0') COMPREPLY=($(compgen -W '${verbs.join(' ')}' -- "$cur")) ;;
${model.verbs.flatMap(operandCases).join('\n')}
  esac
}
complete -F _omni omni
`;
}

function names(flags: readonly FlagModel[]): string {
  return [...new Set(flags.flatMap((flag) => flag.names))].join(' ');
}

function valuePatterns(model: CommandModel): string[] {
  const globals = model.globals.filter((flag) => flag.takesValue).flatMap((flag) => flag.names);
  return [
    ...globals.map((name) => `*' ${name}'`),
    ...model.verbs.flatMap((verb) =>
      verb.flags
        .filter((flag) => flag.takesValue)
        .flatMap((flag) => flag.names.map((name) => `'${verb.name} ${name}'`)),
    ),
  ];
}

function globalCases(model: CommandModel): string[] {
  return model.globals.filter((flag) => flag.takesValue).map((flag) => valueCase(flag, (name) => `*' ${name}'`));
}

function verbCases(verb: VerbModel): string[] {
  return verb.flags
    .filter((flag) => flag.takesValue)
    .map((flag) => valueCase(flag, (name) => `'${verb.name} ${name}'`));
}

function valueCase(flag: FlagModel, pattern: (name: string) => string): string {
  return `    ${flag.names.map(pattern).join('|')}) ${valueCommand(flag)}return ;;`;
}

function valueCommand(flag: FlagModel): string {
  if (flag.choices.length > 0) return `COMPREPLY=($(compgen -W '${flag.choices.join(' ')}' -- "$cur")); `;
  if (flag.completes === 'none') return '';
  if (flag.completes === 'objects' || flag.completes === 'revisions') return `${ASKED[flag.completes]}; `;
  const kind = flag.completes === 'directory' ? '-d' : '-f';
  return `compopt -o filenames; mapfile -t COMPREPLY < <(compgen ${kind} -- "$cur"); `;
}

/** What the agent knows. */
const ASKED = {
  objects: 'COMPREPLY=($(compgen -W "$(omni get all -o name 2>/dev/null)" -- "$cur"))',
  revisions: 'COMPREPLY=($(compgen -W "$(omni history -o name 2>/dev/null)" -- "$cur"))',
} as const;

function operandCases(verb: VerbModel): string[] {
  return verb.operands.flatMap(({ suggestions }, index) => {
    const pattern = `    '${verb.name} ${index}')`;
    if (suggestions === 'objects' || suggestions === 'revisions') return [`${pattern} ${ASKED[suggestions]} ;;`];
    if (suggestions === 'names') {
      const kind = `"\${COMP_WORDS[COMP_CWORD - 1]}"`;
      return [
        `${pattern} COMPREPLY=($(compgen -W "$(omni get ${kind} -o name 2>/dev/null | sed 's,.*/,,')" -- "$cur")) ;;`,
      ];
    }
    if (suggestions.length === 0) return [];
    return [`${pattern} COMPREPLY=($(compgen -W '${suggestions.join(' ')}' -- "$cur")) ;;`];
  });
}
