import { readFileSync } from 'node:fs';
import { chmod, chown, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { clusterDocument, FleetRepository, makeIdentity, ready, robotDocuments } from '../../lab/fleet.ts';
import { type Host, Lab } from '../../lab/lab.ts';
import { ping } from '../../lab/ping.ts';
import { must, until } from '../../lab/shell.ts';
import { connectAgent } from '../../src/agent/client.ts';
import { allowedCalls, capabilitiesOf, readService, type Service, settingOf, unitFile } from './unit/service.ts';

/*
 * Two agents that run under what deploy/omni-agent.service allows: its user, its capabilities, its system calls, its view of
 * files, processes and devices. No systemd is needed: each setting is read from the unit and brought about by the means
 * that systemd uses.
 */
/** Whom the unit's user is played by: nobody, who owns nothing. */
const UID = 65_534;
let lab: Lab;
let fleet: FleetRepository;
let one: Host;
let two: Host;
let service: Service;
let launcher: (host: Host) => readonly string[];

/** As systemd does for ProtectSystem, ProtectHome, ProtectKernelTunables, PrivateDevices and ProtectProc. $1: what may be written. */
const MOUNTS = `
set -e
mount --rbind "$1" "$1"
dev=$(mktemp -d "$1/dev.XXXXXX")
mount -t tmpfs -o mode=755 tmpfs "$dev"
for node in null zero full random urandom; do touch "$dev/$node"; mount --bind "/dev/$node" "$dev/$node"; done
mount --rbind "$dev" /dev
mount -t proc -o hidepid=invisible proc /proc
mount --bind /proc/sys /proc/sys
mount --bind /proc/sys/net /proc/sys/net
mount -o remount,bind,ro /proc/sys
for home in /root /home; do mount -t tmpfs -o ro,mode=000 tmpfs "$home"; done
mount -o remount,bind,ro /sys
mount -o remount,bind,ro /
ulimit -c 0
umask 077
shift
exec "$@"`;

async function hand(path: string): Promise<void> {
  await chown(path, UID, UID);
  for (const entry of await readdir(path, { withFileTypes: true })) {
    if (entry.isDirectory()) await hand(join(path, entry.name));
    else await chown(join(path, entry.name), UID, UID);
  }
}

beforeAll(async () => {
  service = await readService();
  lab = await Lab.open({ name: 'omunit', hosts: ['robot-1', 'robot-2'], git: true });
  await chmod(lab.folder, 0o755);
  [one, two] = [lab.host('robot-1'), lab.host('robot-2')];
  fleet = await FleetRepository.create(lab);
  for (const host of [one, two]) await makeIdentity(host);
  await fleet.write('warehouse.yaml', clusterDocument());
  await fleet.write('robot-1.yaml', await robotDocuments(one, ['10.77.0.1']));
  await fleet.write('robot-2.yaml', await robotDocuments(two, ['10.77.0.2']));
  await fleet.commitAndPush('fleet: two robots');
  const confine = join(lab.folder, 'confine');
  await must(['cc', '-Wall', '-Werror', '-o', confine, join(import.meta.dirname, 'unit', 'confine.c')]);
  const calls = (await allowedCalls(service)).join(',');
  const ambient = capabilitiesOf(service, 'AmbientCapabilities')
    .map((name) => `+${name}`)
    .join(',');
  const bounding = capabilitiesOf(service, 'CapabilityBoundingSet')
    .map((name) => `+${name}`)
    .join(',');
  launcher = (host) => [
    ...['unshare', '--mount', '--propagation', 'private', 'sh', '-c', MOUNTS, 'sh', host.folder],
    ...['setpriv', `--reuid=${UID}`, `--regid=${UID}`, '--clear-groups', '--no-new-privs'],
    ...[`--inh-caps=-all,${ambient}`, `--ambient-caps=-all,${ambient}`, `--bounding-set=-all,${bounding}`],
    ...[confine, calls],
  ];
  for (const host of [one, two]) await hand(host.folder); // as StateDirectory and ExecStartPre do
}, 120_000);
afterAll(() => lab?.close());

function start(host: Host): void {
  host.startAgent(['--source', fleet.url, '--path', 'fleet', '--interval', '1s'], launcher(host));
}

it('the unit scores 2.0 or better', async () => {
  const text = await must(['systemd-analyze', 'security', '--offline=true', '--no-pager', unitFile]);
  const [, score] = /Overall exposure level for \S+: ([0-9.]+)/.exec(text) ?? [];
  expect(Number(score), text).toBeLessThanOrEqual(2.0);
});

it('two agents under the unit become Ready, reach each other, and follow a commit', async () => {
  for (const host of [one, two]) start(host);
  await Promise.all([ready(one, 60_000), ready(two, 60_000)]);
  expect((await ping(one, '10.77.0.2', { count: 3, intervalS: 0.05, waitS: 10 })).received, one.agent?.text).toBe(3);
  await fleet.write('note.yaml', '# a commit\n');
  await fleet.commitAndPush('fleet: a note');
  const head = (await fleet.git('rev-parse', 'HEAD')).trim();
  const status = () => connectAgent({ socket: two.socket, timeoutMs: 10_000 }).status();
  await until('it is followed', async () => (await status()).revision.lastApplied?.id === head, 30_000);
});

it('with exactly the capabilities that the unit grants, no core, and no way to more', () => {
  const pid = one.agent?.pid ?? 0;
  const text = readFileSync(`/proc/${pid}/status`, 'utf8');
  const [NET_ADMIN, NET_RAW, PERFMON, BPF] = [12n, 13n, 38n, 39n];
  const four = [NET_ADMIN, NET_RAW, PERFMON, BPF].reduce((bits, at) => bits | (1n << at), 0n);
  for (const set of ['CapPrm', 'CapEff', 'CapBnd', 'CapAmb']) {
    expect(BigInt(`0x${new RegExp(`^${set}:\\s+(\\w+)$`, 'm').exec(text)?.[1]}`), set).toBe(four);
  }
  expect(text).toMatch(new RegExp(`^Uid:\\s+${UID}\\s`, 'm'));
  expect(text).toMatch(/^NoNewPrivs:\s+1$/m);
  expect(text).toMatch(/^Seccomp:\s+2$/m);
  expect(settingOf(service, 'LimitCORE')).toBe('0');
  expect(readFileSync(`/proc/${pid}/limits`, 'utf8')).toMatch(/^Max core file size\s+0\s+0/m);
});

it('heals drift, and adopts what it left when it is started again', async () => {
  await one.must(['ip', 'address', 'flush', 'dev', 'omni0', 'to', '10.77.0.1']);
  await until('it is healed', async () =>
    (await one.exec(['ip', '-br', 'address', 'show', 'omni0'])).stdout.includes('10.77.0.1/'),
  );
  expect(await one.stopAgent()).toBe(0);
  start(one);
  await ready(one, 60_000);
  expect((await ping(one, '10.77.0.2', { count: 3, intervalS: 0.05, waitS: 10 })).received, one.agent?.text).toBe(3);
});
