import { generateKeyPairSync } from 'node:crypto';
import { existsSync, readFileSync, watch } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { clusterDocument, FleetRepository, makeIdentity, ready, robotDocuments } from '../../lab/fleet.ts';
import { type Host, Lab } from '../../lab/lab.ts';
import { parsePing, ping, pingArguments } from '../../lab/ping.ts';
import { type Background, must, sleep, until } from '../../lab/shell.ts';
import type { Status } from '../../src/agent/api.ts';

/*
 * Three robots with live sessions, and commits that pass every check and still cut somebody off. Each must be taken back
 * within `confirmWithin` + 5 s, without a packet lost between those whom it did not concern, and the next good commit
 * must go through. The tests run in order; each leaves the fleet as it found it.
 */
const CONFIRM_WITHIN_S = 6;
const LIMIT_MS = (CONFIRM_WITHIN_S + 5) * 1000;
/** How long commits, command lines and agents' starts take depends on what else the machine does. */
const TIMEOUT_MS = 240_000;

let lab: Lab;
let fleet: FleetRepository;
let one: Host;
let two: Host;
let three: Host;
let everyone: readonly Host[];
const documents = new Map<Host, string>();
let commits = 0;

const cluster = (spec = '') =>
  clusterDocument({ subnets: ['10.77.0.0/16'], spec: `  probation: { confirmWithin: ${CONFIRM_WITHIN_S}s }\n${spec}` });
const status = async (host: Host): Promise<Status> =>
  JSON.parse((await host.omni(['status', '-o', 'json'])).stdout) as Status;
const head = async () => (await fleet.git('rev-parse', 'HEAD')).trim();
const ownDocuments = (host: Host) => documents.get(host) ?? '';

/** A hundred pings a second until `lost` is asked for. */
function watchPath(from: Host, address: string): { lost(): Promise<number> } {
  const traffic: Background = from.background(pingArguments(address, { count: 100_000, intervalS: 0.01, waitS: 1 }));
  return {
    async lost() {
      await traffic.stop('SIGINT');
      const { sent, received } = parsePing(traffic.text);
      expect(sent).toBeGreaterThan(50);
      return sent - received;
    },
  };
}

interface Outcome {
  readonly exit: number;
  readonly said: string;
}

/** Commits, pushes, and asks every host to fetch at once, as a webhook would. */
async function push(message: string): Promise<Map<Host, Outcome>> {
  await fleet.write('log.txt', `${message} ${++commits}\n`);
  await fleet.commit(message);
  await fleet.push();
  const outcomes = await Promise.all(
    everyone.map(async (host): Promise<[Host, Outcome]> => {
      const {
        status: exit,
        stdout,
        stderr,
      } = await host.omni(['reconcile', '--timeout', '60s'], { timeoutMs: 70_000 });
      return [host, { exit, said: `${host.name}: ${stdout}${stderr}` }];
    }),
  );
  return new Map(outcomes);
}

async function expectRolledBack(host: Host, outcome: Outcome | undefined, bad: string, good: string): Promise<void> {
  expect(outcome?.exit, outcome?.said).toBe(5);
  const { revision, rollout, conditions } = await status(host);
  // By the node's own clock: how long the command line took to say so depends on what else the machine does.
  expect(rollout.history.find((entry) => entry.revision.id === bad)?.tookMs).toBeLessThan(LIMIT_MS);
  expect(revision.lastApplied?.id).toBe(good);
  expect(revision.lastAttempted?.id).toBe(bad);
  expect(rollout.lastKnownGood?.id).toBe(good);
  expect(rollout.quarantined.map((each) => each.revision.id)).toContain(bad);
  for (const type of ['Ready', 'Stalled'] as const) {
    const condition = conditions.find((each) => each.type === type);
    expect(condition?.status, JSON.stringify(conditions)).toBe(type === 'Ready' ? 'False' : 'True');
    expect(condition?.reason).toBe('RolledBackToLastKnownGood');
  }
}

function pidOf(host: Host): number {
  const pid = host.agent?.child.pid;
  if (pid === undefined) throw new Error(`no agent runs on ${host.name}`);
  return pid;
}

/**
 * Stops processes of agents, in this order, as soon as the record of a trial is on disk at the first one: before its first
 * write. Resolves with what lets that one go on.
 */
function stopInTrial(host: Host, ...others: readonly Host[]): Promise<() => void> {
  const pids = [host, ...others].map(pidOf);
  const folder = join(host.folder, 'state');
  const record = join(folder, 'rollout.json');
  return new Promise((resolve) => {
    const watcher = watch(folder, () => {
      if (!existsSync(record) || !readFileSync(record, 'utf8').includes('"trial":')) return;
      for (const pid of pids) process.kill(pid, 'SIGSTOP');
      watcher.close();
      resolve(() => process.kill(pidOf(host), 'SIGCONT'));
    });
  });
}

async function expectTrusted(message: string): Promise<void> {
  for (const [host, { exit, said }] of await push(message)) {
    expect(exit, said).toBe(0);
    expect((await status(host)).rollout.lastKnownGood?.id).toBe(await head());
  }
}

async function reaches(from: Host, address: string): Promise<void> {
  const answers = async () => (await ping(from, address, { count: 1, waitS: 2 })).received === 1;
  await until(`${from.name} reaches ${address}`, answers, 60_000);
}

/** The next good commit goes through everywhere, and everybody reaches everybody. */
async function expectGood(message: string): Promise<void> {
  await expectTrusted(message);
  for (const [from, to] of [
    [one, '10.77.0.2'],
    [two, '10.77.0.3'],
    [one, '10.77.0.3'],
  ] as const) {
    expect((await ping(from, to, { count: 3, intervalS: 0.05, waitS: 5 })).received, `${from.name} -> ${to}`).toBe(3);
  }
}

beforeAll(async () => {
  lab = await Lab.open({ name: 'omniroll', hosts: ['robot-1', 'robot-2', 'robot-3'], git: true });
  [one, two, three] = [lab.host('robot-1'), lab.host('robot-2'), lab.host('robot-3')];
  everyone = [one, two, three];
  fleet = await FleetRepository.create(lab);
  await fleet.write('warehouse.yaml', cluster());
  for (const [at, host] of everyone.entries()) {
    await makeIdentity(host);
    documents.set(host, await robotDocuments(host, [`10.77.0.${at + 1}`]));
    await fleet.write(`${host.name}.yaml`, ownDocuments(host));
  }
  await fleet.commitAndPush('fleet: three robots');
  for (const host of everyone) host.startAgent(['--source', fleet.url, '--path', 'fleet', '--interval', '1h']);
  await Promise.all(everyone.map((host) => ready(host)));
  await expectGood('fleet: nothing new');
}, 60_000);
afterAll(() => lab?.close());

describe('a commit that breaks reachability is taken back', { timeout: TIMEOUT_MS }, () => {
  it('a wrong endpoint port: by the nodes that would call there; others do not notice', async () => {
    const good = await head();
    const path = watchPath(one, '10.77.0.3');
    await fleet.write('robot-2.yaml', ownDocuments(two).replace(':51820', ':51821'));
    const outcomes = await push('robot-2: a slip in the port');
    const bad = await head();
    for (const host of [one, three]) await expectRolledBack(host, outcomes.get(host), bad, good);
    expect(outcomes.get(two)?.exit, outcomes.get(two)?.said).toBe(0);
    expect(await path.lost()).toBe(0);
    expect((await ping(one, '10.77.0.2', { count: 3, intervalS: 0.05 })).received).toBe(3);
    expect((await one.omni(['reconcile'])).status).toBe(2);
    expect((await status(one)).rollout.quarantined[0]?.message).toContain('endpoint/robot-2');
    await fleet.write('robot-2.yaml', ownDocuments(two));
    await expectGood('robot-2: the right port');
  });

  it('an MTU that the underlay cannot carry', async () => {
    const good = await head();
    await fleet.write('warehouse.yaml', cluster('  mtu: 1490\n'));
    const outcomes = await push('a larger MTU');
    const bad = await head();
    for (const host of everyone) await expectRolledBack(host, outcomes.get(host), bad, good);
    const mtu = /mtu (\d+)/.exec(await one.must(['ip', 'link', 'show', 'omni0']))?.[1];
    expect(mtu).toBe('1426');
    await fleet.write('warehouse.yaml', cluster());
    await expectGood('the MTU as it was');
  });

  it('an address that passes validation and belongs to something else on this node', async () => {
    // A dock beside the fleet, reached over the underlay by an address of its own; the fleet declares that it must answer.
    const dock = lab.gitHost;
    if (dock === undefined) throw new Error('no git host');
    await dock.must(['ip', 'address', 'add', '198.51.100.9/32', 'dev', 'lo']);
    for (const host of everyone) await host.must(['ip', 'route', 'add', '198.51.100.9/32', 'via', dock.address]);
    const server = dock.background([
      process.execPath,
      '-e',
      "require('net').createServer(s=>s.end()).listen(7000,'198.51.100.9',()=>console.log('listening'))",
    ]);
    await until('the dock listens', () => server.text.includes('listening'));
    const probes =
      '  probation:\n    confirmWithin: 6s\n    probes: [{ name: dock, tcp: "198.51.100.9:7000", timeout: 1s }]\n';
    const document = (subnets: readonly string[]) => clusterDocument({ subnets, spec: probes });
    await fleet.write('warehouse.yaml', document(['10.77.0.0/16']));
    await expectGood('the dock must answer');
    const good = await head();

    await fleet.write('warehouse.yaml', document(['10.77.0.0/16', '198.51.100.0/24']));
    const vip =
      'apiVersion: omni.io/v1alpha1\nkind: VIP\nmetadata: { name: clash }\nspec: { cluster: warehouse, address: 198.51.100.9, peer: robot-1 }\n';
    await fleet.write('clash.yaml', vip);
    const outcomes = await push('an address for robot-1');
    const bad = await head();
    await expectRolledBack(one, outcomes.get(one), bad, good);
    expect((await status(one)).rollout.quarantined[0]?.message).toContain('dock');
    await until('the dock answers robot-1', async () => {
      const script =
        "require('net').connect(7000,'198.51.100.9').on('error',()=>process.exit(1)).on('connect',()=>process.exit(0))";
      return (await one.exec([process.execPath, '-e', script])).status === 0;
    });

    await fleet.remove('clash.yaml');
    await fleet.write('warehouse.yaml', cluster());
    await expectGood('no clash');
    await server.stop();
    for (const host of everyone) await host.must(['ip', 'route', 'del', '198.51.100.9/32']);
  });

  it('a firewall that came beside the commit', async () => {
    const good = await head();
    // The switch between the robots stops forwarding from robot to robot; the git server stays reachable.
    const firewall = async (state: 'on' | 'off') => {
      for (const { name } of everyone) {
        const port = ['link', 'set', 'dev', `${name}.p`, 'isolated', state];
        await must(['ip', 'netns', 'exec', lab.underlayNamespace, 'bridge', ...port]);
      }
    };
    await fleet.write('warehouse.yaml', cluster('  arpSuppression: false\n'));
    await fleet.commit('let ARP through');
    // Cut once the node has chosen what must answer: as if somebody rolled out a firewall at the same moment.
    const caught = stopInTrial(two);
    await fleet.push();
    const reconcile = two.omni(['reconcile', '--timeout', '60s'], { timeoutMs: 70_000 });
    const goOn = await caught;
    await firewall('on');
    goOn();
    const { status: exit, stderr } = await reconcile;
    const outcome = { exit, said: stderr };
    await expectRolledBack(two, outcome, await head(), good);
    await firewall('off');
    await fleet.write('warehouse.yaml', cluster());
    await expectGood('ARP as it was');
  });
});

describe('a commit that removes this node', { timeout: TIMEOUT_MS }, () => {
  it('is refused by the node itself; the others cut it, and a rollback does not let it back in', async () => {
    const good = await head();
    const path = watchPath(one, '10.77.0.2');
    await fleet.remove('robot-3.yaml');
    const outcomes = await push('robot-3 is stolen');
    expect(outcomes.get(three)?.exit, outcomes.get(three)?.said).toBe(2);
    expect((await status(three)).revision.lastApplied?.id).toBe(good);
    for (const host of [one, two]) expect(outcomes.get(host)?.exit, outcomes.get(host)?.said).toBe(0);
    expect((await ping(three, '10.77.0.1', { count: 2, intervalS: 0.1, waitS: 1 })).received).toBe(0);
    expect(await path.lost()).toBe(0);
    const cut = await head();
    await fleet.write('warehouse.yaml', cluster('  mtu: 1490\n'));
    const again = await push('and a larger MTU');
    await expectRolledBack(one, again.get(one), await head(), cut);
    const back = await one.omni(['rollback', '--to', good, '--timeout', '60s']);
    expect(back.status, back.stderr).toBe(0);
    expect((await status(one)).rollout.revoked.map(({ name }) => name)).toEqual(['robot-3']);
    expect((await ping(three, '10.77.0.1', { count: 2, intervalS: 0.1, waitS: 1 })).received).toBe(0);
    await fleet.write('warehouse.yaml', cluster());
    await fleet.write('robot-3.yaml', ownDocuments(three));
    await expectGood('robot-3 was found');
    expect((await status(one)).rollout.revoked).toEqual([]);
  });
});

describe('a key that is replaced outright', { timeout: TIMEOUT_MS }, () => {
  it('by one that its robot does not hold is taken back, and the robot is reachable again', async () => {
    const good = await head();
    const stranger = generateKeyPairSync('ed25519').publicKey.export({ format: 'der', type: 'spki' }).subarray(-32);
    const pasted = ownDocuments(two).replace(/publicKey: .*/, `publicKey: ${stranger.toString('base64')}`);
    await fleet.write('robot-2.yaml', pasted);
    const path = watchPath(one, '10.77.0.3');
    const outcomes = await push('robot-2: a key from the wrong line');
    const bad = await head();
    for (const host of [one, three]) await expectRolledBack(host, outcomes.get(host), bad, good);
    expect((await status(one)).rollout.quarantined[0]?.message).toContain('key/robot-2: no answer by its new key');
    expect(outcomes.get(two)?.exit, outcomes.get(two)?.said).toBe(2);
    expect(await path.lost()).toBe(0);
    for (const host of [one, three]) await reaches(host, '10.77.0.2');
    await fleet.write('robot-2.yaml', ownDocuments(two));
    await expectGood('robot-2: the right key');
  });

  it('by one that its robot holds is trusted as soon as it proves that', async () => {
    const next = /nextPublicKey: "?([A-Za-z0-9+/=]{44})/.exec(await two.mustOmni(['rotate']))?.[1] ?? '';
    expect(next).not.toBe('');
    await fleet.write('robot-2.yaml', ownDocuments(two).replace(/publicKey: .*/, `publicKey: ${next}`));
    await expectTrusted('robot-2: its next key at once');
    expect((await status(one)).rollout.history[0]?.message).toContain('key/robot-2');
    for (const host of [one, three]) await reaches(host, '10.77.0.2');
    await fleet.write('robot-2.yaml', ownDocuments(two));
    await expectTrusted('robot-2: its first key again');
    for (const host of [one, three]) await reaches(host, '10.77.0.2');
    for (const address of ['10.77.0.1', '10.77.0.3']) await reaches(two, address);
    await two.mustOmni(['rotate', '--abort']);
  });
});

describe('a member that wants to keep a commit out', { timeout: TIMEOUT_MS }, () => {
  it('answers what measures the baseline and nothing after it: the commit comes in without it', async () => {
    const lucky = (at: number) =>
      `${ownDocuments(three)}---\napiVersion: omni.io/v1alpha1\nkind: VIP\nmetadata: { name: extra }\nspec: { cluster: warehouse, address: 10.77.4.${at}, peer: robot-3 }\n`;
    // Where all probes had passed by the time that robot-3 was stopped there was no veto: once more.
    for (let at = 1, vetoed = false; !vetoed; at++) {
      expect(at).toBeLessThan(9);
      await fleet.write('robot-3.yaml', lucky(at));
      await fleet.commit(`robot-3: address ${at}`);
      const caught = stopInTrial(one, three);
      await fleet.push();
      const asked = one.omni(['reconcile', '--timeout', '60s'], { timeoutMs: 70_000 });
      const goOn = await caught;
      goOn();
      vetoed = (await asked).status === 5;
      if (!vetoed) process.kill(pidOf(three), 'SIGCONT');
    }
    const vetoed = await status(one);
    expect(vetoed.rollout.quarantined[0]?.message).toContain('peer/robot-3');
    expect(vetoed.rollout.quarantined[0]?.until).toBeDefined();
    const isGood = async () => (await status(one)).rollout.lastKnownGood?.id === (await head());
    await until('the commit is trusted', isGood, 40_000, 100);
    process.kill(pidOf(three), 'SIGCONT');
    const { rollout, revision } = await status(one);
    expect(rollout.quarantined.map((entry) => entry.revision.id)).not.toContain(await head());
    expect(revision.lastApplied?.id).toBe(await head());
    const events = await one.mustOmni(['events', '--types=Warning']);
    expect(events).toMatch(/ProbeDiscounted .*without peer\/robot-3/);
    await fleet.write('robot-3.yaml', ownDocuments(three));
    await expectGood('robot-3 as it was');
  });
});

describe('an agent that dies in the middle', { timeout: TIMEOUT_MS }, () => {
  it('killed during probation: the revision counts as failed, and the last known good is back', async () => {
    const good = await head();
    await fleet.write('warehouse.yaml', cluster('  mtu: 1490\n'));
    await fleet.commitAndPush('a larger MTU, and a crash');
    const asked = one.omni(['reconcile', '--timeout', '60s'], { timeoutMs: 70_000 });
    await until('robot-1 tries it', async () => (await status(one)).rollout.trial !== undefined, 10_000, 20);
    await one.stopAgent('SIGKILL');
    expect((await asked).status).not.toBe(0);
    one.startAgent(['--source', fleet.url, '--path', 'fleet', '--interval', '1h']);
    await until(
      'robot-1 is back',
      async () => (await status(one).catch(() => undefined))?.revision.lastApplied?.id === good,
      20_000,
    );
    const { rollout } = await status(one);
    expect(rollout.quarantined[0]).toMatchObject({ reason: 'Interrupted', revision: { id: await head() } });
    expect((await ping(one, '10.77.0.2', { count: 3, intervalS: 0.05, waitS: 5 })).received).toBe(3);
    await fleet.write('warehouse.yaml', cluster());
    await expectGood('the MTU as it was, again');
  });

  it('killed at any moment of an apply: ends on one of the two, never between', async () => {
    for (let round = 0; round < 8; round++) {
      const before = await head();
      await fleet.write(
        'robot-2.yaml',
        `${ownDocuments(two)}---\napiVersion: omni.io/v1alpha1\nkind: VIP\nmetadata: { name: extra }\nspec: { cluster: warehouse, address: 10.77.3.${round + 1}, peer: robot-2 }\n`,
      );
      await fleet.commitAndPush(`robot-2: address ${round}`);
      const asked = one.omni(['reconcile', '--timeout', '60s']);
      await sleep(60 + round * 55);
      await one.stopAgent('SIGKILL');
      await asked;
      one.startAgent(['--source', fleet.url, '--path', 'fleet', '--interval', '1h']);
      const settled = await until(
        'robot-1 has settled',
        async () => {
          const now = await status(one).catch(() => undefined);
          const { lastKnownGood, trial } = now?.rollout ?? {};
          const done = trial === undefined && now?.rows.pending === 0 && lastKnownGood !== undefined;
          return done && lastKnownGood.id === now.revision.lastApplied?.id ? now : undefined;
        },
        30_000,
      );
      expect([before, await head()]).toContain(settled.rollout.lastKnownGood?.id);
      expect(settled.rows.observed).toBe(settled.rows.desired);
      // Whatever it was, the revision was innocent: tried again it is in force, and in the kernel.
      const asIs = await one.omni(['reconcile', '--timeout', '60s']);
      if (asIs.status !== 0) await one.mustOmni(['retry', '--timeout', '60s']);
      const difference = await one.omni(['diff']);
      expect(difference.status, difference.stdout + difference.stderr).toBe(0);
    }
  });
});
