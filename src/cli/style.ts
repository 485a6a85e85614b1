import type { Io, Output } from './io.ts';

export type ColorMode = 'auto' | 'always' | 'never';
export type Tone = 'good' | 'bad' | 'warn' | 'dim' | 'bold' | 'add' | 'change' | 'remove';

interface Symbols {
  readonly ok: string;
  readonly warn: string;
  readonly fail: string;
  readonly action: string;
  readonly wait: string;
  readonly ellipsis: string;
  readonly arrow: string;
  /** Of a tree, three columns each: before a branch, before the last, beside what lies below either. */
  readonly branch: string;
  readonly lastBranch: string;
  readonly trunk: string;
}

export interface Style {
  /** Wraps text in the tone's colour, or returns it as it is. */
  paint(tone: Tone, text: string): string;
  readonly symbols: Symbols;
  /** The text as the terminal can show it: typographic signs of other rooms' texts have ASCII stand-ins. */
  encode(text: string): string;
}

const UNICODE: Symbols = {
  ok: '✔',
  warn: '⚠',
  fail: '✗',
  action: '►',
  wait: '◎',
  ellipsis: '…',
  arrow: '→',
  branch: '├─ ',
  lastBranch: '└─ ',
  trunk: '│  ',
};
const ASCII: Symbols = {
  ok: '+',
  warn: '!',
  fail: 'x',
  action: '>',
  wait: '*',
  ellipsis: '...',
  arrow: '->',
  branch: '|- ',
  lastBranch: '`- ',
  trunk: '|  ',
};

const SGR: Readonly<Record<Tone, number>> = {
  good: 32,
  bad: 31,
  warn: 33,
  dim: 2,
  bold: 1,
  add: 32,
  change: 33,
  remove: 31,
};

/** https://no-color.org: any non-empty value switches colours off, unless a flag asks for them. */
export function wantsColor(mode: ColorMode, output: Output, env: Io['env']): boolean {
  if (mode !== 'auto') return mode === 'always';
  return output.isTTY && !env.NO_COLOR && env.TERM !== 'dumb';
}

/** POSIX: the first of LC_ALL, LC_CTYPE and LANG that is set decides the character set. */
export function isUtf8(env: Io['env']): boolean {
  return /utf-?8/i.test(env.LC_ALL || env.LC_CTYPE || env.LANG || '');
}

export function createStyle(options: { readonly color: boolean; readonly utf8: boolean }): Style {
  return {
    paint: (tone, text) => (options.color && text !== '' ? `\x1b[${SGR[tone]}m${text}\x1b[0m` : text),
    symbols: options.utf8 ? UNICODE : ASCII,
    encode: (text) => (options.utf8 ? text : text.replace(/[…→’]/g, (sign) => STAND_INS[sign] ?? sign)),
  };
}

const STAND_INS: Readonly<Record<string, string>> = { '…': '...', '→': '->', '’': "'" };
