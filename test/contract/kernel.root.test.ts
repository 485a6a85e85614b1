import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll } from 'vitest';
import { deleteRow } from '../../lab/bpf.ts';
import { type Host, Lab } from '../../lab/lab.ts';
import { must, run } from '../../lab/shell.ts';
import { addressBytes, macBytes } from '../../src/dataplane/kernel/addresses.ts';
import { u64 } from '../../src/dataplane/kernel/codec.ts';
import { seal } from '../../src/dataplane/memory/seal.ts';
import { peerIdOf } from '../../src/manifest/keys.ts';
import type { Row } from '../../src/reconcile/rows.ts';
import { startPlane } from '../netns/dataplane-fixture.ts';
import { describeDataPlane, type Machine } from './dataplane-suite.ts';
import { describePaths } from './paths-suite.ts';
import { describeRotation } from './rotation-suite.ts';

/*
 * The kernel's data plane in a namespace of its own; every test finds it as a fresh machine. A second namespace at the
 * other end of eth0 is 192.0.2.2, where datagrams come from.
 */
const SEND = `const socket = require('node:dgram').createSocket('udp4');
  const [address, ...datagrams] = process.argv.slice(1);
  const next = () => {
    const hex = datagrams.shift();
    if (hex === undefined) socket.close();
    else socket.send(Buffer.from(hex, 'hex'), 51820, address, next);
  };
  next();`;
let lab: Lab;
let host: Host;

beforeAll(async () => {
  lab = await Lab.open({ name: 'odpc', hosts: ['a', 'b'], direct: true });
  host = lab.host('a');
});
afterAll(() => lab?.close());

async function breakIt(row: Row): Promise<void> {
  if (row.kind === 'link') await host.must(['ip', 'link', 'del', row.interface]);
  else if (row.kind === 'address') await host.must(['ip', 'address', 'del', row.address, 'dev', row.interface]);
  else throw new TypeError(`nobody breaks a ${row.kind} row from outside`);
}

async function erase(row: Row): Promise<void> {
  if (row.kind === 'peer') await deleteRow(host, 'peer_map', u64(peerIdOf(row.publicKey)));
  else if (row.kind === 'fdb') await deleteRow(host, 'fdb_map', Buffer.concat([macBytes(row.mac), Buffer.alloc(2)]));
  else if (row.kind === 'neighbour') await deleteRow(host, 'neigh_map', addressBytes(row.address));
  else throw new TypeError(`no map holds a ${row.kind} row`);
}

/** A veth pair with an alias, an address and a route, and a folder of pins: each a bit like ours. */
async function makeForeign(): Promise<() => Promise<boolean>> {
  const folder = join(host.folder, 'bpf', 'other');
  await host.must(['ip', 'link', 'add', 'other0', 'type', 'veth', 'peer', 'name', 'other0x']);
  await host.must(['ip', 'link', 'set', 'other0', 'alias', 'somebody:warehouse', 'up']);
  await host.must(['ip', 'address', 'add', '10.99.0.1/24', 'dev', 'other0']);
  await host.must(['ip', 'route', 'add', '10.98.0.0/16', 'dev', 'other0', 'proto', '111']);
  await must(['mkdir', '-p', folder]);
  return async () => {
    const checks = [
      ['ip', '-o', 'link', 'show', 'other0x'],
      ['ip', '-o', 'route', 'show', '10.98.0.0/16', 'dev', 'other0'],
      ['ip', '-o', 'address', 'show', 'dev', 'other0', 'to', '10.99.0.1'],
      ['test', '-d', folder],
    ];
    const results = await Promise.all(checks.map((check) => run(host.inside(check))));
    await host.must(['ip', 'link', 'del', 'other0']);
    await must(['rmdir', folder]);
    return results.every(({ status, stdout }, at) => status === 0 && (stdout !== '' || at === 3));
  };
}

async function makeMachine(): Promise<Machine> {
  let plane = await startPlane(host);
  return {
    plane,
    reopen: async () => {
      await plane.close();
      plane = await startPlane(host);
      return plane;
    },
    breakIt,
    erase,
    arrive: async ({ localId, receiveKey }, frames) => {
      const datagrams = frames.map((frame, counter) => {
        const datagram = seal(receiveKey, { sessionId: localId, counter: BigInt(counter) }, frame);
        return Buffer.from(datagram).toString('hex');
      });
      await lab.host('b').must([process.execPath, '-e', SEND, host.address, ...datagrams]);
    },
    foreign: makeForeign,
    dispose: async () => {
      await plane.teardown();
      await plane.kill();
      await rm(join(host.folder, 'state', 'inventory.json'), { force: true });
    },
  };
}

describeDataPlane('the kernel data plane', { arrive: true, foreign: true, erase: true }, makeMachine);
describeRotation('the kernel data plane', makeMachine);
describePaths('the kernel data plane', makeMachine);
