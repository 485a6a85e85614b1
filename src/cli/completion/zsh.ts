import type { Suggestions } from '../options.ts';
import type { CommandModel, FlagModel, VerbModel } from './model.ts';

/** A zsh completion function that works sourced and from `$fpath`. */
export function zshCompletion(model: CommandModel): string {
  return `#compdef omni
# zsh completion for omni. In ~/.zshrc, after compinit: source <(omni completion zsh)
_omni() {
  local curcontext="$curcontext" state line
  typeset -A opt_args
  _arguments -C \\
    ${[...model.globals.map(flagSpec), "'1:verb:->verb'", "'*::argument:->argument'"].join(' \\\n    ')}
  case $state in
    verb)
      local -a verbs
      verbs=(
${model.verbs.map((verb) => `        ${quote(`${verb.name}:${verb.description}`)}`).join('\n')}
      )
      _describe verb verbs ;;
    argument)
      case $line[1] in
${model.verbs.map((verb) => verbCase(verb, model.globals)).join('\n')}
      esac ;;
  esac
}
_omni_objects() { compadd -- \${(f)"$(omni get all -o name 2>/dev/null)"} }
_omni_revisions() { compadd -- \${(f)"$(omni history -o name 2>/dev/null)"} }
_omni_names() { compadd -- \${\${(f)"$(omni get $line[1] -o name 2>/dev/null)"}##*/} }
if [[ $funcstack[1] == _omni ]]; then _omni "$@"; else compdef _omni omni; fi
`;
}

function verbCase(verb: VerbModel, globals: readonly FlagModel[]): string {
  const specs = [...verb.flags, ...globals.filter((flag) => !flag.names.includes('--help'))].map(flagSpec);
  const operands = verb.operands.map(({ name, suggestions }, index) =>
    quote(`${index + 1}:${name}:${operandAction(suggestions)}`),
  );
  return `        ${verb.name})
          _arguments \\
            ${[...specs, ...operands].join(' \\\n            ')} ;;`;
}

function operandAction(suggestions: Suggestions): string {
  if (typeof suggestions === 'string') return `_omni_${suggestions}`;
  return suggestions.length === 0 ? ' ' : `(${suggestions.join(' ')})`;
}

function flagSpec(flag: FlagModel): string {
  const description = flag.description.replace(/[\\[\]:]/g, '\\$&');
  const value = flag.takesValue ? `:value:${valueAction(flag)}` : '';
  const tail = `[${description}]${value}`;
  const repeat = flag.repeatable ? '*' : '';
  const [only] = flag.names;
  if (flag.names.length === 1) return quote(`${repeat}${only ?? ''}${tail}`);
  const exclusive = flag.repeatable ? "'*'" : quote(`(${flag.names.join(' ')})`);
  return `${exclusive}{${flag.names.join(',')}}${quote(tail)}`;
}

function valueAction(flag: FlagModel): string {
  if (flag.choices.length > 0) return `(${flag.choices.join(' ')})`;
  if (flag.completes === 'path') return '_files';
  if (flag.completes === 'objects' || flag.completes === 'revisions') return `_omni_${flag.completes}`;
  return flag.completes === 'directory' ? '_files -/' : ' ';
}

function quote(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}
