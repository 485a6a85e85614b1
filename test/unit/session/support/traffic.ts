import type { Pair } from './pair.ts';

export interface Lost {
  /** Requests of A without an answer, in the order in which they were sent. */
  readonly requests: readonly number[];
  /** The longest time without an answer, milliseconds. */
  readonly longestMs: number;
}

/** A asks B every `everyMs` for `forMs`, B answers each: a ping. `meanwhile` runs before each request. */
export async function ping(
  { clock, a, b }: Pair,
  { forMs, everyMs = 10, meanwhile }: { forMs: number; everyMs?: number; meanwhile?: (atMs: number) => unknown },
): Promise<Lost> {
  const answered = new Map<string, number>();
  const startMs = clock.now();
  b.plane.onFrame = (_peer, text) => {
    if (text.startsWith('ask ')) b.sends(a, `answer ${text.slice(4)}`);
  };
  a.plane.onFrame = (_peer, text) => answered.set(text.slice('answer '.length), clock.now());
  const asked: string[] = [];
  for (let atMs = 0; atMs < forMs; atMs += everyMs) {
    meanwhile?.(atMs);
    const id = `${clock.now()}`;
    asked.push(id);
    a.sends(b, `ask ${id}`);
    await clock.advance(everyMs);
  }
  await clock.advance(1_000);
  const times = [startMs, ...[...answered.values()].sort((x, y) => x - y)];
  const gaps = times.slice(1).map((timeMs, index) => timeMs - (times[index] ?? timeMs));
  const end = clock.now() - 1_000 - (times.at(-1) ?? startMs);
  return {
    requests: asked.filter((id) => !answered.has(id)).map((id) => Number(id) - startMs),
    longestMs: Math.max(0, end, ...gaps),
  };
}
