import { readFileSync, renameSync, rmSync } from 'node:fs';
import { request } from 'node:http';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import type { FileSet } from '../../../src/agent/api.ts';
import { createIdentity } from '../../../src/session/identity.ts';
import { Lab as SourceLab } from '../source/lab.ts';
import { clusterText, Node, peerText, until, vipText } from './lab.ts';

const nodes: Node[] = [];
async function makeNode(): Promise<Node> {
  const node = await Node.make();
  nodes.push(node);
  return node;
}
afterEach(async () => {
  for (const node of nodes.splice(0)) await node.close();
});

describe('an agent that follows a folder', () => {
  it('programs it, and what an edit adds and removes', async () => {
    const node = await makeNode();
    await node.start();
    await node.ready();
    expect(await node.rowKeys()).toEqual(expect.arrayContaining(['link/link', 'address/10.77.0.1', 'route/route']));

    const other = createIdentity().publicKey;
    node.write('robot-3.yaml', peerText('robot-3', createIdentity().publicKey, '127.0.0.1:8')); // or it would be alone
    node.write('robot-2.yaml', peerText('robot-2', other, '127.0.0.1:9') + vipText('robot-2', '10.77.0.2'));
    await until('the neighbour is programmed', async () => (await node.rowKeys()).includes('neighbour/10.77.0.2'));
    await node.ready();
    expect(await node.rowKeys()).toContain(`peer/${other}`);

    rmSync(join(node.fleet, 'robot-2.yaml'));
    await until('it is gone', async () => !(await node.rowKeys()).includes(`peer/${other}`));
    expect(await node.rowKeys()).not.toContain('neighbour/10.77.0.2');
  });
});

describe('what an agent says of itself', () => {
  it('status, objects, sessions, events', async () => {
    const node = await makeNode();
    const other = createIdentity().publicKey;
    node.write('robot-2.yaml', peerText('robot-2', other, '127.0.0.1:9') + vipText('robot-2', '10.77.0.2'));
    await node.start();
    await node.ready();
    await until('it was fetched', async () => (await node.condition('SourceReady'))?.status === 'True');
    const status = await node.status();
    expect(status).toMatchObject({
      node: { publicKey: node.identity.publicKey, peer: 'robot-1', clusters: ['warehouse'], version: '0.0.0-test' },
      source: { kind: 'directory', description: node.fleet },
      objects: { total: 5, ready: 5, failed: 0 },
      rows: { pending: 0 },
      sessions: { active: 0 },
      dataPlane: { engine: 'memory' },
    });
    expect(status.revision.lastApplied?.label).toMatch(/^dir@sha256:/);
    expect(status.revision.lastApplied).toEqual(status.revision.lastAttempted);
    expect(status.conditions.map(({ type, status: value }) => `${type}=${value}`).sort()).toEqual([
      'Ready=True',
      'SourceReady=True',
    ]);
    expect(typeof status.counters.txPackets).toBe('string');

    const objects = await node.objects();
    expect(objects.get('peer/robot-2')).toMatchObject({
      ready: 'True',
      position: { file: 'robot-2.yaml', line: 2 },
      labels: { site: 'munich' },
      detail: { publicKey: other, clusters: 'warehouse', endpoints: '127.0.0.1:9', vips: '10.77.0.2' },
    });
    expect(objects.get('vip/robot-2')?.detail).toEqual({ cluster: 'warehouse', address: '10.77.0.2', peer: 'robot-2' });
    expect(objects.get('cluster/warehouse')?.detail).toMatchObject({ port: String(node.port), peers: '2' });

    const events: string[] = [];
    for await (const event of node.client.events({ watch: false, signal: new AbortController().signal })) {
      events.push(event.reason);
    }
    expect(events).toContain('RevisionApplied');
  });

  it('streams events as they happen', async () => {
    const node = await makeNode();
    await node.start();
    await node.ready();
    const stop = new AbortController();
    const seen: string[] = [];
    const watching = (async () => {
      for await (const event of node.client.events({ watch: true, signal: stop.signal })) {
        seen.push(`${event.sequence} ${event.reason}`);
      }
    })();
    await until('the backlog came', async () => seen.length > 0);
    const before = seen.length;
    node.write('robot-2.yaml', peerText('robot-2', createIdentity().publicKey));
    await until('the new revision is told', async () =>
      seen.slice(before).some((line) => line.includes('RevisionApplied')),
    );
    expect(new Set(seen).size).toBe(seen.length);
    stop.abort(new Error('enough'));
    await expect(watching).rejects.toThrow('enough');
  });
});

describe('a commit with errors', () => {
  it('changes nothing, is named with its place, and is over with its successor', async () => {
    const node = await makeNode();
    await node.start();
    await node.ready();
    const rows = await node.rowKeys();
    const good = (await node.status()).revision.lastApplied;
    node.write(
      'broken.yaml',
      'apiVersion: omni.io/v1alpha1\nkind: VIP\nmetadata: { name: x }\nspec: { cluster: nowhere, address: 10.77.0.9, peer: robot-1 }\n',
    );
    rmSync(join(node.fleet, 'self.yaml'));
    await until('it is refused', async () => (await node.condition('Ready'))?.reason === 'InvalidFleet');
    const status = await node.status();
    expect(await node.condition('Ready')).toMatchObject({
      status: 'False',
      message: expect.stringContaining('broken.yaml:4'),
    });
    expect(await node.condition('Stalled')).toMatchObject({ status: 'True', reason: 'InvalidFleet' });
    expect(await node.condition('SourceReady')).toMatchObject({ status: 'True' });
    expect(status.revision.lastApplied).toEqual(good);
    expect(status.revision.lastAttempted).not.toEqual(good);
    expect(await node.rowKeys()).toEqual(rows);
    await expect(node.client.reconcile()).rejects.toMatchObject({ code: 'fleet-invalid', exitCode: 2 });

    rmSync(join(node.fleet, 'broken.yaml'));
    node.write('self.yaml', peerText('robot-1', node.identity.publicKey) + vipText('robot-1', '10.77.0.1'));
    await node.ready();
    expect(await node.condition('Stalled')).toBeUndefined();
  });

  it('that would leave this node out keeps what is there', async () => {
    const node = await makeNode();
    await node.start();
    await node.ready();
    const rows = await node.rowKeys();
    node.write('self.yaml', peerText('robot-1', createIdentity().publicKey));
    await until('it is blocked', async () => (await node.condition('Stalled'))?.reason === 'NotAMember');
    expect(await node.rowKeys()).toEqual(rows);
  });
});

describe('a restart', () => {
  it('boots into what was applied while the source is away, says so, and follows again', async () => {
    const lab = new SourceLab();
    try {
      const node = await makeNode();
      const repository = lab.repository('fleet');
      for (const name of ['cluster.yaml', 'self.yaml']) repository.write(name, readFileSync(join(node.fleet, name)));
      const first = repository.commit('two robots');
      const away = { source: repository.url, intervalMs: 100 };
      await node.start(away);
      await node.ready();
      await node.stop();
      renameSync(repository.folder, `${repository.folder}.away`);

      await node.start(away);
      await node.ready();
      expect((await node.status()).revision.lastApplied?.id).toBe(first);
      await until('it says so', async () => (await node.condition('SourceReady'))?.status === 'False');
      expect(await node.condition('SourceReady')).toMatchObject({ reason: 'SourceUnreachable' });
      expect((await node.status()).source.lastError).toContain('no such git repository');

      renameSync(`${repository.folder}.away`, repository.folder);
      const other = createIdentity().publicKey;
      repository.write('robot-2.yaml', peerText('robot-2', other)).commit('another robot');
      await until('it follows', async () => (await node.rowKeys()).includes(`peer/${other}`));
      expect(await node.condition('SourceReady')).toMatchObject({ status: 'True' });
      expect((await node.status()).source.lastError).toBeUndefined();
    } finally {
      lab.close();
    }
  });

  it('stays up without a source and without a cache', async () => {
    const node = await makeNode();
    await node.start({ source: `file://${node.folder}/nowhere.git`, intervalMs: 100 });
    await until('it says so', async () => (await node.condition('SourceReady'))?.status === 'False');
    expect(await node.condition('Ready')).toMatchObject({ status: 'Unknown', reason: 'NoRevision' });
    expect(await node.rowKeys()).toEqual([]);
    await expect(node.client.reconcile()).rejects.toMatchObject({ code: 'source-unreachable', exitCode: 3 });
    await node.stop();
  });
});

describe('a push to a git server', () => {
  it('is programmed within a second and a half at an interval of one', async () => {
    const lab = new SourceLab();
    try {
      const node = await makeNode();
      const repository = lab.repository('pushed');
      for (const name of ['cluster.yaml', 'self.yaml']) {
        repository.write(`fleet/${name}`, readFileSync(join(node.fleet, name)));
      }
      repository.commit('one robot');
      const source = `${await lab.daemon()}/pushed`;
      await node.start({ source, path: 'fleet', intervalMs: 1_000, insecureSource: true });
      await node.ready();
      const other = createIdentity().publicKey;
      repository.write('fleet/robot-2.yaml', peerText('robot-2', other)).commit('another');
      await until('it is programmed', async () => (await node.rowKeys()).includes(`peer/${other}`), 3_000);
      expect((await node.objects()).get('peer/robot-2')?.position.file).toBe('robot-2.yaml');
      repository.write('fleet/broken.yaml', 'kind: [').commit('broken');
      await until('it is refused', async () => (await node.condition('Ready'))?.reason === 'InvalidFleet');
      expect(await node.rowKeys()).toContain(`peer/${other}`);
      repository.git('revert', '--no-edit', 'HEAD');
      await node.ready();
    } finally {
      lab.close();
    }
  });
});

describe('apply, diff and reconcile', () => {
  const setOf = (node: Node, ...more: string[]) => ({
    files: [
      { path: 'cluster.yaml', text: clusterText(node.port) },
      { path: 'self.yaml', text: peerText('robot-1', node.identity.publicKey) + vipText('robot-1', '10.77.0.1') },
      ...more.map((text, index) => ({ path: `more-${index}.yaml`, text })),
    ],
  });
  /** An agent that follows no source. */
  async function startAlone(node: Node): Promise<void> {
    const { source: _, ...config } = node.config();
    await node.startWith(config);
  }

  it('apply puts a set in force, keeps it over a restart, and prunes what the next one leaves out', async () => {
    const node = await makeNode();
    await startAlone(node);
    const other = createIdentity().publicKey;
    const set = setOf(node, peerText('robot-2', other));
    const dry = await node.client.apply({
      set,
      dryRun: true,
      timeoutMs: 5_000,
      allowPartition: false,
      allowPrune: false,
    });
    expect(dry.changes.length).toBeGreaterThan(0);
    expect(await node.rowKeys()).toEqual([]);

    const report = await node.client.apply({
      set,
      dryRun: false,
      timeoutMs: 5_000,
      allowPartition: false,
      allowPrune: false,
    });
    expect(report).toMatchObject({ ready: true, revision: { label: expect.stringMatching(/^applied@sha256:/) } });
    expect(verbsOf(report)).toMatchObject({ 'cluster/warehouse': 'created', 'peer/robot-2': 'created' });
    expect(await node.rowKeys()).toContain(`peer/${other}`);

    await node.stop();
    await startAlone(node);
    await node.ready();
    expect(await node.rowKeys()).toContain(`peer/${other}`);

    const smaller = await node.client.apply({
      set: setOf(node),
      dryRun: false,
      timeoutMs: 5_000,
      allowPartition: false,
      allowPrune: false,
    });
    expect(verbsOf(smaller)).toMatchObject({ 'cluster/warehouse': 'unchanged', 'peer/robot-2': 'pruned' });
    expect(await node.rowKeys()).not.toContain(`peer/${other}`);
  });

  it('apply refuses what a guard objects to, and names the flag that goes past it', async () => {
    const node = await makeNode();
    await startAlone(node);
    const apply = (set: FileSet, allowPrune: boolean) =>
      node.client.apply({ set, dryRun: false, timeoutMs: 5_000, allowPartition: false, allowPrune });
    const others = Array.from({ length: 8 }, (_, at) =>
      peerText(`robot-${at + 2}`, createIdentity().publicKey, `192.0.2.${at + 2}:51820`),
    );
    await apply(setOf(node, others.join('')), false);
    const refusal = (set: FileSet, allowPrune: boolean) => apply(set, allowPrune).catch((error: unknown) => error);
    const pruned = { code: 'prune-blocked', exitCode: 2, fix: expect.stringContaining('--allow-prune') };
    expect(await refusal(setOf(node), false)).toMatchObject(pruned);
    const cut = { code: 'partition-blocked', exitCode: 2, fix: expect.stringContaining('--allow-partition') };
    const partition = await refusal(setOf(node), true);
    expect(partition).toMatchObject(cut);
    // There is nothing to confirm: what is refused here is not kept.
    expect(partition).toMatchObject({ message: expect.not.stringContaining('omni confirm') });
  });

  it('apply refuses a set with errors, one without this node, and a node that follows a source', async () => {
    const node = await makeNode();
    await startAlone(node);
    const apply = (files: { path: string; text: string }[]) =>
      node.client.apply({ set: { files }, dryRun: false, timeoutMs: 5_000, allowPartition: false, allowPrune: false });
    await expect(apply([{ path: 'a.yaml', text: 'kind: [' }])).rejects.toMatchObject({
      code: 'fleet-invalid',
      exitCode: 2,
    });
    await expect(apply([{ path: 'a.yaml', text: clusterText(node.port) }])).rejects.toMatchObject({ exitCode: 2 });
    expect((await node.status()).revision).toEqual({});
    await node.stop();
    await node.start();
    await expect(apply(setOf(node).files)).rejects.toMatchObject({ code: 'follows-source', exitCode: 2 });
  });

  it('diff is empty against the source, and says what files would change without changing it', async () => {
    const node = await makeNode();
    await node.start();
    await node.ready();
    expect((await node.client.diff({ against: 'source' })).changes).toEqual([]);
    const other = createIdentity().publicKey;
    const report = await node.client.diff({ against: setOf(node, peerText('robot-2', other)) });
    expect(report.changes.map(({ op, key }) => `${op} ${key}`)).toContain(`create peer/omni0/${other}`);
    expect(await node.rowKeys()).not.toContain(`peer/${other}`);
    await expect(node.client.diff({ against: { files: [{ path: 'a.yaml', text: 'kind: [' }] } })).rejects.toMatchObject(
      {
        code: 'fleet-invalid',
      },
    );
  });

  it('reconcile fetches at once and reports', async () => {
    const lab = new SourceLab();
    try {
      const node = await makeNode();
      const repository = lab.repository('now');
      for (const name of ['cluster.yaml', 'self.yaml']) repository.write(name, readFileSync(join(node.fleet, name)));
      repository.commit('one');
      await node.start({ source: repository.url });
      await node.ready();
      const idle = await node.client.reconcile();
      expect(idle).toMatchObject({ ready: true, changes: [] });
      repository.write('robot-2.yaml', peerText('robot-2', createIdentity().publicKey)).commit('two');
      const report = await node.client.reconcile();
      expect(report.ready).toBe(true);
      expect(verbsOf(report)).toMatchObject({ 'peer/robot-2': 'created', 'peer/robot-1': 'unchanged' });
    } finally {
      lab.close();
    }
  });

  it('refuses requests that are none', async () => {
    const node = await makeNode();
    await node.start();
    for (const [method, path, body] of [
      ['GET', '/v1/nothing', ''],
      ['GET', '/v1/events?since=x', ''],
      ['POST', '/v1/diff', 'no json'],
      ['POST', '/v1/diff', '{"against":"source","more":1}'],
      ['POST', '/v1/apply', '{"set":{"files":[{"path":1}]},"dryRun":false,"timeoutMs":1}'],
    ] as const) {
      const { status, text } = await rawRequest(node.socket, method, path, body);
      expect([400, 404]).toContain(status);
      expect(JSON.parse(text)).toMatchObject({ error: { exitCode: 2 } });
    }
  });
});

function verbsOf(report: { readonly objects: readonly { readonly object: string; readonly verb: string }[] }) {
  return Object.fromEntries(report.objects.map(({ object, verb }) => [object, verb]));
}

function rawRequest(
  socketPath: string,
  method: string,
  path: string,
  body: string,
): Promise<{ status: number; text: string }> {
  return new Promise((resolve, reject) => {
    const call = request({ socketPath, method, path }, (response) => {
      let text = '';
      response.on('data', (chunk: Buffer) => {
        text += chunk.toString();
      });
      response.on('end', () => resolve({ status: response.statusCode ?? 0, text }));
    });
    call.on('error', reject);
    call.end(body);
  });
}
