import { OmniError } from '../errors.ts';
import type { Io } from './io.ts';
import type { Progress } from './progress.ts';

const INTERVAL_MS = 1_000;
/** Of a large fleet an answer takes a while: looking takes no more than a twentieth of the agent's time. */
const REST = 20;

export interface Polling {
  readonly io: Io;
  readonly progress: Progress;
  readonly signal: AbortSignal;
  /** False: without an agent at the beginning there is nothing to wait for. */
  readonly patient: boolean;
  /** `Io.now()` at which it ends. */
  readonly deadlineMs?: number;
}

/**
 * What the agent says, again and again, each time somebody asks for the next: undefined while there is no agent, which
 * is said once on stderr. Ends after the deadline, with one last look.
 */
export async function* readAgain<T>(
  read: () => Promise<T>,
  { io, progress, signal, patient, deadlineMs = Number.POSITIVE_INFINITY }: Polling,
): AsyncGenerator<T | undefined> {
  const agent = createPresence(progress);
  for (let first = true; ; first = false) {
    const startedMs = io.now();
    let value: T | undefined;
    try {
      value = await read();
      agent.answered();
    } catch (error) {
      if (!isAbsence(error) || (first && !patient)) throw error;
      agent.missed(error.message);
    }
    yield value;
    const leftMs = deadlineMs - io.now();
    if (leftMs <= 0) return;
    const pauseMs = Math.max(INTERVAL_MS, REST * (io.now() - startedMs));
    await io.sleep(Math.min(pauseMs, leftMs), signal);
  }
}

/** Nobody answers now; an agent that is started or that gets to it would. */
export function isAbsence(error: unknown): error is OmniError {
  return error instanceof OmniError && ABSENCES.has(error.code);
}

const ABSENCES = new Set(['agent-not-running', 'agent-lost', 'agent-timeout']);

/** Tells once that the agent is not there, and once that it is there again. */
export function createPresence(progress: Progress): { answered(): void; missed(why: string): void } {
  let away = false;
  return {
    answered: () => {
      if (away) progress.info('the agent answers again');
      away = false;
    },
    missed: (why) => {
      if (!away) progress.warn(`${why}; waiting for it`);
      away = true;
    },
  };
}
