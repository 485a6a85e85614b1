import rules from '../../schema/rules.json' with { type: 'json' };
import type { RuleParameters } from './generated.ts';
import type { Diagnostic, Position } from './model.ts';

export type Rule = keyof RuleParameters;
/** What a rule's message and fix speak of; texts from files may be put in as they are. */
export type Parameters<R extends Rule> = Readonly<Record<RuleParameters[R], string | number>>;

/** A diagnostic that does not know its place yet. */
export type Statement = Pick<Diagnostic, 'severity' | 'rule' | 'message' | 'fix'>;

interface RuleEntry {
  readonly message: string;
  readonly fix: string;
  readonly severity?: string;
}

/** Stands for the set as a whole in diagnostics that concern no single file. */
export const wholeSet: Position = { file: '.', line: 1, column: 1 };

const SHOWN_LENGTH = 200;

/** Text of a file as it may be shown: control characters escaped, shortened. */
function shown(value: string | number): string {
  const text = String(value);
  const short = text.length > SHOWN_LENGTH ? `${text.slice(0, SHOWN_LENGTH)}…` : text;
  return short.replace(
    /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/gu,
    (character) => `\\u{${character.codePointAt(0)?.toString(16) ?? ''}}`,
  );
}

function fill(template: string, parameters: Readonly<Record<string, string | number>>): string {
  return template.replace(/\{(\w+)\}/g, (_, name: string) => shown(parameters[name] ?? ''));
}

/** The message and fix of a rule (schema/rules.json) about something in particular. */
export function statement<R extends Rule>(rule: R, parameters: Parameters<R>): Statement {
  const entry: RuleEntry = rules[rule];
  return {
    severity: entry.severity === 'warning' ? 'warning' : 'error',
    rule,
    message: fill(entry.message, parameters),
    fix: fill(entry.fix, parameters),
  };
}

/** `fleet/a.yaml:3:5`; a set without a place in it is its folder alone. */
function renderPosition(position: Position): string {
  return position.file === wholeSet.file ? position.file : `${position.file}:${position.line}:${position.column}`;
}

/**
 * For a terminal or a log, without a line break at the end:
 *
 *     fleet/a.yaml:3:5: error: there is no cluster/warehose [cluster-unknown]
 *         fix: Did you mean cluster/warehouse?
 *         see: fleet/b.yaml:1:1
 */
export function renderDiagnostic(diagnostic: Diagnostic): string {
  const { position, severity, message, rule, fix, related } = diagnostic;
  const lines = [`${renderPosition(position)}: ${severity}: ${message} [${rule}]`, `    fix: ${fix}`];
  if (related !== undefined) lines.push(`    see: ${renderPosition(related)}`);
  return lines.join('\n');
}

function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

export function comparePositions(a: Position, b: Position): number {
  return compareText(a.file, b.file) || a.line - b.line || a.column - b.column;
}

/** By file, line, column, then rule and message: the same findings always come in the same order. */
export function compareDiagnostics(a: Diagnostic, b: Diagnostic): number {
  return comparePositions(a.position, b.position) || compareText(a.rule, b.rule) || compareText(a.message, b.message);
}
