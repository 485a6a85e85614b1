import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Attack, InnerFrames } from './inner-frames.ts';
import { Random, seedOfRun } from './random.ts';
import { describeAttack, Traitor } from './traitor.ts';
import { authenticated, World } from './world.ts';

const FRAMES = 100_000;
const BATCH = 5_000;

let world: World;
let traitor: Traitor;

beforeAll(async () => {
  world = await World.open('omniadv');
  traitor = await Traitor.open(world);
});
afterAll(async () => {
  await traitor?.close();
  await world?.close();
});

describe('the kernel as the oracle', () => {
  it(`believes none of ${FRAMES} random frames of a member's that are in anybody else's name`, {
    timeout: 240_000,
  }, async () => {
    const seed = seedOfRun();
    const bravo = world.host('bravo');
    const generator = new InnerFrames(new Random(seed), world.places);
    const [before, counts] = [await authenticated(bravo), await traitor.oracle.counts()];
    const begun = performance.now();
    let [sent, honest] = [0, 0];
    while ((await authenticated(bravo)) - before < FRAMES) {
      const batch: Attack[] = [];
      for (let size = 0; size < BATCH; ) {
        const attack = generator.next();
        batch.push(attack);
        size += attack.frames.length;
        if (attack.honest) honest++;
      }
      const frames = batch.flatMap((each) => each.frames);
      sent += frames.length;
      const violations = await traitor.attempt(frames);
      if (violations.length > 0) {
        const shrunk = await traitor.shrink(batch);
        const report = [
          `OMNI_SEED=${seed}, within ${sent} frames:`,
          ...violations.slice(0, 20),
          '--- of these remains:',
        ];
        expect.fail(
          [
            ...report,
            ...shrunk.violations.slice(0, 5),
            'after',
            ...shrunk.attacks.slice(0, 5).map(describeAttack),
          ].join('\n'),
        );
      }
    }
    const took = (performance.now() - begun) / 1000;
    const arrived = (await traitor.oracle.counts()).honest - counts.honest;
    console.log(`OMNI_SEED=${seed}: ${sent} frames in ${took.toFixed(1)} s, ${arrived} of ${honest} honest ones heard`);
    expect(arrived).toBeGreaterThan(0.9 * honest);
  });
});
