import { chmodSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { runAgent } from '../../../src/agent/agent.ts';
import type { AgentConfig } from '../../../src/agent/config.ts';
import { openSource } from '../../../src/agent/open-source.ts';
import { createMemoryDataPlane } from '../../../src/dataplane/memory/plane.ts';
import { freePort, Lab as SourceLab } from '../source/lab.ts';
import { Node, until } from './lab.ts';

let node: Node;
beforeEach(async () => {
  node = await Node.make();
});
afterEach(() => node.close());

function config(changes: Partial<AgentConfig>): AgentConfig {
  const { source: _, ...rest } = node.config();
  return { ...rest, ...changes };
}
const key = Buffer.alloc(32, 1);

describe('openSource', () => {
  const remotes = [{ url: 'ssh://git@a.example/x.git', sshKeyFile: '/k' }, { url: 'https://b.example/x.git' }];

  it('makes of remotes one source that knows all their hosts', () => {
    const source = openSource(config({ source: { kind: 'git', remotes } }), key);
    expect(source).toMatchObject({ kind: 'git', hosts: ['a.example', 'b.example'] });
    expect(source.nudge).toBeDefined();
  });

  it('refuses a remote that is given what it cannot use', () => {
    const bad = [{ url: 'http://a.example/x.git', tokenFile: '/t' }];
    expect(() => openSource(config({ source: { kind: 'git', remotes: bad } }), key)).toThrow(/https/);
  });

  const verify = { commits: 'head', tag: false, allowedSignersFile: '/s' } as const;
  it.each(['http://a.example/x.git', 'git://a.example/x.git', 'HTTP://a.example/x.git'])(
    'follows %s with signatures or the word for it alone, and says so for the latter',
    (url) => {
      const source = { kind: 'git', remotes: [{ url: 'https://b.example/x.git' }, { url }] } as const;
      const open = (changes: Partial<AgentConfig>) => openSource(config({ source, ...changes }), key);
      const refusal = expect.objectContaining({ code: 'source-unauthenticated', exitCode: 2 });
      expect(() => open({})).toThrow(refusal);
      expect(() => open({})).toThrow(/whoever is on the path decides/);
      expect(() => open({ verify: { ...verify, commits: 'off' } })).toThrow(refusal);
      expect(() => open({ insecureSource: false })).toThrow(refusal);
      expect(open({ verify }).warnings?.()).toEqual([]);
      expect(open({ insecureSource: true }).warnings?.()).toEqual([
        `${url.replace('HTTP', 'http')} is followed without authentication: whoever is on the path decides`,
      ]);
    },
  );

  it('has nothing against transports that authenticate, and files', () => {
    for (const url of [
      'https://a.example/x.git',
      'git@a.example:x.git',
      'ssh://a.example/x.git',
      'file:///srv/x.git',
    ]) {
      const source = { kind: 'git', remotes: [{ url }] } as const;
      expect(openSource(config({ source }), key).warnings?.()).toEqual([]);
    }
  });

  const webhook = { listen: '127.0.0.1:1', secretFile: '/s' };
  it('does not follow without signatures where they are asked for', () => {
    const folder = { kind: 'directory', path: node.fleet } as const;
    expect(() => openSource(config({ source: folder, verify }), key)).toThrow('a folder has none');
    expect(() => openSource(config({ verify }), key)).toThrow('what omni apply hands over has none');
    expect(() => openSource(config({ webhook }), key)).toThrow('a webhook is of no use');
    expect(openSource(config({ source: folder, verify: { ...verify, commits: 'off' } }), key).kind).toBe('directory');
  });
});

describe('an agent that follows a source without authentication', () => {
  it('says so in its status, for as long as it does', async () => {
    const lab = new SourceLab();
    try {
      const source = `git://127.0.0.1:${await freePort()}/x`;
      await node.start({ source, insecureSource: true });
      const text = `${source} is followed without authentication: whoever is on the path decides`;
      expect((await node.status()).source.warnings).toEqual([text]);
      expect(node.log.join()).toContain(text);
    } finally {
      lab.close();
    }
  });

  it('does not start with a sandbox that is not there', async () => {
    const life = runAgent(
      node.config({ source: 'https://a.example/x.git', sandbox: '/nowhere/omni-sandbox' }),
      AbortSignal.timeout(5_000),
    );
    await expect(life).rejects.toMatchObject({ code: 'sandbox-missing', exitCode: 2 });
  });
});

describe('an agent that follows a folder', () => {
  it('says that others may write it, until they may not', async () => {
    chmodSync(node.fleet, 0o777);
    await node.start();
    await until(
      'it says so',
      async () => (await node.status()).source.warnings?.[0]?.includes('has mode 0777') === true,
    );
    chmodSync(node.fleet, 0o755);
    chmodSync(join(node.fleet, 'self.yaml'), 0o646);
    await node.client.reconcile({ timeoutMs: 5_000 });
    expect((await node.status()).source.warnings?.[0]).toMatch(/self\.yaml has mode 0646: others/);
    chmodSync(join(node.fleet, 'self.yaml'), 0o644);
    await node.client.reconcile({ timeoutMs: 5_000 });
    expect((await node.status()).source.warnings).toBeUndefined();
  });
});

describe('an agent with a webhook', () => {
  it('follows a commit at once when it is called, long before it would ask', async () => {
    const lab = new SourceLab();
    try {
      const repository = lab.repository('fleet');
      for (const name of ['cluster.yaml', 'self.yaml']) repository.write(name, readFileSync(join(node.fleet, name)));
      repository.commit('one robot');
      const secretFile = join(node.folder, 'webhook.secret');
      writeFileSync(secretFile, 'a-secret-of-some-length', { mode: 0o600 });
      const port = await freePort();
      const webhook = { listen: `127.0.0.1:${port}`, secretFile };
      await node.start({ source: repository.url, intervalMs: 86_400_000, webhook });
      await node.ready();
      repository.write('two.yaml', '# nothing new but a commit\n');
      const second = repository.commit('a comment');
      const call = (token: string): Promise<Response> =>
        fetch(`http://127.0.0.1:${port}/`, { method: 'POST', headers: { 'x-gitlab-token': token } });
      expect((await call('another')).status).toBe(401);
      expect((await call('a-secret-of-some-length')).status).toBe(204);
      await until('it is followed', async () => (await node.status()).revision.lastAttempted?.id === second);
      expect(node.log.join()).not.toContain('a-secret');
    } finally {
      lab.close();
    }
  }, 30_000);

  it('does not start without its secret', async () => {
    const webhook = { listen: '127.0.0.1:1', secretFile: join(node.folder, 'absent') };
    const config = node.config({ source: 'https://a.example/x.git', webhook });
    const life = runAgent(config, AbortSignal.timeout(5_000), () => createMemoryDataPlane());
    await expect(life).rejects.toMatchObject({ code: 'webhook-secret-missing', exitCode: 2 });
  });
});
