import { existsSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { parse } from 'yaml';
import { dumpMap } from '../../lab/bpf.ts';
import { clusterDocument, FleetRepository, makeIdentity, ready, robotDocuments } from '../../lab/fleet.ts';
import { type Host, Lab } from '../../lab/lab.ts';
import { pingArguments } from '../../lab/ping.ts';
import { sleep, until } from '../../lab/shell.ts';
import type { Json } from '../../src/agent/api.ts';
import { macOf } from '../../src/manifest/keys.ts';
import type { PublicKey } from '../../src/manifest/model.ts';
import type { SessionState } from '../../src/reconcile/dataplane.ts';
import type { Row } from '../../src/reconcile/rows.ts';
import { Pinger } from '../soak/pinger.ts';

/*
 * The life of a robot's key: it is replaced under traffic, as `omni rotate` says, and the one of another robot is revoked
 * by deleting its file. The tests run in order.
 */
const ROBOTS = ['robot-1', 'robot-2', 'robot-3'];
const PING_INTERVAL_MS = 2;
const agentArguments = () => ['--source', fleet.url, '--path', 'fleet', '--interval', '1s'];
const vip = (host: Host) => `10.77.0.${ROBOTS.indexOf(host.name) + 1}`;

let lab: Lab;
let fleet: FleetRepository;
let everyone: Host[];
let rotating: Host;
let others: Host[];
const documents = new Map<Host, string>();

beforeAll(async () => {
  lab = await Lab.open({ name: 'omniid', hosts: ROBOTS, git: true });
  everyone = ROBOTS.map((name) => lab.host(name));
  rotating = lab.host('robot-2');
  others = everyone.filter((host) => host !== rotating);
  fleet = await FleetRepository.create(lab);
  await fleet.write('warehouse.yaml', clusterDocument({ subnets: ['10.77.0.0/16'] }));
  for (const host of everyone) {
    await makeIdentity(host);
    documents.set(host, await robotDocuments(host, [vip(host)]));
    await fleet.write(`${host.name}.yaml`, documents.get(host) ?? '');
  }
  await fleet.commitAndPush('three robots');
  for (const host of everyone) host.startAgent(agentArguments());
  await Promise.all(everyone.map((host) => ready(host)));
  for (const from of everyone) {
    for (const to of everyone) if (from !== to) await from.must(pingArguments(vip(to), { waitS: 3 }));
  }
});
afterAll(() => lab?.close());

/** Waits until every robot trusts the checkout's HEAD. */
async function everywhere(): Promise<void> {
  const head = (await fleet.git('rev-parse', 'HEAD')).trim();
  await Promise.all(
    everyone.map((host) =>
      host.mustOmni(['wait', `--for=revision=${head}`, '--timeout', '40s'], { timeoutMs: 45_000 }),
    ),
  );
}

async function rowsOf(host: Host): Promise<readonly Row[]> {
  const { items }: { items: readonly { readonly observed?: Row }[] } = JSON.parse(
    await host.mustOmni(['get', 'rows', '-o', 'json']),
  );
  return items.flatMap(({ observed }) => observed ?? []);
}

const macOfLink = async (host: Host) => (await host.must(['cat', '/sys/class/net/omni0/address'])).trim();

async function sessionsOf(host: Host): Promise<readonly Json<SessionState>[]> {
  const { items }: { items: readonly Json<SessionState>[] } = JSON.parse(
    await host.mustOmni(['get', 'sessions', '-o', 'json']),
  );
  return items;
}

it('a robot gets another key in three commits, and 2,000 packets a second lose none', {
  timeout: 120_000,
}, async () => {
  const old = (await rotating.mustOmni(['init', '--existing'])).trim() as PublicKey;
  const pings = others.flatMap((other) => [
    new Pinger(rotating, other, vip(other), PING_INTERVAL_MS),
    new Pinger(other, rotating, vip(rotating), PING_INTERVAL_MS),
  ]);
  await sleep(500);

  let next = '' as PublicKey;
  const made = new Set(
    (await Promise.all(others.map((host) => sessionsOf(host)))).flat().map(({ localId }) => localId),
  );
  for (const step of ['both keys', 'the new one first', 'the new one alone']) {
    const { spec }: { spec: { publicKey: PublicKey; nextPublicKey?: PublicKey } } = parse(
      await rotating.mustOmni(['rotate']),
    );
    next = spec.publicKey === old ? (spec.nextPublicKey ?? next) : spec.publicKey;
    const keys = Object.entries(spec).map(([field, key]) => `\n  ${field}: ${key}`);
    const document = (documents.get(rotating) ?? '').replace(/\n {2}publicKey: \S+/, keys.join(''));
    await fleet.write(`${rotating.name}.yaml`, document);
    await fleet.commitAndPush(`robot-2: ${step}`);
    await everywhere();
  }
  expect(next).not.toBe(old);
  expect(await rotating.mustOmni(['rotate'])).toMatch(/run omni rotate --finish/);
  expect((await rotating.mustOmni(['rotate', '--finish'])).trim()).toBe(next);
  await until(
    'the sessions that the old key made are renewed',
    async () => {
      const now = await Promise.all(others.map((host) => sessionsOf(host)));
      return now.every((sessions) => {
        const own = sessions.filter(({ peer }) => peer === next);
        return own.length === 1 && own.every(({ localId }) => !made.has(localId));
      });
    },
    30_000,
  );

  await Promise.all(pings.map((ping) => ping.stop()));
  for (const ping of pings) {
    expect(ping.received, ping.name).toBeGreaterThan(2_000);
    expect({ name: ping.name, lost: ping.lost, duplicates: ping.duplicates }).toEqual({
      name: ping.name,
      lost: [],
      duplicates: 0,
    });
  }

  // Nobody knows the old key any more, and nothing of the robot went away on the way.
  for (const host of others) {
    const rows = await rowsOf(host);
    const peers = rows.flatMap((row) => (row.kind === 'peer' ? row.publicKey : []));
    expect(peers).toContain(next);
    expect(peers).not.toContain(old);
    const macs = rows.flatMap((row) => (row.kind === 'fdb' || row.kind === 'neighbour' ? row.mac : []));
    expect(macs.filter((mac) => mac === macOf(next))).toHaveLength(2);
    expect(macs).not.toContain(macOf(old));
    expect(await host.mustOmni(['describe', 'peer/robot-2'])).toContain(next);
  }
  const [link] = (await rowsOf(rotating)).filter((row) => row.kind === 'link');
  expect(link).toMatchObject({ mac: macOf(next) });
  expect(await macOfLink(rotating)).toBe(macOf(next));
  expect(await rotating.must(['tc', 'filter', 'show', 'dev', 'omni0', 'ingress'])).toBe('');
  expect(existsSync(join(rotating.folder, 'state', 'identity.next.key'))).toBe(false);
  expect((await rotating.mustOmni(['init', '--existing'])).trim()).toBe(next);
});

it('what an agent left that was killed while it changed the MAC is set right by the next, under its sessions', async () => {
  const [link] = (await rowsOf(rotating)).filter((row) => row.kind === 'link');
  const sessions = (await sessionsOf(rotating)).map(({ localId }) => localId).sort();
  await rotating.stopAgent('SIGKILL');
  const program = join(rotating.folder, 'bpf', 'omni', 'omni0', 'prog_delivery');
  const filter = ['filter', 'add', 'dev', 'omni0', 'ingress', 'prio', '1', 'handle', '1'];
  await rotating.must(['tc', ...filter, 'bpf', 'direct-action', 'object-pinned', program]);
  await rotating.must(['ip', 'link', 'set', 'omni0', 'address', '02:00:00:00:00:77']);
  rotating.startAgent(agentArguments());
  await ready(rotating);
  await until('the MAC is right again', async () => (await macOfLink(rotating)) === link?.mac);
  expect(await rotating.must(['tc', 'filter', 'show', 'dev', 'omni0', 'ingress'])).toBe('');
  expect((await sessionsOf(rotating)).map(({ localId }) => localId).sort()).toEqual(sessions);
  for (const other of others) await other.must(pingArguments(vip(rotating), { waitS: 3 }));
});

it('a robot whose file is deleted is cut off within a second of the commit', { timeout: 60_000 }, async () => {
  const [witness, stolen] = [lab.host('robot-1'), lab.host('robot-3')];
  const { publicKey } = JSON.parse(await stolen.mustOmni(['status', '-o', 'json'])).node as { publicKey: PublicKey };
  const ping = new Pinger(stolen, witness, vip(witness), PING_INTERVAL_MS);
  await sleep(500);
  await fleet.remove('robot-3.yaml');
  await fleet.commitAndPush('robot-3 was stolen');
  const mark = join(witness.folder, 'state', 'git', 'mark.json');
  const before = statSync(mark).mtimeMs;
  const arrivedMs = await until('the commit arrives', async () => {
    const { mtimeMs } = statSync(mark);
    return mtimeMs > before && mtimeMs;
  });
  await until('its sessions are gone', async () => (await sessionsOf(witness)).every(({ peer }) => peer !== publicKey));
  await sleep(200);
  const { lastReplyMs } = ping;
  await sleep(200);
  expect(ping.lastReplyMs).toBe(lastReplyMs);
  await ping.stop();
  expect(lastReplyMs - arrivedMs).toBeLessThan(1_000);

  expect(await dumpMap(witness, 'session_map')).toHaveLength((await sessionsOf(witness)).length);
  const left = (await rowsOf(witness)).filter((row) => 'publicKey' in row && row.publicKey === publicKey);
  expect(left).toEqual([]);
});
