import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { readdirSync, readFileSync, truncateSync } from 'node:fs';
import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { clusterDocument, FleetRepository, makeIdentity, ready, robotDocuments } from '../../lab/fleet.ts';
import { type Host, Lab } from '../../lab/lab.ts';
import { ping } from '../../lab/ping.ts';
import { type Background, must, until } from '../../lab/shell.ts';
import type { Condition, Json, Status } from '../../src/agent/api.ts';
import { connectAgent } from '../../src/agent/client.ts';
import { watchMemory, watchPath } from './onlookers.ts';

/*
 * Two robots that talk, in a fleet of 42 peers and a thousand documents, while what they follow goes away, hangs, lies, swells
 * or empties. Whatever it does: no packet between them is lost, nothing is written, and a person is told what is wrong. The
 * tests run in order; each leaves the fleet in force as it found it.
 */
const DOCUMENTS = 1000;
const PEERS = 40;
const EXIT = { good: 0, refused: 2, source: 3 } as const;

let lab: Lab;
let fleet: FleetRepository;
let bare: string;
let one: Host;
let two: Host;
let everyone: readonly Host[];
/** An object of 1 GiB in the repository, as soon as it is made. */
let zeros: Promise<string>;
let mirror: Background;
const secrets = new Map<string, string>();
/** All that `omni` and the agents printed. */
const said: string[] = [];

async function omni(host: Host, ...argv: string[]): Promise<{ status: number; said: string; stdout: string }> {
  const { status, stdout, stderr } = await host.omni(argv, { timeoutMs: 120_000 });
  said.push(stdout, stderr);
  return { status, stdout, said: `${host.name}: omni ${argv.join(' ')}: ${stdout}${stderr}` };
}
async function status(host: Host): Promise<Json<Status>> {
  const answer = await connectAgent({ socket: host.socket, timeoutMs: 10_000 }).status();
  said.push(JSON.stringify(answer));
  return answer;
}
const conditionOf = async (host: Host, type: Condition['type']): Promise<Condition | undefined> =>
  (await status(host)).conditions.find((condition) => condition.type === type);
const head = async () => (await fleet.git('rev-parse', 'HEAD')).trim();
const reconcile = (host: Host, ...flags: string[]) => omni(host, 'reconcile', '--timeout', '60s', ...flags);

interface Settings {
  readonly remotes?: readonly string[];
  readonly verify?: string;
}

async function startAgent(host: Host, settings: Settings = {}): Promise<void> {
  const remotes = (settings.remotes ?? [`{ url: ${fleet.url} }`]).map((remote) => `      - ${remote}\n`).join('');
  const verify = settings.verify === undefined ? '' : `    verify: ${settings.verify}\n`;
  const file = join(host.folder, 'agent.yaml');
  await writeFile(
    file,
    `apiVersion: omni.io/v1alpha1\nkind: AgentConfig\nspec:\n  source:\n    remotes:\n${remotes}    path: fleet\n    interval: 1h\n${verify}`,
  );
  host.startAgent(['--config', file, '--psk-file', join(host.folder, 'psk')]);
  await until('the agent answers', () => status(host).catch(() => undefined));
}

async function stopAgent(host: Host): Promise<string> {
  const { agent } = host;
  expect(agent?.running, agent?.text).toBe(true);
  await host.stopAgent();
  said.push(agent?.text ?? '');
  return agent?.text ?? '';
}

/** While `scenario` runs, the robots reach each other without a loss, and end on the same revision with nothing written. */
async function unharmed(scenario: () => Promise<void>): Promise<void> {
  const before = await Promise.all(everyone.map(status));
  const paths = await Promise.all([watchPath(one, '10.77.0.2'), watchPath(two, '10.77.0.1')]);
  await scenario();
  for (const path of paths) expect(await path.lost()).toBe(0);
  for (const [at, host] of everyone.entries()) {
    const { node, writes, revision } = await status(host);
    // Counted since the agent's start: one that was started anew has written nothing at all.
    const wrote = `${host.name} wrote: ${host.agent?.text.slice(-2_000)}`;
    expect(writes, wrote).toBe(node.pid === before[at]?.node.pid ? before[at]?.writes : 0);
    expect(revision.lastApplied?.id).toBe(before[at]?.revision.lastApplied?.id);
  }
}

/** The same for what may be put in force: only the packets are counted. */
async function lossless(scenario: () => Promise<void>): Promise<void> {
  const path = await watchPath(one, '10.77.0.2');
  await scenario();
  expect(await path.lost()).toBe(0);
}

async function expectAll(exit: number, words?: RegExp): Promise<void> {
  for (const outcome of await Promise.all(everyone.map((host) => reconcile(host)))) {
    expect(outcome.status, outcome.said).toBe(exit);
    if (words !== undefined) expect(outcome.said).toMatch(words);
  }
}

async function serveAgain(): Promise<void> {
  lab.startGit();
  await until('git answers', async () => (await lab.gitHost?.exec(['git', 'ls-remote', fleet.url]))?.status === 0);
}

async function expectSource(host: Host, reason: string): Promise<void> {
  const condition = await conditionOf(host, 'SourceReady');
  expect(condition).toMatchObject({ status: 'False', reason });
}

/** Commits something harmless, and sees it in force on both. */
async function expectGood(message: string): Promise<void> {
  await fleet.write('notes.txt', `${message}\n`);
  await fleet.commitAndPush(message);
  await expectAll(EXIT.good);
  for (const host of everyone) expect((await status(host)).rollout.lastKnownGood?.id).toBe(await head());
}

/** Everything that has a name in the fleet's folder stays; `entries` come on top, as `mode type id TAB name` for git-mktree(1). */
async function forge(entries: { inside?: string; outside?: string }): Promise<string> {
  const script = `
    set -e
    export GIT_DIR="$1" GIT_AUTHOR_NAME=eve GIT_AUTHOR_EMAIL=eve@example.org GIT_COMMITTER_NAME=eve GIT_COMMITTER_EMAIL=eve@example.org
    fleet=$( (git ls-tree -z main:fleet; printf '%b' "$2") | git mktree -z)
    root=$( (printf '040000 tree %s\\tfleet\\0' "$fleet"; printf '%b' "$3") | git mktree -z)
    commit=$(git commit-tree -p main -m 'forged' "$root")
    git update-ref refs/heads/main "$commit"
    echo "$commit"`;
  return (await must(['sh', '-c', script, 'sh', bare, entries.inside ?? '', entries.outside ?? ''])).trim();
}
/** Takes the forged commits back, which no robot accepted. */
const unforge = async () => must(['git', '-C', bare, 'update-ref', 'refs/heads/main', await head()]);

function peerDocuments(at: number): string {
  const { publicKey } = generateKeyPairSync('ed25519');
  const key = Buffer.from(publicKey.export({ format: 'jwk' }).x ?? '', 'base64url').toString('base64');
  return `apiVersion: omni.io/v1alpha1\nkind: Peer\nmetadata: { name: dock-${at} }\nspec: { clusters: [warehouse], publicKey: "${key}" }\n`;
}
const vipDocument = (at: number) =>
  `apiVersion: omni.io/v1alpha1\nkind: VIP\nmetadata: { name: crate-${at} }\nspec: { cluster: warehouse, address: 10.77.${8 + (at >> 8)}.${at & 255}, peer: dock-${at % PEERS} }\n`;

async function writeFleet(): Promise<void> {
  await fleet.write('warehouse.yaml', clusterDocument({ subnets: ['10.77.0.0/16'] }));
  for (const [at, host] of everyone.entries()) {
    await makeIdentity(host);
    await fleet.write(`${host.name}.yaml`, await robotDocuments(host, [`10.77.0.${at + 1}`]));
  }
  for (let at = 0; at < PEERS; at++) await fleet.write(`dock-${at}.yaml`, peerDocuments(at));
  for (let at = 0; at < DOCUMENTS; at++) await fleet.write(`crate-${at}.yaml`, vipDocument(at));
  await fleet.commitAndPush('fleet: two robots and much to carry');
}

beforeAll(async () => {
  lab = await Lab.open({ name: 'omnisrc', hosts: ['robot-1', 'robot-2'], git: true });
  [one, two] = [lab.host('robot-1'), lab.host('robot-2')];
  everyone = [one, two];
  fleet = await FleetRepository.create(lab);
  bare = join(lab.folder, 'repos', 'fleet.git');
  // What is packed or random is not worth the time to compress it (again).
  await must(['git', '-C', bare, 'config', 'pack.compression', '0']);
  // From a file git packs it at once, in pieces; it weighs 4.5 MiB then.
  const sparse = 'truncate -s 1G "$1.zeros" && git -C "$1" -c pack.compression=1 hash-object -w --stdin < "$1.zeros"';
  zeros = must(['sh', '-c', sparse, 'sh', bare]).then((id) => id.trim());
  await writeFleet();
  const psk = randomBytes(32).toString('base64');
  secrets.set('the cluster secret', psk);
  for (const host of everyone) {
    await writeFile(join(host.folder, 'psk'), `${psk}\n`, { mode: 0o600 });
    secrets.set(`the key of ${host.name}`, readFileSync(host.identity, 'utf8').trim());
    await startAgent(host);
  }
  await Promise.all(everyone.map((host) => ready(host)));
  for (const host of everyone) await reconcile(host);
  expect((await ping(one, '10.77.0.2', { count: 3, intervalS: 0.05, waitS: 5 })).received).toBe(3);
  const base = join(lab.folder, 'repos');
  const address = lab.gitHost?.address ?? '';
  const daemon = ['git', 'daemon', '--export-all', '--reuseaddr', '--port=9419', `--listen=${address}`];
  mirror = lab.gitHost?.background([...daemon, `--base-path=${base}`, base]) as Background;
});
afterAll(async () => {
  await mirror?.stop();
  await lab?.close();
});

describe('a remote that misbehaves', () => {
  it('is gone, then accepts and never answers, then is back', () =>
    unharmed(async () => {
      await lab.stopGit();
      await expectAll(EXIT.source, /git:\/\/192\.0\.2\.250\/fleet\.git cannot be reached.*refused/s);
      for (const host of everyone) await expectSource(host, 'SourceUnreachable');
      const hanging = lab.gitHost?.background([
        process.execPath,
        '-e',
        "require('net').createServer(()=>{}).listen(9418,'192.0.2.250',()=>console.log('listening'))",
      ]);
      await until('it listens', () => hanging?.text.includes('listening'));
      await expectAll(EXIT.source, /did not answer git ls-remote within 10 s/);
      for (const host of everyone) await expectSource(host, 'SourceTimeout');
      await hanging?.stop();
      await serveAgain();
      await expectAll(EXIT.good);
      expect(await conditionOf(one, 'SourceReady')).toMatchObject({ status: 'True' });
    }));

  it('is gone, and another takes over, in the order of the configuration', () =>
    lossless(async () => {
      const token = randomBytes(24).toString('hex');
      secrets.set('the token', token);
      const tokenFile = join(one.folder, 'token');
      await writeFile(tokenFile, `${token}\n`, { mode: 0o600 });
      await stopAgent(one);
      await startAgent(one, {
        remotes: [
          `{ url: ${fleet.url} }`,
          `{ url: "https://192.0.2.250:8443/fleet.git", tokenFile: ${tokenFile} }`,
          '{ url: "git://192.0.2.250:9419/fleet.git" }',
        ],
      });
      await fleet.write('notes.txt', 'by way of the mirror\n');
      await fleet.commitAndPush('a commit that the first remote never serves');
      await lab.stopGit();
      const outcome = await reconcile(one);
      expect(outcome.status, outcome.said).toBe(EXIT.good);
      expect((await status(one)).revision.lastApplied?.id).toBe(await head());
      await serveAgain();
      await stopAgent(one).then((text) =>
        expect(text).toMatch(/passed over: git:\/\/192\.0\.2\.250\/fleet\.git cannot be reached/),
      );
      await startAgent(one);
      await expectGood('all remotes are back');
    }));

  it('serves rewound history: refused until a person accepts it', async () => {
    const newest = await head();
    await fleet.git('push', '--quiet', '--force', 'origin', 'HEAD~1:main');
    await unharmed(async () => {
      await expectAll(EXIT.source, new RegExp(`is older than ${newest.slice(0, 8)}`));
      for (const host of everyone) await expectSource(host, 'HistoryRewound');
    });
    await lossless(async () => {
      const older = (await fleet.git('rev-parse', 'HEAD~1')).trim();
      for (const host of everyone) {
        const outcome = await reconcile(host, '--accept-rewind');
        expect(outcome.status, outcome.said).toBe(EXIT.good);
        expect((await status(host)).revision.lastApplied?.id).toBe(older);
      }
      await fleet.push();
      await expectGood('forward again');
    });
  });
});

describe('signatures', () => {
  const verifying = () => `{ commits: head, allowedSignersFile: ${join(lab.folder, 'allowed_signers')} }`;
  const signed = async (key: string, message: string) => {
    await fleet.write('notes.txt', `${message}\n`);
    await fleet.git('add', '-A');
    const format = ['-c', 'gpg.format=ssh', '-c', `user.signingkey=${join(lab.folder, key)}`];
    await fleet.git(...format, 'commit', '--quiet', '-S', '-m', message);
    await fleet.push();
  };
  const refused = async (reason: string, words: RegExp) => {
    const outcome = await reconcile(one);
    expect(outcome.status, outcome.said).toBe(EXIT.source);
    expect(outcome.said).toMatch(words);
    expect(await conditionOf(one, 'SourceVerified')).toMatchObject({ status: 'False', reason });
  };

  it('missing, of a stranger, of another commit: refused; of a key that the node trusts: in force, and the signer named', async () => {
    for (const key of ['ada', 'eve'])
      await must(['ssh-keygen', '-q', '-t', 'ed25519', '-N', '', '-C', key, '-f', join(lab.folder, key)]);
    const ada = readFileSync(join(lab.folder, 'ada.pub'), 'utf8');
    await writeFile(join(lab.folder, 'allowed_signers'), `ada@example.org namespaces="git" ${ada}`);
    await unharmed(async () => {
      await stopAgent(one);
      await startAgent(one, { verify: verifying() });
      await refused('SignatureMissing', /is not signed/);
      await signed('eve', 'signed by a stranger');
      await refused('SignerUnknown', /SHA256:/);
      await signed('ada', 'what Ada signed');
      const text = await fleet.git('cat-file', 'commit', 'HEAD');
      const other = join(lab.folder, 'other');
      await writeFile(other, text.replace('what Ada signed', 'what Eve wrote'));
      const id = (await fleet.git('hash-object', '-t', 'commit', '-w', other)).trim();
      await fleet.git('push', '--quiet', '--force', 'origin', `${id}:main`);
      await refused('SignatureInvalid', /not valid/);
      await fleet.git('push', '--quiet', '--force', 'origin', 'HEAD:main');
    });
    await lossless(async () => {
      const outcome = await reconcile(one);
      expect(outcome.status, outcome.said).toBe(EXIT.good);
      expect((await omni(one, 'status')).stdout).toMatch(
        /SourceVerified\s+True\s+Verified\s+\S+\s+signed by ada@example\.org with SHA256:/,
      );
      await stopAgent(one);
      await startAgent(one);
      await expectAll(EXIT.good);
    });
  });
});

describe('a repository that is made to do harm', () => {
  it('a manifest of a gigabyte; a file that does not compress; one beside the manifests that does', async () => {
    const id = await zeros;
    const memory = everyone.map((host) => watchMemory(host.agent?.pid ?? 0));
    await unharmed(async () => {
      await forge({ inside: `100644 blob ${id}\\tzeros.yaml\\0` });
      await expectAll(EXIT.source, /zeros\.yaml in main@sha1:[0-9a-f]+ has 1024\.0 MiB/);
      for (const host of everyone) await expectSource(host, 'SourceTooLarge');
      await unforge();
      await expectAll(EXIT.good);
    });
    await unharmed(async () => {
      // More than the cache may hold, whoever compresses it.
      const noise = (
        await must([
          'sh',
          '-c',
          `head -c 280M /dev/urandom | git -C ${bare} -c core.compression=0 hash-object -w --stdin`,
        ])
      ).trim();
      await forge({ outside: `100644 blob ${noise}\\tnoise.bin\\0` });
      await expectAll(EXIT.source, /256\.0 MiB/);
      await unforge();
      await expectAll(EXIT.good);
    });
    const writes = async () => (await Promise.all(everyone.map(status))).map((each) => each.writes);
    const before = await writes();
    await forge({ outside: `100644 blob ${id}\\tzeros.bin\\0` });
    await lossless(() => expectAll(EXIT.good));
    expect(await writes()).toEqual(before);
    // The operator's next commit drops it, without ever having it on disk.
    await fleet.git('fetch', '--quiet', 'origin', 'main');
    await fleet.git('reset', '--quiet', '--soft', 'FETCH_HEAD');
    for (const peaks of memory.map((each) => each.end())) {
      expect(peaks.agent).toBeLessThan(300);
      expect(peaks.git).toBeGreaterThan(1);
      expect(peaks.git).toBeLessThan(300);
    }
  });

  it.each([
    ['a line break', 'a\\nb.yaml', /"a\\nb\.yaml" in main@sha1:[0-9a-f]+ holds control characters/],
    ['an escape sequence', '\\033[2Jgone.yaml', /"\\u001b\[2Jgone\.yaml" in .* holds control characters/],
    ['bytes that are no UTF-8', '\\0377\\0376.yaml', /is not UTF-8/],
    ['4,000 characters', `${'x'.repeat(4000)}.yaml`, /"x{100}…" in .* is too long: 4005 bytes/],
    ['two dots alone', '..', /malformed.*hasDotdot/],
  ])('a file name with %s', async (_what, name, words) => {
    const blob = (await must(['git', '-C', bare, 'rev-parse', 'main:fleet/warehouse.yaml'])).trim();
    await forge({ inside: `100644 blob ${blob}\\t${name}\\0` });
    await unharmed(() => expectAll(EXIT.source, words));
    const condition = await conditionOf(one, 'SourceReady');
    expect(condition).toMatchObject({ status: 'False', reason: 'SourceInvalid' });
    expect(condition?.message).toMatch(words);
    await unforge();
  });

  it('a file name that looks like an option is nothing but a name', async () => {
    await fleet.write('--upload-pack=x.yaml', vipDocument(DOCUMENTS));
    await lossless(() => expectGood('one more crate'));
    expect((await omni(one, 'why', `vip/crate-${DOCUMENTS}`)).stdout).toContain('--upload-pack=x.yaml:1');
  });
});

describe('a commit that takes away too much', () => {
  const remains = (name: string) => /^(warehouse|robot-)/.test(name);
  const files = () => readdirSync(join(fleet.checkout, 'fleet'));

  it('a broken file among a thousand: the place of the error, and nothing done', async () => {
    await fleet.write('crate-500.yaml', vipDocument(500).replace('dock-20', 'dok-20'));
    await fleet.commitAndPush('a slip of the pen');
    await unharmed(async () => {
      await expectAll(EXIT.refused, /crate-500\.yaml:4:\d+/);
      expect(await conditionOf(one, 'Stalled')).toMatchObject({ reason: 'InvalidFleet', status: 'True' });
      expect((await omni(one, 'status')).stdout).toMatch(/crate-500\.yaml:4/);
    });
    await fleet.git('revert', '--no-edit', 'HEAD');
    await fleet.push();
    await expectAll(EXIT.good);
  });

  it.each([
    ['the whole folder', () => false, EXIT.source, /has no folder "fleet" at main@sha1:[0-9a-f]+\n\s+fix: Restore it/],
    [
      'every document',
      (name: string) => name === 'notes.yaml',
      EXIT.refused,
      /none of 0 documents.*holds an error; nothing of it is applied/s,
    ],
    ['every peer', (name: string) => name === 'warehouse.yaml', EXIT.refused, /NotAMember/],
  ])('%s: refused', async (what, stays, exit, words) => {
    await fleet.write('notes.yaml', '# of no meaning\n');
    for (const name of files()) if (!stays(name)) await fleet.remove(name);
    await fleet.commitAndPush(`rm ${what}`);
    await unharmed(() => expectAll(exit, words));
    await fleet.git('revert', '--no-edit', 'HEAD');
    await fleet.push();
    await expectAll(EXIT.good);
  });

  it('nine tenths of the fleet: refused with the places of what would go; confirmed it goes through', async () => {
    for (const name of files()) if (!remains(name)) await fleet.remove(name);
    await fleet.commitAndPush('all docks');
    await unharmed(async () => {
      await expectAll(EXIT.refused, /PruneBlocked\): 40 of the 41 peers.*\(dock-\d+\.yaml:1\)/s);
      expect((await omni(one, 'status')).stdout).toMatch(/PruneBlocked/);
    });
    await lossless(async () => {
      for (const host of everyone) {
        const outcome = await omni(host, 'confirm');
        expect(outcome.status, outcome.said).toBe(EXIT.good);
        expect((await status(host)).rollout.lastKnownGood?.id).toBe(await head());
      }
    });
    expect((await omni(one, 'get', 'peers', '-o', 'name')).stdout).not.toContain('dock');
  });
});

describe('a boot without a network', () => {
  const events = async () => (await omni(one, 'events')).stdout;
  const stateFolder = (name: string) => join(one.folder, 'state', name);

  /** As after a power cut, in a place without a network: no kernel state, no socket, nobody who serves the repository. */
  async function loseAll(): Promise<void> {
    await stopAgent(one);
    await lab.stopGit();
    const teardown = await omni(one, 'agent', ...one.agentArguments(), '--teardown');
    expect(teardown.status, teardown.said).toBe(0);
    // Two files of the kernel's own are in every bpffs.
    const pins = readdirSync(join(one.folder, 'bpf')).filter((name) => !name.endsWith('.debug'));
    expect(pins).toEqual([]);
    expect((await one.exec(['ip', 'link', 'show', 'omni0'])).status).not.toBe(0);
    await rm(one.socket, { force: true });
  }

  async function expectBootedInto(good: string): Promise<void> {
    await until(
      'robot-1 reaches robot-2',
      async () => (await ping(one, '10.77.0.2', { waitS: 1 })).received === 1,
      15_000,
    );
    expect((await ping(one, '10.77.0.2', { count: 50, intervalS: 0.01 })).received).toBe(50);
    const { revision, rollout } = await status(one);
    expect(revision.lastApplied?.id).toBe(good);
    expect(revision.lastApplied?.label).toBe(`main@sha1:${good}`);
    expect(rollout.lastKnownGood?.id).toBe(good);
    expect(rollout.quarantined).toEqual([]);
    const away = async () => (await conditionOf(one, 'SourceReady'))?.reason === 'SourceUnreachable';
    await until('the status says that the remote is away', away, 15_000);
    expect((await omni(one, 'status')).status).toBe(0);
  }

  async function expectGoesOn(message: string): Promise<void> {
    await serveAgain();
    await lossless(() => expectGood(message));
  }

  it('without a cache: into the last known good revision', async () => {
    await loseAll();
    await rm(stateFolder('git'), { recursive: true });
    await startAgent(one);
    await expectBootedInto(await head());
    await expectGoesOn('after the cache was made again');
  });

  it('with a cache that was cut short: the same; it says so, and fetches anew when it can', async () => {
    await loseAll();
    const packs = (await must(['find', stateFolder('git'), '-name', '*.pack'])).trim().split('\n');
    for (const pack of packs) truncateSync(pack, 100);
    await startAgent(one);
    await expectBootedInto(await head());
    expect(await events()).toMatch(/CacheUnusable.*the local copy of git:\/\/.* is damaged: .*cannot be read/);
    await expectGoesOn('after the cache was mended');
    expect(one.agent?.text).toMatch(/the local copy of .* is damaged.*; it was fetched anew/);
  });

  it('with kept files that were cut short: out of the cache, and says so', async () => {
    await loseAll();
    for (const name of readdirSync(stateFolder('revisions'))) truncateSync(join(stateFolder('revisions'), name), 100);
    await startAgent(one);
    await expectBootedInto(await head());
    expect(await events()).toMatch(/KeptRevisionDamaged.*BootedFromCache/s);
    await expectGoesOn('after the files were kept again');
  });
});

it('nothing that was printed holds a secret', async () => {
  for (const host of everyone) await stopAgent(host);
  const all = said.join('\n');
  expect(all.length).toBeGreaterThan(10_000);
  for (const [name, secret] of secrets) expect(all.includes(secret), name).toBe(false);
});
