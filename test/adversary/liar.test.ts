import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { until } from '../../lab/shell.ts';
import type { Event, Status } from '../../src/agent/api.ts';
import { mac } from './packets.ts';
import type { Wire } from './wire.ts';
import { PORT, World } from './world.ts';

/* A member that answers what it likes. With agents as shipped on all sides: test/netns/rollout.test.ts. */
const MESSAGE = 0x88b6;
const ECHO_REQUEST = 1;
const ECHO_REPLY = 2;

let world: World;
let wire: Wire;

beforeAll(async () => {
  world = await World.open('omnilie', { spec: '  probation: { confirmWithin: 5s }\n' });
  wire = await world.wire('mallory');
});
afterAll(() => world?.close());

const statusOf = async (): Promise<Status> =>
  JSON.parse((await world.host('bravo').omni(['status', '-o', 'json'])).stdout) as Status;
const warningsOf = async (reason: string): Promise<readonly Event[]> => {
  const { items } = JSON.parse(await world.host('bravo').mustOmni(['events', '-o', 'json'])) as {
    items: readonly Event[];
  };
  return items.filter((event) => event.reason === reason);
};

/** The answer to an echo request of bravo's; undefined: the frame is none. */
function answerTo(frame: Buffer): Buffer | undefined {
  if (frame.length < 30 || frame.readUInt16BE(12) !== MESSAGE || frame[15] !== ECHO_REQUEST) return undefined;
  const reply = Buffer.from(frame);
  reply.set(mac(world.places.bravo.mac), 0);
  reply.set(mac(world.places.mallory.mac), 6);
  reply[15] = ECHO_REPLY;
  return reply;
}

describe('S8: a veto', () => {
  it('S8: a member that answers what measures the baseline, and no more, keeps no commit out', {
    timeout: 150_000,
  }, async () => {
    const bravo = world.host('bravo');
    const sealer = await world.session(wire, 'bravo');
    const send = (payload: Uint8Array) =>
      wire.send(wire.datagramFrame(world.host('mallory').address, PORT, bravo.address, PORT, payload));
    // Whatever else bravo asks of mallory is left open, from the second question of a kind on.
    const asked = new Set<string>();
    let silent = false;
    wire.onDatagram = ({ source, payload }) => {
      if (source !== bravo.address) return;
      const frame = sealer.open(payload);
      const reply = frame && answerTo(frame);
      if (reply === undefined) return;
      asked.add(reply.subarray(22, 30).toString('hex'));
      if (asked.size > 1) silent = true;
      if (!silent) send(sealer.seal(reply));
    };
    const keepalive = setInterval(() => send(sealer.seal(Buffer.alloc(0))), 1_000);
    try {
      const before = (await statusOf()).revision.lastApplied?.id;
      const vip = (name: string, address: string, peer: string) =>
        `apiVersion: omni.io/v1alpha1\nkind: VIP\nmetadata: { name: ${name} }\nspec: { cluster: warehouse, address: ${address}, peer: ${peer} }\n`;
      await writeFile(
        join(world.fleet, 'more.yaml'),
        `${vip('m2', '10.77.1.9', 'mallory')}---\n${vip('b2', '10.77.1.2', 'bravo')}`,
      );
      await until(
        'bravo trusts the commit',
        async () => {
          const { rollout } = await statusOf();
          return rollout.lastKnownGood?.id !== before && rollout.trial === undefined;
        },
        120_000,
        250,
      );
      // It did try: the commit was taken back once.
      expect(asked.size).toBeGreaterThan(1);
      expect(await warningsOf('ProbeDiscounted')).toMatchObject([
        { message: expect.stringContaining('mallory') as string },
      ]);
      expect(await bravo.must(['ip', 'address', 'show', 'dev', 'omni0'])).toContain('10.77.1.2');
    } finally {
      clearInterval(keepalive);
    }
  });
});
