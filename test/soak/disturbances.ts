import type { Host } from '../../lab/lab.ts';
import { must, sleep } from '../../lab/shell.ts';
import { carrier, type World } from './world.ts';

/** What is done to a fleet. `allowedMs`: how long the pairs of `host` may be silent; 0: nobody may notice. */
export interface Deed {
  readonly what: string;
  readonly allowedMs: number;
  /** Its effects may show for so long after it was done. */
  readonly settleMs: number;
  run(world: World, host: Host): Promise<void>;
}

/** A path that failed is left in under two seconds; the margin is for two cores that do all of it. */
const FAILOVER_MS = 3_000;

const killed: Deed = {
  what: 'agent killed and restarted',
  allowedMs: 0,
  settleMs: 2_000,
  async run(world, host) {
    await world.stop(host, 'SIGKILL');
    await sleep(1_000);
    world.start(host);
    await world.ready(host);
  },
};

/** To `root` and back, so that each time the programs are replaced. */
function upgraded(root: string): Deed {
  const there = new Set<Host>();
  return {
    what: 'agent upgraded to another build',
    allowedMs: 0,
    settleMs: 2_000,
    async run(world, host) {
      await world.stop(host, 'SIGTERM');
      if (there.delete(host)) world.start(host);
      else {
        there.add(host);
        world.start(host, root);
      }
      await world.ready(host);
    },
  };
}

const committed: Deed = {
  what: 'commit that changes nothing here',
  allowedMs: 0,
  settleMs: 2_000,
  async run(world, host) {
    const text = world.documents.get(host) ?? '';
    await world.rewrite(host, `# ${Date.now()}\n${text.replace(/^# \d+\n/, '')}`);
    await world.repository.commitAndPush(`a word about ${host.name}`);
    await everywhere(world);
  },
};

/** The underlay in use loses its carrier for a while: traffic goes the other way. */
function unplugged(device: 'eth0' | 'eth1'): Deed {
  return {
    what: `${device} unplugged for 6 s`,
    allowedMs: FAILOVER_MS,
    settleMs: 3_000,
    async run(world, host) {
      await carrier(world, host, device, false);
      await sleep(6_000);
      await carrier(world, host, device, true);
    },
  };
}

/** The underlay in use keeps its carrier and leads nowhere: only silence tells. */
const silenced: Deed = {
  what: 'eth0 leads nowhere for 6 s',
  allowedMs: FAILOVER_MS,
  settleMs: 3_000,
  async run(world, host) {
    const port = ['ip', '-n', world.lab.underlayNamespace, 'link', 'set', `${host.name}.p`];
    await must([...port, 'nomaster']);
    await sleep(6_000);
    await must([...port, 'master', 'br0']);
  },
};

/** A new lease: the address on the first underlay is another one from now on. */
const readdressed: Deed = {
  what: 'address of eth0 changed',
  allowedMs: FAILOVER_MS,
  settleMs: 5_000,
  async run(world, host) {
    const n = world.hosts.indexOf(host) + 1;
    const listing = await must(['ip', '-n', host.namespace, '-4', '-o', 'address', 'show', 'dev', 'eth0']);
    const before = /inet (\S+)\/24/.exec(listing)?.[1];
    const after = before === `192.0.2.${n}` ? `192.0.2.${n + 100}` : `192.0.2.${n}`;
    await must(['ip', '-n', host.namespace, 'address', 'delete', `${before}/24`, 'dev', 'eth0']);
    await must(['ip', '-n', host.namespace, 'address', 'add', `${after}/24`, 'dev', 'eth0']);
    await must(['ip', '-n', host.namespace, 'route', 'replace', 'default', 'via', '192.0.2.254']);
    await sleep(1_000);
  },
};

/** A whole rotation, by the three commits that `omni rotate` asks for. */
const rotated: Deed = {
  what: 'identity rotated',
  allowedMs: 0,
  settleMs: 3_000,
  async run(world, host) {
    const key = (text: string, field: string) => new RegExp(`\\n  ${field}: (\\S+)`).exec(text)?.[1] ?? '';
    const began = await host.mustOmni(['rotate', '-o', 'json']);
    const next: string = JSON.parse(began).nextPublicKey;
    const text = world.documents.get(host) ?? '';
    const old = key(text, 'publicKey');
    const without = text.replace(/\n {2}nextPublicKey: \S+/, '');
    const withKeys = (current: string, other?: string) =>
      without.replace(
        /\n {2}publicKey: \S+/,
        `\n  publicKey: ${current}${other === undefined ? '' : `\n  nextPublicKey: ${other}`}`,
      );
    for (const [step, document] of [
      ['names the next key', withKeys(old, next)],
      ['swaps the keys', withKeys(next, old)],
      ['drops the old key', withKeys(next)],
    ] as const) {
      await world.rewrite(host, document);
      await world.repository.commitAndPush(`${host.name} ${step}`);
      await everywhere(world);
    }
    await host.mustOmni(['rotate', '--finish']);
  },
};

/** Waits until every host has the checkout's HEAD as its last known good. */
async function everywhere(world: World): Promise<void> {
  const head = (await world.repository.git('rev-parse', 'HEAD')).trim();
  await Promise.all(
    world.hosts.map((host) =>
      host.mustOmni(['wait', `--for=revision=${head}`, '--timeout', '50s'], { timeoutMs: 55_000 }),
    ),
  );
}

export function deeds(otherRoot: string): readonly Deed[] {
  return [killed, upgraded(otherRoot), committed, unplugged('eth0'), rotated, readdressed, silenced, unplugged('eth1')];
}
