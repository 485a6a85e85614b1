import { createFleetReader, filesFromTexts } from '../src/manifest/load.ts';
import type { PublicKey } from '../src/manifest/model.ts';
import { type DesiredState, desiredState } from '../src/reconcile/desired.ts';
import { clusterText, hubText, type PostQuantum, robotText } from './handshakes/manifests.ts';
import { Robot, robotIdentity, type Times } from './handshakes/robot.ts';

/*
 * The robots' process of the handshake benchmark (bench/handshakes.ts), driven over its parent's IPC channel: many nodes
 * in one namespace, each with an address, a socket and a session manager of its own.
 */
export interface Commands {
  /** Makes the robots; nothing is sent yet. */
  open(options: { count: number; hub: PublicKey; hubAddress: string; postQuantum: PostQuantum }): Promise<void>;
  /** Ends all sessions and starts every robot anew; `speak`: each has a frame for the hub at once. */
  boot(options: { speak: boolean }): Promise<void>;
  /** From now on every robot sends a frame to the hub in this interval; 0: none. */
  talk(options: { everyMs: number }): Promise<void>;
  /** Forgets the times so far. */
  expect(): Promise<void>;
  times(): Promise<readonly Times[]>;
  close(): Promise<void>;
}

let robots: readonly Robot[] = [];
let talking: NodeJS.Timeout | undefined;

/** A robot's share of a fleet of itself and the hub: what else is in it is nothing to the robot. */
async function shareOf(at: number, texts: readonly string[]): Promise<DesiredState> {
  const files = filesFromTexts([...texts, robotText(at)].map((text, index) => ({ path: `${index}.yaml`, text })));
  const read = await createFleetReader().read(files);
  if (!read.ok) throw new Error(read.diagnostics.map(({ message }) => message).join('; '));
  return desiredState(read.fleet, { publicKey: robotIdentity(at).publicKey, resolve: () => undefined });
}

function talk(everyMs: number): void {
  clearInterval(talking);
  talking = undefined;
  if (everyMs === 0) return;
  // Spread over the interval, as robots that know nothing of each other are.
  const perTick = Math.ceil(robots.length / 100);
  let next = 0;
  talking = setInterval(() => {
    for (let spoken = 0; spoken < perTick; spoken++) robots[next++ % robots.length]?.speak();
  }, everyMs / 100);
}

const commands: Commands = {
  async open({ count, hub, hubAddress, postQuantum }) {
    const texts = [clusterText(postQuantum), hubText(hub, hubAddress)];
    const opened: Robot[] = [];
    for (let at = 0; at < count; at++) opened.push(await Robot.open(at, await shareOf(at, texts), hub));
    robots = opened;
  },
  async boot({ speak }) {
    await Promise.all(robots.map((robot) => robot.boot()));
    if (speak) for (const robot of robots) robot.speak();
  },
  talk: async ({ everyMs }) => talk(everyMs),
  async expect() {
    for (const robot of robots) robot.expect();
  },
  times: async () => robots.map(({ times }) => times),
  async close() {
    talk(0);
    await Promise.all(robots.map((robot) => robot.close()));
  },
};

process.on('message', (message: { id: number; command: keyof Commands; options: never }) => {
  commands[message.command](message.options).then(
    (result) => process.send?.({ id: message.id, result }),
    (error: Error) => process.send?.({ id: message.id, error: error.stack ?? error.message }),
  );
});

// With its parent: nobody else could end it.
process.on('disconnect', () => process.exit());
