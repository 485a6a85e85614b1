import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { FleetRepository, makeIdentity, ready, robotDocuments } from '../lab/fleet.ts';
import { Lab, omniBinary } from '../lab/lab.ts';
import { median, ping, pingArguments } from '../lab/ping.ts';
import { must, run, until } from '../lab/shell.ts';
import { Progress, StepFailed } from './progress.ts';
import { BadCommit } from './rollback.ts';
import { epochSeconds, replyTimes, type Stage, vip, warehouse } from './stage.ts';

/*
 * The main job, on one machine, with nothing mocked: namespaces for hosts, a git daemon for the fleet's repository,
 * one agent per robot.
 *
 *   1 lab up   2 first fleet   3 converge   4 ping   5 capture   6 add a robot   7 heal   8 remove a robot
 *   9 a commit that must not stay (rollback.ts)   10 the next good one
 */
const keep = process.argv.includes('--keep');
const unknown = process.argv.slice(2).find((argument) => argument !== '--keep');
if (unknown !== undefined) {
  console.error(`demo: unknown option ${unknown} (known: --keep)`);
  process.exit(2);
}

const robots = ['robot-1', 'robot-2', 'robot-3'] as const;
const progress = new Progress();

/** The Peer and VIP documents of a robot, as `omni init` prints them on the robot, into the fleet. */
async function addToFleet(stage: Stage, robot: string): Promise<string> {
  const documents = await robotDocuments(stage.lab.host(robot), [vip(robot)]);
  await stage.fleet.write(`${robot}.yaml`, documents);
  return documents;
}

async function openStage(): Promise<Stage> {
  const lab = await Lab.open({ name: 'omnidemo', hosts: robots, git: true });
  return { lab, fleet: await FleetRepository.create(lab) };
}

async function firstFleet(stage: Stage): Promise<string> {
  for (const robot of robots) await makeIdentity(stage.lab.host(robot));
  await stage.fleet.write('warehouse.yaml', warehouse());
  await addToFleet(stage, 'robot-1');
  await addToFleet(stage, 'robot-2');
  await stage.fleet.commitAndPush('fleet: warehouse with two robots');
  return (await must([omniBinary, 'validate', '-f', join(stage.fleet.checkout, 'fleet')])).trim();
}

const agentArguments = (stage: Stage): string[] => ['--source', stage.fleet.url, '--path', 'fleet', '--interval', '1s'];

async function converge(stage: Stage): Promise<string> {
  const started = performance.now();
  for (const robot of robots) stage.lab.host(robot).startAgent(agentArguments(stage));
  for (const robot of ['robot-1', 'robot-2']) {
    await ready(stage.lab.host(robot));
  }
  return `robot-1 and robot-2 Ready ${((performance.now() - started) / 1000).toFixed(1)} s after their agents were started`;
}

async function firstPing(stage: Stage): Promise<string> {
  const host = stage.lab.host('robot-1');
  const first = await ping(host, vip('robot-2'), { count: 1 });
  if (first.received !== 1) throw new Error(`the first ping got no answer: ${JSON.stringify(first)}`);
  const overlay = await ping(host, vip('robot-2'), { count: 500, intervalS: 0.002 });
  const underlay = await ping(host, stage.lab.host('robot-2').address, { count: 500, intervalS: 0.002 });
  if (overlay.received !== overlay.sent)
    throw new Error(`lost ${overlay.sent - overlay.received} of ${overlay.sent} pings`);
  const us = (values: readonly number[]) => `${(median(values) * 1000).toFixed(0)} us`;
  const handshake = `first ping ${first.rttMs[0]?.toFixed(1)} ms, handshake included`;
  return `${handshake}; then ${us(overlay.rttMs)} over omni0, ${us(underlay.rttMs)} on the bare underlay (medians of 500)`;
}

/** How often the payload stands in what the underlay carried. */
function occurrences(haystack: Buffer, needle: Buffer): number {
  let count = 0;
  for (let at = haystack.indexOf(needle); at >= 0; at = haystack.indexOf(needle, at + needle.length)) count++;
  return count;
}

async function searchCapture(stage: Stage): Promise<string> {
  const host = stage.lab.host('robot-1');
  const secret = Buffer.from('TOP-SECRET-ROBOT');
  const options = { count: 20, intervalS: 0.01, size: 256, pattern: secret.toString('hex') };
  const bare = await stage.lab.capture(
    host,
    async () => void (await ping(host, stage.lab.host('robot-2').address, options)),
  );
  const sealed = await stage.lab.capture(host, async () => void (await ping(host, vip('robot-2'), options)));
  const found = { bare: occurrences(bare, secret), sealed: occurrences(sealed, secret) };
  if (found.bare < options.count * 2) throw new Error(`the capture misses traffic: ${found.bare} in the bare ping`);
  if (sealed.length < options.count * 2 * 300) throw new Error(`the capture misses traffic: ${sealed.length} bytes`);
  if (found.sealed !== 0) throw new Error(`the payload was found ${found.sealed} times in the encrypted capture`);
  return `payload found ${found.bare} times in a bare ping, 0 times in ${sealed.length} captured bytes over omni0`;
}

async function addRobot(stage: Stage): Promise<string> {
  const documents = await addToFleet(stage, 'robot-3');
  progress.quote(
    `$ omni init --existing --name robot-3 --cluster warehouse --address ${vip('robot-3')} …\n${documents}`,
  );
  await stage.fleet.commit('fleet: add robot-3');
  const diff = await run([omniBinary, 'diff', '--rev', 'HEAD~1..HEAD', '--path', 'fleet', '--color', 'never'], {
    cwd: stage.fleet.checkout,
  });
  if (diff.status !== 1) throw new Error(`omni diff exited ${diff.status}: ${diff.stderr}`);
  progress.quote(`$ omni diff --rev HEAD~1..HEAD\n${diff.stdout}`);

  const pinger = stage.lab.host('robot-1').background(['ping', '-D', '-O', '-i', '0.02', '-n', vip('robot-3')]);
  try {
    const pushed = epochSeconds();
    await stage.fleet.push();
    await until('robot-3 answers', () => replyTimes(pinger).length > 0, 20_000);
    const seconds = (replyTimes(pinger)[0] ?? Number.NaN) - pushed;
    return `${seconds.toFixed(2)} s from git push to the first ping of robot-3 (agents poll every 1 s)`;
  } finally {
    await pinger.stop('SIGINT');
  }
}

async function heal(stage: Stage): Promise<string> {
  const host = stage.lab.host('robot-1');
  const monitor = host.background(['ip', '-ts', 'monitor', 'address']);
  const seen = (): { deleted?: number; added?: number } => {
    const stamp = (pattern: RegExp) => {
      const match = pattern.exec(monitor.text);
      return match?.[1] === undefined ? undefined : Date.parse(match[1]);
    };
    const address = vip('robot-1').replaceAll('.', '\\.');
    const deleted = stamp(new RegExp(`\\[([^\\]]+)\\] ?Deleted[^\\n]*${address}`));
    const added = stamp(new RegExp(`\\[([^\\]]+)\\] ?\\d+:[^\\n]*${address}`));
    return { ...(deleted === undefined ? {} : { deleted }), ...(added === undefined ? {} : { added }) };
  };
  try {
    // It runs before it listens: it does once it tells of another address.
    await until('ip monitor listens', async () => {
      await host.must(['ip', 'address', 'replace', '127.0.0.9/32', 'dev', 'lo']);
      return monitor.text.includes('127.0.0.9/32');
    });
    await host.must(['ip', 'address', 'delete', `${vip('robot-1')}/32`, 'dev', 'omni0']);
    const back = await until(
      'the address is back',
      () => {
        const { deleted, added } = seen();
        return deleted !== undefined && added !== undefined ? added - deleted : undefined;
      },
      10_000,
    );
    return `${vip('robot-1')} was back on omni0 ${back.toFixed(0)} ms after "ip address delete"`;
  } finally {
    await monitor.stop('SIGINT');
  }
}

async function removeRobot(stage: Stage): Promise<string> {
  const pinger = stage.lab.host('robot-3').background(['ping', '-D', '-O', '-i', '0.02', '-n', vip('robot-1')]);
  try {
    await until('robot-3 reaches robot-1', () => replyTimes(pinger).length > 5);
    await stage.fleet.remove('robot-3.yaml');
    await stage.fleet.commit('fleet: remove robot-3');
    const pushed = epochSeconds();
    await stage.fleet.push();
    const last = await until(
      'robot-3 is cut off',
      () => {
        const newest = replyTimes(pinger).at(-1);
        // A second of silence at 50 pings per second is no accident.
        return newest !== undefined && epochSeconds() - newest > 1 ? newest : undefined;
      },
      20_000,
    );
    return `robot-3's last answered ping was ${(last - pushed).toFixed(2)} s after git push`;
  } finally {
    await pinger.stop('SIGINT');
  }
}

async function next(stage: Stage): Promise<void> {
  const host = stage.lab.host('robot-1');
  const enter = `ip netns exec ${host.namespace}`;
  const names = stage.lab.underlayNamespace;
  await writeFile(join(stage.lab.folder, 'env'), `export OMNI_SOCKET=${host.socket}\n`);
  progress.heading('The lab is up. Try:');
  progress.quote(
    [
      `. ${join(stage.lab.folder, 'env')}            # talk to robot-1's agent`,
      `${omniBinary} status`,
      `${omniBinary} get peers -o wide`,
      `${enter} ${pingArguments(vip('robot-2'), { count: 5 }).join(' ')}`,
      `cd ${stage.fleet.checkout} && $EDITOR fleet/*.yaml && git commit -am … && git push origin HEAD:main`,
      `${omniBinary} events -w`,
      `Press Ctrl-C here to take it down (namespaces ${names}, …).`,
    ].join('\n'),
  );
  await new Promise<void>((resolve) => {
    const hold = setInterval(() => undefined, 60_000);
    process.once('SIGINT', () => {
      clearInterval(hold);
      resolve();
    });
  });
}

async function main(): Promise<number> {
  if (process.getuid?.() !== 0) {
    console.error('demo: it makes network namespaces and loads XDP programs\n  fix: sudo npm run demo');
    return 2;
  }
  console.log('OmniNervous: from a commit to an encrypted ping');
  let stage: Stage | undefined;
  const stop = () => {
    console.log('\ninterrupted: cleaning up');
    void Promise.resolve(stage?.lab.close()).finally(() => process.exit(130));
  };
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.once(signal, stop);
  try {
    await progress.step('Lab: three robots and a git server, each a network namespace', async () => {
      stage = await openStage();
      return `${stage.lab.hosts.size} hosts on 192.0.2.0/24, fleet repository at ${stage.fleet.url}`;
    });
    const here = stage as unknown as Stage;
    await progress.step('First fleet: omni init on the robots, commit two of them, push', () => firstFleet(here));
    await progress.step('Agents follow the repository and converge', () => converge(here));
    await progress.step('Ping over omni0: ChaCha20-Poly1305 in XDP', () => firstPing(here));
    await progress.step('Capture of the underlay', () => searchCapture(here));
    await progress.step('A commit adds robot-3', () => addRobot(here));
    await progress.step('An address deleted by hand comes back', () => heal(here));
    await progress.step('A commit removes robot-3', () => removeRobot(here));
    const scene = new BadCommit(here, progress);
    try {
      await progress.step('A valid commit asks for an MTU that the underlay cannot carry', () => scene.isTakenBack());
      await progress.step('The next good commit goes through', () => scene.isFollowedByAGoodOne());
    } finally {
      await scene.end();
    }
    progress.summary();
    process.off('SIGINT', stop);
    if (keep) await next(here);
    return 0;
  } catch (error) {
    if (!(error instanceof StepFailed)) throw error;
    for (const [name, host] of stage?.lab.hosts ?? []) {
      if (host.agent?.text) progress.quote(`--- agent of ${name}\n${host.agent.text.slice(-4000)}`);
    }
    progress.summary();
    return 1;
  } finally {
    await stage?.lab.close();
  }
}

process.exitCode = await main();
