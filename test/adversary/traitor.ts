import type { Attack } from './inner-frames.ts';
import type { Sealer } from './member.ts';
import { Oracle } from './oracle.ts';
import type { Wire } from './wire.ts';
import { authenticated, PORT, type World } from './world.ts';

/** Frames a second: what the receiver follows on one busy core without overflowing its queue of 256. */
const RATE = 30_000;
const QUEUE = 200;

/** Mallory, with a session to bravo, and what bravo's kernel makes of mallory's frames. */
export class Traitor {
  readonly world: World;
  readonly wire: Wire;
  readonly oracle: Oracle;
  sealer: Sealer;

  private constructor(world: World, wire: Wire, oracle: Oracle, sealer: Sealer) {
    this.world = world;
    this.wire = wire;
    this.oracle = oracle;
    this.sealer = sealer;
  }

  static async open(world: World): Promise<Traitor> {
    const wire = await world.wire('mallory');
    const sealer = await world.session(wire, 'bravo');
    return new Traitor(world, wire, await Oracle.open(world), sealer);
  }

  /** Encrypts and sends the frames; resolves once they are with bravo's programs. */
  async send(frames: readonly Buffer[], perSecond = RATE): Promise<void> {
    const [from, to] = [this.world.host('mallory').address, this.world.host('bravo').address];
    const sealed = frames.map((frame) => this.wire.datagramFrame(from, PORT, to, PORT, this.sealer.seal(frame)));
    await this.wire.sendAll(sealed, frames.length > QUEUE ? perSecond : 0);
  }

  /** Sends the frames and says what bravo attributes to others now; empty: nothing. */
  async attempt(frames: readonly Buffer[]): Promise<readonly string[]> {
    const before = await authenticated(this.world.host('bravo'));
    await this.send(frames);
    const lost = before + frames.length - (await authenticated(this.world.host('bravo')));
    // What was lost on the way was not tried. A handful fits the queue, and must not be.
    if (frames.length <= QUEUE && lost !== 0)
      throw new Error(`${lost} of ${frames.length} frames were not authenticated`);
    return await this.oracle.look();
  }

  /** The fewest attacks in a row that still end in a violation, with it; tried anew, each time from a clean state. */
  async shrink(
    attacks: readonly Attack[],
  ): Promise<{ readonly attacks: readonly Attack[]; readonly violations: readonly string[] }> {
    const violations = async (some: readonly Attack[]) => {
      await this.oracle.forget();
      await this.oracle.look();
      return await this.attempt(some.flatMap(({ frames }) => frames));
    };
    let [left, found] = [attacks, await violations(attacks)];
    while (left.length > 1) {
      const half = Math.ceil(left.length / 2);
      const halves = [left.slice(0, half), left.slice(half)];
      let smaller: readonly Attack[] | undefined;
      for (const each of halves) {
        const again = await violations(each);
        if (again.length === 0) continue;
        [smaller, found] = [each, again];
        break;
      }
      if (smaller === undefined) break;
      left = smaller;
    }
    return { attacks: left, violations: found };
  }

  async close(): Promise<void> {
    await this.oracle.close();
  }
}

export function describeAttack({ what, frames }: Attack): string {
  return [what, ...frames.map((frame) => `    ${frame.toString('hex')}`)].join('\n');
}
