import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { clusterDocument, FleetRepository, makeIdentity, robotDocuments } from '../../lab/fleet.ts';
import { type Host, Lab } from '../../lab/lab.ts';
import { type Background, until } from '../../lab/shell.ts';
import type { Event, Json, Status } from '../../src/agent/api.ts';
import { connectAgent } from '../../src/agent/client.ts';
import { macOf } from '../../src/manifest/keys.ts';
import { freshKey } from './dataplane-fixture.ts';

/*
 * What others do to this node's links, addresses and routes: healed, and told with who did it; left alone where somebody
 * keeps doing it, and where the cluster says so. The tests run in order.
 */
let lab: Lab;
let host: Host;
let fleet: FleetRepository;

const VIP = '10.77.0.1';
/** Of a peer that is declared, and never answers. */
const OTHER = { key: freshKey(), vips: ['10.77.0.17', 'fd77::17'] } as const;
const VIP6 = 'fd77::1';
const ROUTE = '10.77.0.0/16';
const address = `address/omni0/${VIP}`;

beforeAll(async () => {
  lab = await Lab.open({ name: 'omnidrift', hosts: ['robot-1'], git: true });
  host = lab.host('robot-1');
  await makeIdentity(host);
  fleet = await FleetRepository.create(lab);
  await fleet.write('warehouse.yaml', clusterDocument());
  await fleet.write('robot-1.yaml', await robotDocuments(host, [VIP, VIP6]));
  await fleet.write('robot-17.yaml', otherDocuments());
  await fleet.commitAndPush('fleet: one robot');
  host.startAgent(['--source', fleet.url, '--path', 'fleet', '--interval', '1s']);
  await ready();
});
afterAll(() => lab?.close());

function otherDocuments(): string {
  const spec = (kind: string, name: string, body: string) =>
    `apiVersion: omni.io/v1alpha1\nkind: ${kind}\nmetadata: { name: ${name} }\nspec: { ${body} }\n`;
  return [
    spec('Peer', 'robot-17', `clusters: [warehouse], publicKey: ${OTHER.key}`),
    ...OTHER.vips.map((vip, at) =>
      spec('VIP', `robot-17-${at}`, `cluster: warehouse, address: "${vip}", peer: robot-17`),
    ),
  ].join('---\n');
}

const status = (): Promise<Json<Status>> => agent().status();
const condition = async (type: string) => (await status()).conditions.find((each) => each.type === type);
/** A Unix socket is reached from any network namespace. */
const agent = () => connectAgent({ socket: host.socket, timeoutMs: 10_000 });
async function events(since = 0): Promise<readonly Json<Event>[]> {
  const found: Json<Event>[] = [];
  const { signal } = new AbortController();
  for await (const event of agent().events({ watch: false, since, signal })) found.push(event);
  return found;
}
const ready = () =>
  until(
    'the newest revision is in force',
    async () => {
      if (host.agent?.running === false) throw new Error(`the agent ended:\n${host.agent.text}`);
      const head = (await fleet.git('rev-parse', 'HEAD')).trim();
      const { revision } = await status().catch(() => ({ revision: undefined }));
      return revision?.lastApplied?.id === head && (await condition('Ready'))?.status === 'True';
    },
    30_000,
  );
const lastSequence = async () => (await events()).at(-1)?.sequence ?? 0;

const has = {
  address: async (vip = VIP) => (await host.must(['ip', 'address', 'show', 'dev', 'omni0'])).includes(`${vip}/`),
  route: async () => (await host.must(['ip', 'route'])).includes(`${ROUTE} dev omni0`),
  link: async () => /omni0@omni0x: <[^>]*\bUP\b/.test((await host.exec(['ip', 'link', 'show', 'omni0'])).stdout),
};

/** The event that says how `object` was healed after `act`. */
async function healing(object: string, act: () => Promise<unknown>): Promise<Json<Event>> {
  const since = await lastSequence();
  await act();
  return until(`${object} is healed`, async () => {
    return (await events(since)).find((event) => event.reason === 'DriftHealed' && event.object === object);
  });
}

describe('what somebody does to this node', () => {
  it('is undone, and told with the process that did it', async () => {
    // A shell's own process id, which `exec` hands to ip.
    const remove = (command: string) => host.must(['sh', '-c', `echo $$; exec ${command}`]);
    let pid = '';
    const gone = await healing(address, async () => {
      pid = (await remove(`ip address del ${VIP}/32 dev omni0`)).trim();
    });
    expect(gone.message).toMatch(new RegExp(`^was removed by (ip \\()?pid ${pid}\\)?; made again$`));
    expect(await has.address()).toBe(true);

    const lost = await healing(`route/omni0/${ROUTE}`, async () => {
      pid = (await remove(`ip route del ${ROUTE}`)).trim();
    });
    expect(lost.message).toMatch(new RegExp(`^was removed by (ip \\()?pid ${pid}\\)?; made again$`));
    expect(await has.route()).toBe(true);
  });

  it('is undone where the kernel does not tell by whom: IPv6 addresses and links', async () => {
    const gone = await healing(`address/omni0/${VIP6}`, () =>
      host.must(['ip', 'address', 'del', `${VIP6}/128`, 'dev', 'omni0']),
    );
    expect(gone.message).toBe('was missing; made again');
    const down = await healing('link/omni0', () => host.must(['ip', 'link', 'set', 'omni0', 'down']));
    expect(down.message).toBe('was down, missing or altered; set back');
    await until('the routes are back', has.route);
    await healing('link/omni0', () => host.must(['ip', 'link', 'del', 'omni0']));
    await until('all is back', async () => (await has.link()) && (await has.route()) && (await has.address()));
    await ready();
  });

  it('is no drift when this node did it, and costs no write when nobody does anything', async () => {
    const since = await lastSequence();
    await fleet.write(
      'more.yaml',
      `apiVersion: omni.io/v1alpha1\nkind: VIP\nmetadata: { name: more }\nspec: { cluster: warehouse, address: 10.77.0.99, peer: robot-1 }\n`,
    );
    await fleet.commitAndPush('fleet: one more address');
    await until('it is there', () => has.address('10.77.0.99'));
    await ready();
    const { writes } = await status();
    await host.mustOmni(['reconcile']);
    expect((await status()).writes).toBe(writes);
    expect((await events(since)).filter(({ reason }) => reason.startsWith('Drift'))).toEqual([]);
  });
});

describe("what somebody does to the stack's neighbours", () => {
  const MAC = macOf(OTHER.key);
  const entry = async (vip: string) => (await host.must(['ip', 'neigh', 'show', 'to', vip, 'dev', 'omni0'])).trim();
  const permanent = (vip: string) =>
    until(`${vip} is permanent`, async () => (await entry(vip)).startsWith(`${vip} lladdr ${MAC} PERMANENT`));
  // A shell's own process id, which `exec` hands to ip.
  const neigh = async (...argv: string[]) =>
    (await host.must(['sh', '-c', `echo $$; exec ip neigh ${argv.join(' ')} dev omni0`])).trim();

  it.each(OTHER.vips)('is undone within two seconds: %s', async (vip) => {
    const object = `neighbour/omni0/${vip}`;
    await permanent(vip);
    const started = performance.now();
    let pid = '';
    const gone = await healing(object, async () => {
      pid = await neigh('del', vip);
    });
    expect(gone.message).toMatch(
      new RegExp(`^was removed from the stack's neighbour table by (ip \\()?pid ${pid}\\)?; set back$`),
    );
    await permanent(vip);
    expect(performance.now() - started).toBeLessThan(2_000);
    const moved = await healing(object, async () => {
      pid = await neigh('replace', vip, 'lladdr', '02:00:00:00:00:99', 'nud', 'permanent');
    });
    expect(moved.message).toMatch(
      new RegExp(`^was given another MAC in the stack's neighbour table by (ip \\()?pid ${pid}\\)?; set back$`),
    );
    await permanent(vip);
  });

  it('is told by omni why', async () => {
    const [report] = await agent().why(OTHER.vips[0]);
    expect(report?.rows.find(({ key }) => key === `neighbour/omni0/${OTHER.vips[0]}`)).toMatchObject({
      state: 'verified',
    });
  });

  it('does not happen when the link goes and comes: they come back with it', async () => {
    const since = await lastSequence();
    await healing('link/omni0', () => host.must(['ip', 'link', 'set', 'omni0', 'down']));
    for (const vip of OTHER.vips) await permanent(vip);
    await ready();
    expect((await events(since)).filter(({ object }) => object.startsWith('neighbour/'))).toEqual([]);
  });
});

describe('a program that does it again and again', () => {
  let enemy: Background;
  afterAll(() => enemy?.stop('SIGKILL'));

  it('ends as Contested: named, not fought for ever', async () => {
    // One process for all of it, as a network manager is; its feeder ends with it.
    const feed = `while echo "address del ${VIP}/32 dev omni0"; do sleep 0.05; done`;
    enemy = host.background(['bash', '-c', `exec ip -force -batch <(${feed})`]);
    const contested = await until('the condition', () => condition('Contested'), 20_000);
    expect(contested.message).toMatch(new RegExp(`${address} was removed by ip \\(pid \\d+\\)`));
    expect(await condition('Ready')).toMatchObject({ status: 'False', reason: 'Contested' });
    expect((await events()).filter(({ reason }) => reason === 'Contested')).toHaveLength(1);
    const { writes } = await status();
    await new Promise((resolve) => setTimeout(resolve, 2_000));
    expect((await status()).writes).toBe(writes);
    expect(await has.address()).toBe(false);
    expect(await agent().metrics()).toMatch(/^omni_contested_rows 1$/m);
    const [report] = await agent().why(VIP);
    expect(report?.rows.find(({ key }) => key === address)).toMatchObject({ state: 'failed' });
    expect(report?.objects[0]).toMatchObject({
      object: 'vip/robot-1',
      position: { file: 'robot-1.yaml' },
      commit: { subject: 'fleet: one robot' },
    });
  });

  it('is over when it has stopped and a person says so', async () => {
    await enemy.stop('SIGKILL');
    await host.mustOmni(['reconcile']);
    expect(await has.address()).toBe(true);
    await ready();
    expect(await condition('Contested')).toBeUndefined();
  });
});

describe('a link that is deleted again and again', () => {
  it('is left too, with all that it carries, and all of it comes back together', async () => {
    const enemy = host.background(['bash', '-c', 'while :; do ip link del omni0 2>/dev/null; sleep 0.5; done']);
    try {
      const contested = await until('the condition', () => condition('Contested'), 30_000);
      expect(contested.message).toContain('link/omni0 was down, missing or altered');
      const { writes } = await status();
      await new Promise((resolve) => setTimeout(resolve, 1_000));
      expect((await status()).writes).toBe(writes);
    } finally {
      await enemy.stop('SIGKILL');
    }
    // The last of its deletions may still be under way.
    await until('the pass is done', async () => (await host.omni(['reconcile'])).status === 0);
    await ready();
    expect([await has.link(), await has.route(), await has.address(), await has.address(VIP6)]).toEqual([
      true,
      true,
      true,
      true,
    ]);
  });
});

describe('a cluster of mode report', () => {
  it('leaves what changed and says so, carries commits out, and heals when it is told to enforce again', async () => {
    await fleet.write('warehouse.yaml', clusterDocument({ spec: '  mode: report' }));
    await fleet.commitAndPush('fleet: look, do not touch');
    await ready();
    await host.must(['ip', 'address', 'del', `${VIP}/32`, 'dev', 'omni0']);
    const drifted = await until('the condition', () => condition('Drifted'));
    expect(drifted.message).toContain(address);
    expect(await condition('Ready')).toMatchObject({ status: 'True' });

    await fleet.remove('more.yaml');
    await fleet.commitAndPush('fleet: one address less');
    await until('the commit is carried out', async () => !(await has.address('10.77.0.99')));
    await host.mustOmni(['reconcile']);
    expect(await has.address()).toBe(false);
    expect(
      (await events()).filter((event) => event.reason === 'DriftDetected' && event.object === address),
    ).toHaveLength(1);

    await fleet.write('warehouse.yaml', clusterDocument());
    await fleet.commitAndPush('fleet: enforce');
    await until('it is healed', has.address);
    await until('nothing drifts', async () => (await condition('Drifted')) === undefined);
  });
});
