import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { clusterDocument, FleetRepository, makeIdentity, ready, robotDocuments } from '../../lab/fleet.ts';
import { type Host, Lab } from '../../lab/lab.ts';
import { datagrams } from '../../lab/pcap.ts';
import { parsePing, ping } from '../../lab/ping.ts';
import { must, run, sleep, until } from '../../lab/shell.ts';
import type { Status } from '../../src/agent/api.ts';
import { dropsBy, sample, scrape } from './metrics.ts';
import { asNobody, inNobodysCheckout } from './nobody.ts';

/*
 * Three robots follow one repository over git's own transport. robot-1 and robot-2 are in the first commit, robot-3
 * comes and goes. The tests run in order: each says what an operator would see at that moment.
 */
let lab: Lab;
let fleet: FleetRepository;
let one: Host;
let two: Host;
let three: Host;

const agentArguments = () => [
  '--source',
  fleet.url,
  '--path',
  'fleet',
  '--interval',
  '1s',
  '--metrics',
  '127.0.0.1:9586',
];
const status = async (host: Host): Promise<Status> =>
  JSON.parse((await host.omni(['status', '-o', 'json'])).stdout) as Status;
const sendScript = new URL('./send.mjs', import.meta.url).pathname;

beforeAll(async () => {
  lab = await Lab.open({ name: 'omnit', hosts: ['robot-1', 'robot-2', 'robot-3'], git: true });
  [one, two, three] = [lab.host('robot-1'), lab.host('robot-2'), lab.host('robot-3')];
  fleet = await FleetRepository.create(lab);
  for (const host of [one, two, three]) await makeIdentity(host);
  await fleet.write('warehouse.yaml', clusterDocument());
  await fleet.write('robot-1.yaml', await robotDocuments(one, ['10.77.0.1', 'fd77::1']));
  await fleet.write('robot-2.yaml', await robotDocuments(two, ['10.77.0.2', 'fd77::2']));
  await fleet.commitAndPush('fleet: two robots');
  for (const host of [one, two, three]) host.startAgent(agentArguments());
  await Promise.all([ready(one), ready(two)]);
});
afterAll(() => lab?.close());

describe('a converged pair', () => {
  it('answers the very first ping', async () => {
    const report = await ping(one, '10.77.0.2', { count: 1, waitS: 5 });
    expect(report.received, one.agent?.text).toBe(1);
  });

  it('carries IPv6 and full-size frames', async () => {
    expect((await ping(one, 'fd77::2', { count: 3, intervalS: 0.05 })).received).toBe(3);
    const mtu = Number(/mtu (\d+)/.exec(await one.must(['ip', 'link', 'show', 'omni0']))?.[1]);
    expect(mtu).toBe(1426);
    const largest = await one.exec([
      'ping',
      '-n',
      '-c',
      '3',
      '-i',
      '0.05',
      '-M',
      'do',
      '-s',
      String(mtu - 28),
      '10.77.0.2',
    ]);
    expect(parsePing(largest.stdout).received).toBe(3);
    const tooLarge = await one.exec(['ping', '-n', '-c', '1', '-M', 'do', '-s', String(mtu - 27), '10.77.0.2']);
    expect(tooLarge.status).not.toBe(0);
  });

  it('shows nothing of the payload on the underlay', async () => {
    const pattern = Buffer.from('PLAINTEXT-MARKER').toString('hex');
    const pcap = await lab.capture(one, async () => {
      await ping(one, '10.77.0.2', { count: 10, intervalS: 0.01, size: 200, pattern });
    });
    expect(datagrams(pcap).length).toBeGreaterThanOrEqual(20);
    expect(pcap.includes('PLAINTEXT-MARKER')).toBe(false);
  });

  it('carries TCP both ways', async () => {
    const server = two.background(['iperf3', '-s', '-1', '--forceflush']);
    await until('iperf3 listens', () => server.text.includes('listening'));
    const result = JSON.parse(await one.must(['iperf3', '-c', '10.77.0.2', '-t', '1', '-J'])) as {
      end: { sum_received: { bytes: number } };
    };
    expect(result.end.sum_received.bytes).toBeGreaterThan(1_000_000);
    await server.stop();
  });

  it('writes nothing while nothing changes', async () => {
    const before = (await status(one)).writes;
    await sleep(2_500);
    expect((await status(one)).writes).toBe(before);
  });
});

describe('hostile traffic', () => {
  it('drops a captured datagram that is sent again as a replay, and only once counted', async () => {
    const pcap = await lab.capture(two, async () => void (await ping(one, '10.77.0.2', { count: 3, intervalS: 0.05 })));
    const captured = datagrams(pcap).find(
      (datagram) => datagram.destination === two.address && datagram.payload.length > 100,
    );
    if (captured === undefined) throw new Error('no data datagram was captured');
    const before = await scrape(two);
    await must([
      'ip',
      'netns',
      'exec',
      lab.underlayNamespace,
      process.execPath,
      sendScript,
      'frame',
      'robot-2.p',
      captured.frame.toString('hex'),
    ]);
    const after = await until('the drop is counted', async () => {
      const samples = await scrape(two);
      return dropsBy(samples, 'replay') > dropsBy(before, 'replay') && samples;
    });
    expect(dropsBy(after, 'replay') - dropsBy(before, 'replay')).toBe(1);
  });

  it('drops a datagram with one flipped bit as not authentic', async () => {
    const pcap = await lab.capture(two, async () => void (await ping(one, '10.77.0.2', { count: 1 })));
    const captured = datagrams(pcap).find(
      (datagram) => datagram.destination === two.address && datagram.payload.length > 100,
    );
    if (captured === undefined) throw new Error('no data datagram was captured');
    const forged = Buffer.from(captured.frame);
    // A far higher counter is no replay, so that only the tag can tell.
    forged.writeBigUInt64LE(1_000_000n, 42 + 8);
    const before = await scrape(two);
    await must([
      'ip',
      'netns',
      'exec',
      lab.underlayNamespace,
      process.execPath,
      sendScript,
      'frame',
      'robot-2.p',
      forged.toString('hex'),
    ]);
    await until('the drop is counted', async () => dropsBy(await scrape(two), 'auth') === dropsBy(before, 'auth') + 1);
    expect((await ping(one, '10.77.0.2', { count: 5, intervalS: 0.01 })).received).toBe(5);
  });

  it('answers random and truncated datagrams with nothing, and hands none to user space', async () => {
    const before = await scrape(two);
    const dropped = (samples: typeof before) =>
      ['truncated', 'session-unknown', 'control-invalid'].reduce((sum, reason) => sum + dropsBy(samples, reason), 0);
    const pcap = await lab.capture(three, async () => {
      const report = await three.must([process.execPath, sendScript, 'udp', two.address, '51820', '1000', '0', '200']);
      expect(JSON.parse(report)).toEqual({ replies: 0, errors: 0 });
    });
    const fromTwo = datagrams(pcap).filter((datagram) => datagram.source === two.address);
    expect(fromTwo).toEqual([]);
    const after = await scrape(two);
    expect(dropped(after) - dropped(before)).toBe(1000);
    // What reaches the agent's socket is what the ingress program passed: nothing of this.
    expect(sample(after, 'omni_control_passed_total')).toBe(sample(before, 'omni_control_passed_total'));
  });
});

describe('an agent that is killed', () => {
  it('loses no ping while it is dead, none when it returns, and writes nothing on return', async () => {
    const pinger = one.background(['ping', '-n', '-i', '0.002', '-c', '2500', '10.77.0.2']);
    await sleep(1_000);
    await two.stopAgent('SIGKILL');
    await one.stopAgent('SIGKILL');
    await sleep(1_500);
    one.startAgent(agentArguments());
    two.startAgent(agentArguments());
    await Promise.all([ready(one), ready(two)]);
    await pinger.wait();
    const report = parsePing(pinger.text);
    expect(report.sent).toBe(2500);
    expect(report.received).toBe(2500);
    expect((await status(one)).writes).toBe(0);
    expect((await status(two)).writes).toBe(0);
  });
});

describe('drift', () => {
  const healed = (what: string, check: () => Promise<boolean>) => until(what, check, 5_000, 5);

  it('puts back a deleted address', async () => {
    await one.must(['ip', 'address', 'delete', '10.77.0.1/32', 'dev', 'omni0']);
    await healed('the address is back', async () =>
      (await one.must(['ip', 'address', 'show', 'dev', 'omni0'])).includes('10.77.0.1/32'),
    );
  });

  it('puts back a deleted route', async () => {
    await one.must(['ip', 'route', 'delete', '10.77.0.0/16']);
    await healed('the route is back', async () => (await one.must(['ip', 'route'])).includes('10.77.0.0/16'));
  });

  it('raises a link that was set down, with its addresses and routes', async () => {
    await one.must(['ip', 'link', 'set', 'omni0', 'down']);
    await healed(
      'the pair talks again',
      async () => (await ping(one, '10.77.0.2', { count: 1, waitS: 1 })).received === 1,
    );
    expect(await one.must(['ip', '-6', 'address', 'show', 'dev', 'omni0'])).toContain('fd77::1/128');
  });

  it('leaves a foreign address, route and link alone', async () => {
    await one.must(['ip', 'address', 'add', '10.99.0.1/24', 'dev', 'omni0']);
    await one.must(['ip', 'route', 'add', '198.51.100.0/24', 'dev', 'eth0']);
    await one.must(['ip', 'link', 'add', 'foreign0', 'type', 'veth', 'peer', 'name', 'foreign1']);
    await one.mustOmni(['reconcile']);
    expect(await one.must(['ip', 'address', 'show', 'dev', 'omni0'])).toContain('10.99.0.1/24');
    expect(await one.must(['ip', 'route'])).toContain('198.51.100.0/24');
    expect((await one.exec(['ip', 'link', 'show', 'foreign0'])).status).toBe(0);
    await one.must(['ip', 'address', 'delete', '10.99.0.1/24', 'dev', 'omni0']);
  });

  it('does not take the place of a foreign route, says so, and heals once it is gone', async () => {
    await one.must(['ip', 'route', 'replace', '10.77.0.0/16', 'dev', 'eth0']);
    const told = await until('the status says it', async () => {
      const result = await one.omni(['status']);
      return result.status === 1 && result.stdout;
    });
    expect(told).toContain('10.77.0.0/16');
    expect(await one.must(['ip', 'route', 'show', '10.77.0.0/16'])).toContain('dev eth0');
    await one.must(['ip', 'route', 'delete', '10.77.0.0/16', 'dev', 'eth0']);
    await one.mustOmni(['reconcile']);
    expect(await one.must(['ip', 'route', 'show', '10.77.0.0/16'])).toContain('dev omni0');
    await ready(one);
  });

  it('is told as an event', async () => {
    const events = await one.mustOmni(['events']);
    expect(events).toMatch(/DriftHealed/);
  });
});

describe('commits', () => {
  it('a commit that adds a robot makes it reachable', async () => {
    await fleet.write('robot-3.yaml', await robotDocuments(three, ['10.77.0.3', 'fd77::3']));
    await fleet.commitAndPush('fleet: add robot-3');
    await until(
      'robot-3 answers robot-1',
      async () => (await ping(one, '10.77.0.3', { count: 1, waitS: 1 })).received === 1,
      15_000,
    );
    await ready(three);
    expect((await ping(three, 'fd77::2', { count: 2, intervalS: 0.1 })).received).toBe(2);
  });

  it('omni diff --rev tells, without an agent and without root, what the commit did', async () => {
    await must(['chmod', 'a+rx', lab.folder]);
    const command = [
      process.execPath,
      inNobodysCheckout(new URL('../../dist/src/cli/main.js', import.meta.url).pathname),
      'diff',
      '--rev',
      'HEAD~1..HEAD',
      '--path',
      'fleet',
      '--node',
      'robot-1',
    ];
    const trust = ['GIT_CONFIG_COUNT=1', 'GIT_CONFIG_KEY_0=safe.directory', 'GIT_CONFIG_VALUE_0=*'];
    const result = await run(asNobody(['env', 'HOME=/nonexistent', ...trust, ...command]), { cwd: fleet.checkout });
    expect(result.stderr).toBe('');
    expect(result.status).toBe(1);
    expect(result.stdout).toContain('peer/robot-3');
    expect(result.stdout).toContain('fdb/omni0/');
    expect(result.stdout).not.toContain('- ');
  });

  it('a commit with an error changes nothing, and status says where the error is', async () => {
    await fleet.write(
      'broken.yaml',
      'apiVersion: omni.io/v1alpha1\nkind: VIP\nmetadata: { name: stray }\nspec: { cluster: warehouse, address: 10.99.0.9, peer: robot-1 }\n',
    );
    await fleet.commitAndPush('fleet: a VIP outside every subnet');
    await until(
      'the status names the error',
      async () => (await one.omni(['status'])).stdout.includes('broken.yaml:4'),
      10_000,
    );
    expect((await ping(one, '10.77.0.2', { count: 5, intervalS: 0.01 })).received).toBe(5);
    expect((await one.omni(['status'])).status).not.toBe(0);
    await fleet.remove('broken.yaml');
    await fleet.commitAndPush('fleet: take it back');
    await Promise.all([ready(one), ready(two), ready(three)]);
  });

  it('an agent keeps what it has while the remote is gone, says so, and follows again', async () => {
    await lab.stopGit();
    await until(
      'the status says it',
      async () => /unreachable|refused|did not answer/i.test((await one.omni(['status'])).stdout),
      15_000,
    );
    expect((await ping(one, '10.77.0.3', { count: 5, intervalS: 0.01 })).received).toBe(5);
    lab.startGit();
    await ready(one, 60_000);
  });

  it('a commit that removes a robot cuts it off', async () => {
    await fleet.remove('robot-3.yaml');
    await fleet.commitAndPush('fleet: remove robot-3');
    await until(
      'robot-3 is cut off',
      async () => (await ping(three, '10.77.0.1', { count: 1, waitS: 1 })).received === 0,
      15_000,
    );
    const rows = await one.mustOmni(['get', 'peers', '-o', 'name']);
    expect(rows).not.toContain('robot-3');
    expect((await ping(one, '10.77.0.2', { count: 5, intervalS: 0.01 })).received).toBe(5);
  });
});

describe('metrics', () => {
  it('move with what they name', async () => {
    const before = await scrape(one);
    await ping(one, '10.77.0.2', { count: 10, intervalS: 0.01 });
    const after = await scrape(one);
    for (const name of ['omni_packets_rx_total', 'omni_packets_tx_total']) {
      expect(sample(after, name) - sample(before, name), name).toBeGreaterThanOrEqual(10);
      expect(sample(after, name) - sample(before, name), name).toBeLessThan(30);
    }
    expect(sample(after, 'omni_sessions_active')).toBeGreaterThanOrEqual(1);
    const reconciled = sample(after, 'omni_reconcile_passes_total');
    await one.mustOmni(['reconcile']);
    expect(sample(await scrape(one), 'omni_reconcile_passes_total')).toBeGreaterThan(reconciled);
  });

  it('are served over TCP where --metrics says', async () => {
    const text = await one.must([
      process.execPath,
      '-e',
      'fetch("http://127.0.0.1:9586/metrics").then(r => r.text()).then(t => console.log(t))',
    ]);
    expect(text).toContain('# TYPE omni_packets_rx_total counter');
  });
});
