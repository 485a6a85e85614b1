import { createHash } from 'node:crypto';
import { readdirSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { join } from 'node:path';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { createIdentity } from '../../../src/session/identity.ts';
import { Lab as SourceLab } from '../source/lab.ts';
import { clusterText, Node, peerText, until } from './lab.ts';

const nodes: Node[] = [];
const labs: SourceLab[] = [];
afterEach(async () => {
  for (const node of nodes.splice(0)) await node.close();
  for (const lab of labs.splice(0)) lab.close();
});

/** A node that follows a git repository with its own documents in it. */
async function following() {
  const node = await Node.make();
  nodes.push(node);
  const lab = new SourceLab();
  labs.push(lab);
  const repository = lab.repository('fleet');
  for (const name of ['cluster.yaml', 'self.yaml']) repository.write(name, readFileSync(join(node.fleet, name)));
  const first = repository.commit('one robot');
  const config = { source: repository.url, intervalMs: 60_000 };
  await node.start(config);
  await node.ready();
  return { node, repository, first, config };
}

const wait = { timeoutMs: 5_000 };

describe('a real agent', { timeout: 20_000 }, () => {
  it('boots what it trusts without a source, a cache and a network', async () => {
    const { node, repository, first, config } = await following();
    await node.stop();
    renameSync(repository.folder, `${repository.folder}.away`);
    rmSync(join(node.stateDir, 'git'), { recursive: true });
    await node.start(config);
    await node.ready();
    expect(await node.rowKeys()).toContain('address/10.77.0.1');
    const status = await node.status();
    expect(status.rollout.lastKnownGood).toMatchObject({ id: first });
    expect(status.revision.lastApplied).toMatchObject({ id: first });
  });

  it('takes back a commit that breaks what answered before, says so everywhere, and takes the next one', async () => {
    const { node, repository, first } = await following();
    const dock = createServer();
    await new Promise<void>((resolve) => dock.listen(0, '127.0.0.1', resolve));
    const { port } = dock.address() as AddressInfo;
    const probation = `probation: { confirmWithin: 2s, probes: [{ name: dock, tcp: "127.0.0.1:${port}" }] }`;
    repository.write('cluster.yaml', clusterText(node.port).replace('spec: {', `spec: { ${probation},`));
    const other = createIdentity().publicKey;
    repository.write('robot-2.yaml', peerText('robot-2', other));
    const second = repository.commit('another robot');
    dock.once('connection', () => dock.close()); // before the commit, and never again
    const reconciled = node.client.reconcile({ timeoutMs: 10_000 });
    await until('it is on trial', async () => (await node.condition('Probation')) !== undefined);
    expect(await node.condition('Ready')).toMatchObject({ status: 'Unknown', reason: 'Probation' });
    expect(await node.condition('Reconciling')).toMatchObject({ status: 'True', reason: 'Probation' });
    expect(await reconciled).toMatchObject({
      ready: false,
      verdict: { outcome: 'rolled-back', reason: 'ProbationFailed' },
    });

    expect(await node.rowKeys()).not.toContain(`peer/${other}`);
    expect(await node.condition('Ready')).toMatchObject({ status: 'False', reason: 'RolledBackToLastKnownGood' });
    expect(await node.condition('Stalled')).toMatchObject({ status: 'True', reason: 'RolledBackToLastKnownGood' });
    const status = await node.status();
    expect(status.revision).toMatchObject({ lastApplied: { id: first }, lastAttempted: { id: second } });
    expect(status.rollout.quarantined).toMatchObject([
      { revision: { id: second }, reason: 'ProbationFailed', message: expect.stringContaining('declared/dock') },
    ]);
    expect((await node.client.reconcile(wait)).verdict).toMatchObject({ reason: 'RevisionQuarantined' });
    expect(await node.client.metrics()).toContain('omni_rollback_total{reason="ProbationFailed"} 1');

    repository.write('cluster.yaml', clusterText(node.port));
    repository.commit('without the dock');
    expect(await node.client.reconcile(wait)).toMatchObject({ ready: true, verdict: { outcome: 'good' } });
    expect(await node.rowKeys()).toContain(`peer/${other}`);
    expect(await node.condition('Stalled')).toBeUndefined();
  });

  it('takes no hold until some time by a clock that was never set: it would end when it is', async () => {
    const { node } = await following();
    const hold = { reason: 'in a mission', until: '1970-01-01T02:00:00Z', replace: false };
    vi.useFakeTimers({ toFake: ['Date'], now: 60_000 });
    try {
      await expect(node.client.hold(hold)).rejects.toMatchObject({ code: 'clock-not-set', exitCode: 2 });
    } finally {
      vi.useRealTimers();
    }
    expect((await node.client.rollout()).hold).toBeUndefined();
  });

  it('holds, releases, rolls back, retries, suspends and resumes as it is told', async () => {
    const { node, repository, first } = await following();
    const { client } = node;
    expect(await client.hold({ reason: 'in a mission', replace: false })).toMatchObject({
      hold: { reason: 'in a mission' },
    });
    await expect(client.hold({ reason: 'again', replace: false })).rejects.toMatchObject({ code: 'already-held' });
    const other = createIdentity().publicKey;
    repository.write('robot-2.yaml', peerText('robot-2', other));
    const second = repository.commit('another robot');
    expect((await client.reconcile(wait)).verdict).toMatchObject({ outcome: 'waiting', reason: 'Held' });
    expect(await node.condition('Held')).toMatchObject({ status: 'True', message: 'in a mission' });
    await client.release();
    await until('it is trusted', async () => (await client.rollout()).lastKnownGood?.id === second);
    expect(await node.rowKeys()).toContain(`peer/${other}`);
    expect(await node.condition('Held')).toBeUndefined();

    const back = await client.rollback({ to: 'lkg', ...wait });
    // The robot that is gone is no object of the node any more: its name travels with the report.
    expect(back).toMatchObject({
      revision: { id: first },
      verdict: { outcome: 'good' },
      peers: { [other]: 'robot-2' },
    });
    expect(await node.rowKeys()).not.toContain(`peer/${other}`);
    expect(await node.condition('Ready')).toMatchObject({ status: 'True' });
    const again = await client.retry({ ...wait });
    expect(again).toMatchObject({ revision: { id: second }, verdict: { outcome: 'good' } });
    expect(await node.rowKeys()).toContain(`peer/${other}`);
    await expect(client.retry({ ...wait })).rejects.toMatchObject({ code: 'not-quarantined', exitCode: 2 });
    await expect(client.confirm({ allowPartition: false, ...wait })).rejects.toMatchObject({
      code: 'nothing-to-confirm',
    });

    await client.suspend({ reason: 'bench test' });
    expect(await node.condition('Suspended')).toMatchObject({ status: 'True', message: 'bench test' });
    await expect(client.reconcile(wait)).rejects.toMatchObject({ code: 'suspended', exitCode: 2 });
    repository.write('robot-3.yaml', peerText('robot-3', createIdentity().publicKey));
    const third = repository.commit('a third');
    await client.resume();
    await until('it follows again', async () => (await client.rollout()).lastKnownGood?.id === third);
    expect(await node.condition('Suspended')).toBeUndefined();
  });

  it('goes back in a folder, as far as the node keeps copies, and says what is true beyond that', async () => {
    const node = await Node.make();
    nodes.push(node);
    await node.start();
    await node.ready();
    const client = node.client;
    const first = (await client.rollout()).lastKnownGood?.id;
    for (const name of ['robot-2', 'robot-3']) {
      node.write(`${name}.yaml`, peerText(name, createIdentity().publicKey));
      await client.reconcile(wait);
    }
    const kept = () => readdirSync(join(node.stateDir, 'revisions'));
    const fileOf = (id = '') => `${createHash('sha256').update(id).digest('hex')}.gz`;
    await until('the oldest is forgotten', async () => !kept().includes(fileOf(first)) && kept().length === 2);
    const back = await client.rollback({ to: 'lkg', ...wait });
    expect(back.verdict).toMatchObject({ outcome: 'good' });
    expect(back.objects).toContainEqual({ object: 'peer/robot-3', verb: 'pruned' });
    const lost = await client.rollback({ to: 'lkg', ...wait }).catch((error: unknown) => error);
    expect(lost).toMatchObject({ code: 'source-ref-missing', message: expect.stringContaining(`no copy of ${first}`) });
    expect(lost).toMatchObject({ fix: expect.not.stringContaining('git log') });
  });

  it('confirms what a guard refuses, and shows the whole of it', async () => {
    const { node, repository } = await following();
    const names = Array.from({ length: 8 }, (_, at) => `robot-${at + 2}`);
    for (const name of names)
      repository.write(`${name}.yaml`, peerText(name, createIdentity().publicKey, '127.0.0.1:9'));
    repository.commit('a fleet');
    await node.client.reconcile(wait);
    for (const name of names.slice(1)) repository.git('rm', '-q', `${name}.yaml`);
    const smaller = repository.commit('almost none');
    const refused = await node.client.reconcile(wait);
    expect(refused).toMatchObject({ ready: false, verdict: { outcome: 'refused', reason: 'PruneBlocked' } });
    expect(await node.condition('Ready')).toMatchObject({ status: 'False', reason: 'PruneBlocked' });
    expect((await node.rowKeys()).filter((key) => key.startsWith('peer/'))).toHaveLength(8);
    const confirmed = await node.client.confirm({ allowPartition: false, ...wait });
    expect(confirmed).toMatchObject({ revision: { id: smaller }, ready: true, verdict: { outcome: 'good' } });
    expect((await node.rowKeys()).filter((key) => key.startsWith('peer/'))).toHaveLength(1);
  });
});
