import { join } from 'node:path';
import { atLeast } from '../../versions.ts';
import { installationRoot } from '../package.ts';
import { type Finding, failure, ok, unknown, warning } from './finding.ts';
import type { Host } from './host.ts';

const NODE_FLOOR = '20.19';
const GIT_FLOOR = '2.30';
const DAY_MS = 86_400_000;

export interface MachineQuestion {
  readonly stateDir: string;
  readonly identity: string;
  readonly nowMs: number;
}

/** Programs, files and the clock. */
export async function machineFindings(host: Host, question: MachineQuestion): Promise<readonly Finding[]> {
  return [
    nodeFinding(host),
    await gitFinding(host),
    ...(await programFindings(host)),
    await stateFinding(host, question.stateDir),
    await keyFinding(host, question.identity),
    await clockFinding(host, question.nowMs),
  ];
}

function nodeFinding(host: Host): Finding {
  if (atLeast(host.nodeVersion, NODE_FLOOR)) return ok('node', `Node.js ${host.nodeVersion}`);
  return failure(
    'node',
    `Node.js ${host.nodeVersion} is older than ${NODE_FLOOR}`,
    `Install Node.js ${NODE_FLOOR} or later.`,
  );
}

async function gitFinding(host: Host): Promise<Finding> {
  const line = await host.versionOf('git');
  if (line === undefined) {
    return failure('git', 'git is not installed: an agent cannot follow a repository', 'Run `apt-get install git`.');
  }
  const version = line.replace(/^git version /, '');
  if (atLeast(version, GIT_FLOOR)) return ok('git', `git ${version}`);
  return failure('git', `git ${version} is older than ${GIT_FLOOR}`, `Install git ${GIT_FLOOR} or later.`);
}

interface Program {
  readonly name: string;
  /** What does not work without it. */
  readonly neededTo: string;
  /** Of Debian and its kin. */
  readonly package: string;
}

const PROGRAMS: readonly Program[] = [
  { name: 'ssh', neededTo: 'follow a repository over ssh', package: 'openssh-client' },
  { name: 'ssh-keygen', neededTo: 'verify commits that are signed with ssh keys', package: 'openssh-client' },
  { name: 'gpg', neededTo: 'verify commits that are signed with OpenPGP keys', package: 'gnupg' },
  { name: 'ping', neededTo: 'carry out ping probes that the Cluster declares', package: 'iputils-ping' },
];

/** What else agents run. `timeout` and `prlimit` go with git; the others each serve one thing that not every fleet uses. */
async function programFindings(host: Host): Promise<readonly Finding[]> {
  const present = await Promise.all(PROGRAMS.map(({ name }) => host.has(name)));
  const found = PROGRAMS.filter((_, index) => present[index]).map(({ name }) => name);
  const missing = PROGRAMS.filter((_, index) => !present[index]);
  return [
    await keeperFinding(host, 'timeout', 'ends a git that hangs', 'coreutils'),
    await keeperFinding(host, 'prlimit', 'ends a git that takes too much memory', 'util-linux'),
    ...(found.length === 0 ? [] : [ok('programs', `installed: ${found.join(', ')}`)]),
    ...missing.map((program) =>
      warning(
        'programs',
        `${program.name} is not installed: an agent cannot ${program.neededTo}`,
        `Run \`apt-get install ${program.package}\` if this fleet does that.`,
      ),
    ),
  ];
}

async function keeperFinding(host: Host, name: string, does: string, debianPackage: string): Promise<Finding> {
  if (await host.has(name)) return ok(name, `${name} ${does}`);
  return failure(
    name,
    `${name} is not installed: an agent cannot follow a repository, since nothing ${does.replace('ends', 'would end')}`,
    `Run \`apt-get install ${debianPackage}\`.`,
  );
}

async function stateFinding(host: Host, path: string): Promise<Finding> {
  const facts = await host.file(path);
  if (facts.exists && !facts.isFolder)
    return failure('state-dir', `${path} is not a folder`, 'Name another with --state-dir.');
  if (facts.exists ? facts.writable : facts.creatable) {
    return ok('state-dir', facts.exists ? `${path} is writable` : `${path} is not there yet; it can be made`);
  }
  const message = facts.exists
    ? `${path} is not writable for this user`
    : `${path} is not there, and this user cannot make it`;
  if (!host.isRoot) return unknown('state-dir', message, 'Run it as the user that runs the agent: `sudo omni doctor`.');
  return failure('state-dir', message, 'Mount it writable, or name another with --state-dir.');
}

async function keyFinding(host: Host, path: string): Promise<Finding> {
  const facts = await host.file(path);
  if (!facts.exists) return warning('identity', `there is no key at ${path} yet`, 'Run `omni init`.');
  if ((facts.mode & 0o077) !== 0) {
    const mode = facts.mode.toString(8).padStart(4, '0');
    const message = `${path} has mode ${mode}: others can get at the node's key, and the agent refuses it`;
    return failure('identity', message, `Run \`chmod 600 ${path}\`; if others had access, make a new key.`);
  }
  if (facts.readable) return ok('identity', `${path} is there, readable for its owner alone`);
  return unknown(
    'identity',
    `${path} is not readable for this user`,
    'Run it as the user that runs the agent: `sudo omni doctor`.',
  );
}

/** Handshakes survive a wrong clock; certificates of https remotes do not, and neither does anybody reading logs. */
async function clockFinding(host: Host, nowMs: number): Promise<Finding> {
  const installed = await host.file(join(installationRoot(), 'package.json'));
  const today = new Date(nowMs).toISOString().slice(0, 10);
  if (nowMs + DAY_MS >= installed.modifiedMs) return ok('clock', `the clock says ${today}`);
  return warning(
    'clock',
    `the clock says ${today}, before this program was installed: https remotes will be refused`,
    'Run `timedatectl set-ntp true`.',
  );
}
