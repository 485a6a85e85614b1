import type { Io } from './io.ts';
import type { Style } from './style.ts';
import { displayWidth, oneLine, truncate } from './text.ts';

/** What goes on, for people, on stderr: one changing line on a terminal, plain lines elsewhere. */
export interface Progress {
  /** Something has started; on a terminal the next call takes its line. */
  step(text: string): void;
  /** Something has ended well; stays. */
  done(text: string): void;
  /** Something to know; stays. */
  info(text: string): void;
  warn(text: string): void;
  /** Takes the changing line away; call it before stdout is written. */
  clear(): void;
}

export function createProgress(io: Io, style: Style): Progress {
  let pending = false;
  const { stderr } = io;
  const { symbols } = style;
  const clear = (): void => {
    if (pending) stderr.write('\r\x1b[2K');
    pending = false;
  };
  const stay = (symbol: string, text: string): void => {
    clear();
    stderr.write(style.encode(`${symbol} ${oneLine(text)}\n`));
  };
  return {
    step: (text) => {
      if (!stderr.isTTY) return stay(symbols.action, text);
      clear();
      const room = (stderr.columns ?? 80) - displayWidth(symbols.wait) - 2;
      stderr.write(style.encode(`${symbols.wait} ${truncate(oneLine(text), room, symbols.ellipsis)}`));
      pending = true;
    },
    done: (text) => stay(style.paint('good', symbols.ok), text),
    info: (text) => stay(symbols.action, text),
    warn: (text) => stay(style.paint('warn', symbols.warn), text),
    clear,
  };
}
