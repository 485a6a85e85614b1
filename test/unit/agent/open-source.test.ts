import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { runAgent } from '../../../src/agent/agent.ts';
import type { AgentConfig } from '../../../src/agent/config.ts';
import { openSource } from '../../../src/agent/open-source.ts';
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
  const webhook = { listen: '127.0.0.1:1', secretFile: '/s' };
  it('does not follow without signatures where they are asked for', () => {
    const folder = { kind: 'directory', path: node.fleet } as const;
    expect(() => openSource(config({ source: folder, verify }), key)).toThrow('a folder has none');
    expect(() => openSource(config({ verify }), key)).toThrow('what omni apply hands over has none');
    expect(() => openSource(config({ webhook }), key)).toThrow('a webhook is of no use');
    expect(openSource(config({ source: folder, verify: { ...verify, commits: 'off' } }), key).kind).toBe('directory');
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
    const life = runAgent(node.config({ source: 'https://a.example/x.git', webhook }), AbortSignal.timeout(5_000));
    await expect(life).rejects.toMatchObject({ code: 'webhook-secret-missing', exitCode: 2 });
  });
});
