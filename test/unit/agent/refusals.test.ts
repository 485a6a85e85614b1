import { spawnSync } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { chmodSync, existsSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import { join } from 'node:path';
import { afterEach, expect, it } from 'vitest';
import { runAgent } from '../../../src/agent/agent.ts';
import type { AgentConfig } from '../../../src/agent/config.ts';
import { createMemoryDataPlane } from '../../../src/dataplane/memory/plane.ts';
import { Lab as SourceLab } from '../source/lab.ts';
import { clusterText, Node, until } from './lab.ts';

const nodes: Node[] = [];
const closers: (() => Promise<void>)[] = [];
async function makeNode(): Promise<Node> {
  const node = await Node.make();
  nodes.push(node);
  return node;
}
afterEach(async () => {
  for (const close of closers.splice(0)) await close();
  for (const node of nodes.splice(0)) await node.close();
});

/** Runs an agent that must end by itself, and shows its error. */
async function refused(config: AgentConfig): Promise<unknown> {
  const stop = new AbortController();
  const timer = setTimeout(() => stop.abort(), 5_000);
  try {
    await runAgent(config, stop.signal, () => createMemoryDataPlane());
    return undefined;
  } catch (error) {
    return error;
  } finally {
    clearTimeout(timer);
  }
}

function listen(server: Server, where: string | number): Promise<void> {
  closers.push(() => new Promise((done) => server.close(() => done())));
  return new Promise((ready) =>
    typeof where === 'number' ? server.listen(where, '127.0.0.1', ready) : server.listen(where, ready),
  );
}

it('refuses a key that is missing, exposed or none', async () => {
  const node = await makeNode();
  const { identity } = node.config();
  chmodSync(identity, 0o644);
  expect(await refused(node.config())).toMatchObject({ code: 'identity-exposed', exitCode: 2 });
  chmodSync(identity, 0o600);
  writeFileSync(identity, 'short\n');
  expect(await refused(node.config())).toMatchObject({ code: 'identity-invalid', exitCode: 2 });
  rmSync(identity);
  expect(await refused(node.config())).toMatchObject({ code: 'identity-missing', exitCode: 2 });
  expect(readdirSync(node.stateDir)).toEqual([]);
});

it('refuses a source that cannot be one', async () => {
  const node = await makeNode();
  for (const changes of [
    { source: '--upload-pack=touch x' },
    { source: 'ext::sh -c true' },
    { source: 'https://host/x.git', ref: '--exec=x' },
    { source: 'https://host/x.git', path: '../etc' },
  ]) {
    expect(await refused(node.config(changes))).toMatchObject({ code: 'source-invalid', exitCode: 3 });
  }
});

it('refuses a second agent on one state folder, and a second one on one socket', async () => {
  const node = await makeNode();
  await node.start();
  expect(await refused(node.config())).toMatchObject({ code: 'state-dir-in-use', exitCode: 2 });
  const other = await makeNode();
  expect(await refused(other.config({ socket: node.socket }))).toMatchObject({ code: 'socket-in-use', exitCode: 2 });
  await node.ready();
});

it('replaces the socket of an agent that was killed, and nothing else', async () => {
  const node = await makeNode();
  // A socket file that nobody listens on: bound in a process that then dies.
  const listen = `require('net').createServer().listen(${JSON.stringify(node.socket)}, () => process.kill(process.pid, 'SIGKILL'))`;
  const { status } = spawnSync(process.execPath, ['-e', listen]);
  expect(status).toBeNull();
  expect(existsSync(node.socket)).toBe(true);
  await node.start();
  expect(statSync(node.socket).mode & 0o777).toBe(0o600);
  await node.stop();
  expect(existsSync(node.socket)).toBe(false);

  writeFileSync(node.socket, 'precious');
  expect(await refused(node.config())).toMatchObject({ code: 'socket-unusable', exitCode: 2 });
  expect(existsSync(node.socket)).toBe(true);
});

it("refuses the cluster's UDP port in use, with nothing programmed", async () => {
  const node = await makeNode();
  const holder = createSocket('udp4');
  await new Promise<void>((ready) => holder.bind(node.port, '0.0.0.0', ready));
  closers.push(() => new Promise((done) => holder.close(() => done())));
  const error = await refused(node.config());
  expect(error).toMatchObject({
    code: 'port-in-use',
    exitCode: 2,
    message: expect.stringContaining(String(node.port)),
  });
  expect(existsSync(node.socket)).toBe(false);
});

it('says so, and stays, when a later commit asks for a port in use', async () => {
  const node = await makeNode();
  await node.start();
  await node.ready();
  const holder = createSocket('udp4');
  await new Promise<void>((ready) => holder.bind(0, '0.0.0.0', ready));
  node.write('cluster.yaml', clusterText(holder.address().port));
  await until('it is told', async () => (await node.condition('Stalled'))?.reason === 'PortInUse');
  expect(await node.condition('Ready')).toMatchObject({ status: 'False' });
  await new Promise<void>((done) => holder.close(() => done()));
  await until('it went on', async () => (await node.condition('Ready'))?.status === 'True', 10_000);
}, 20_000);

it('refuses a metrics address that is taken or none', async () => {
  const node = await makeNode();
  const holder = createServer();
  await listen(holder, 0);
  const address = holder.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  for (const metrics of [`127.0.0.1:${port}`, 'nowhere', '127.0.0.1:99999']) {
    expect(await refused(node.config({ metrics }))).toMatchObject({ code: 'metrics-unusable', exitCode: 2 });
  }
});

it('refuses a state folder that cannot be written', async () => {
  const node = await makeNode();
  const file = join(node.folder, 'file');
  writeFileSync(file, '');
  expect(await refused(node.config({ stateDir: join(file, 'state') }))).toMatchObject({
    code: 'state-dir-unusable',
    exitCode: 2,
  });
});

it('ends at once when told, whatever it waits for, and a client learns that it is gone', async () => {
  const node = await makeNode();
  const lab = new SourceLab();
  try {
    await node.start({ source: `git://127.0.0.1:${await lab.listen()}/never-answers`, insecureSource: true });
    const started = Date.now();
    await node.stop();
    expect(Date.now() - started).toBeLessThan(2_000);
    await expect(node.client.status()).rejects.toMatchObject({ code: 'agent-not-running', exitCode: 4 });
  } finally {
    lab.close();
  }
});
