import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Endpoint } from '../../src/reconcile/dataplane.ts';
import { initialPaths, nextPathDeadlineMs, stepPaths } from '../../src/session/paths/machine.ts';
import type { PathEffect, PathInput, PathsState } from '../../src/session/paths/model.ts';
import { sameEndpoint } from '../../src/session/paths/ways.ts';

const PLACES = Array.from({ length: 12 }, (_, index): Endpoint => ({ address: `192.0.2.${index}` as never, port: 1 }));
const FULL = 1_414;

type Challenge = Extract<PathEffect, { type: 'challenge' }>;
/** What happens next; numbers choose among what there is. */
type Move =
  | { readonly type: 'seen' | 'proved' | 'found'; readonly place: number; readonly flag: boolean }
  | { readonly type: 'answer'; readonly which: number; readonly wrong: boolean; readonly small: boolean }
  | { readonly type: 'hints'; readonly places: readonly number[] }
  | { readonly type: 'statistics'; readonly tx: boolean; readonly rx: boolean }
  | { readonly type: 'session'; readonly present: boolean }
  | { readonly type: 'source-changed' }
  | { readonly type: 'pass'; readonly ms: number };

const place = fc.nat(PLACES.length - 1);
const rarely = fc.integer({ min: 0, max: 3 }).map((dice) => dice === 0);
/** Most of it about places that are only seen, in short order: else little comes of it. */
const anyMove: fc.Arbitrary<Move> = fc.oneof(
  { weight: 6, arbitrary: fc.record({ type: fc.constant('seen' as const), place, flag: fc.boolean() }) },
  {
    weight: 8,
    arbitrary: fc.record({ type: fc.constant('answer' as const), which: fc.nat(3), wrong: rarely, small: rarely }),
  },
  { weight: 4, arbitrary: fc.record({ type: fc.constant('pass' as const), ms: fc.integer({ min: 1, max: 900 }) }) },
  { weight: 1, arbitrary: fc.record({ type: fc.constant('pass' as const), ms: fc.integer({ min: 1, max: 60_000 }) }) },
  { weight: 4, arbitrary: fc.record({ type: fc.constant('statistics' as const), tx: fc.boolean(), rx: fc.boolean() }) },
  {
    weight: 1,
    arbitrary: fc.record({
      type: fc.constantFrom('proved' as const, 'found' as const),
      place: fc.nat(2),
      flag: fc.boolean(),
    }),
  },
  { weight: 1, arbitrary: fc.record({ type: fc.constant('hints' as const), places: fc.uniqueArray(place) }) },
  { weight: 1, arbitrary: fc.record({ type: fc.constant('session' as const), present: fc.boolean() }) },
  { weight: 1, arbitrary: fc.record({ type: fc.constant('source-changed' as const) }) },
);

/** One peer in an arbitrary world, and what that world knows to be true. */
class World {
  nowMs = 1_000_000;
  state: PathsState = initialPaths();
  readonly challenges: (Challenge & { readonly atMs: number })[] = [];
  /** Where an answer that counts, or a handshake, came from; ever. */
  readonly proved: Endpoint[] = [];
  #nonce = 0n;

  put(input: PathInput): void {
    const { state, effects } = stepPaths(this.state, input, {
      nowMs: this.nowMs,
      jitter: 0.5,
      stretch: 1,
      fullSize: FULL,
      nonce: () => ++this.#nonce,
    });
    this.state = state;
    for (const effect of effects) {
      if (effect.type === 'challenge') this.challenges.push({ ...effect, atMs: this.nowMs });
      if (effect.type === 'use') expect(this.proved.some((each) => sameEndpoint(each, effect.endpoint))).toBe(true);
    }
    expect(state.ways.length).toBeLessThanOrEqual(8);
    if (state.active !== undefined) {
      expect(state.ways.filter(({ endpoint }) => sameEndpoint(endpoint, state.active))).toHaveLength(1);
    }
    if (!state.session) expect(nextPathDeadlineMs(state)).toBe(Number.POSITIVE_INFINITY);
  }

  pass(ms: number): void {
    const untilMs = this.nowMs + ms;
    let turns = 0;
    for (;;) {
      const atMs = nextPathDeadlineMs(this.state);
      if (atMs > untilMs) break;
      expect(++turns).toBeLessThan(10_000); // a timer that is due never stays so
      this.nowMs = Math.max(this.nowMs, atMs);
      this.put({ type: 'timer' });
    }
    this.nowMs = untilMs;
  }

  answer({ which, wrong, small }: Extract<Move, { type: 'answer' }>): void {
    const challenge = this.challenges[this.challenges.length - 1 - which];
    if (challenge === undefined) return;
    if (!wrong && !small && this.nowMs - challenge.atMs < 5_000) this.proved.push(challenge.endpoint);
    const message = {
      kind: 'response' as const,
      nonce: wrong ? challenge.nonce + 1_000_000n : challenge.nonce,
      size: challenge.size - (small ? 1 : 0),
    };
    this.put({ type: 'message', path: { remote: challenge.endpoint }, message });
  }

  step(move: Move): void {
    switch (move.type) {
      case 'answer':
        this.answer(move);
        break;
      case 'pass':
        this.pass(move.ms);
        break;
      case 'hints':
        this.put({ type: 'hints', endpoints: move.places.flatMap((index) => PLACES[index] ?? []) });
        break;
      case 'statistics': {
        const { seen } = this.state;
        const tx = move.tx ? this.nowMs : seen.txDataMs;
        const rx = move.rx ? this.nowMs : seen.rxDataMs;
        this.put({ type: 'statistics', seen: { txMs: tx, txDataMs: tx, rxMs: rx, rxDataMs: rx } });
        break;
      }
      case 'session':
        this.put({ type: 'session', present: move.present, fresh: move.present });
        break;
      case 'source-changed':
        this.put(move);
        break;
      default:
        this.#at(move.type, PLACES[move.place] ?? { address: '192.0.2.0' as never, port: 1 }, move.flag);
    }
  }

  #at(type: 'seen' | 'proved' | 'found', endpoint: Endpoint, flag: boolean): void {
    if (type !== 'seen') this.proved.push(endpoint);
    if (type === 'seen') this.put({ type, endpoint });
    else if (type === 'proved') this.put({ type, endpoint, only: flag });
    else this.put({ type, endpoint, observed: flag });
  }
}

describe('whatever happens to the paths of a peer', () => {
  it('data goes nowhere that did not answer or shake hands, few paths are kept, and no timer runs without a session', () => {
    fc.assert(
      fc.property(fc.array(anyMove, { maxLength: 80 }), (moves) => {
        const world = new World();
        world.put({ type: 'session', present: true, fresh: true });
        for (const move of moves) world.step(move);
      }),
      { numRuns: 500 },
    );
  });
});
