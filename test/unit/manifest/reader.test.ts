import { expect, test } from 'vitest';
import { makeFleet, robotText } from '../../../bench/fleets.ts';
import { macOf, peerIdOf } from '../../../src/manifest/keys.ts';
import { createFleetReader, filesFromTexts } from '../../../src/manifest/load.ts';
import type { Fleet, MacAddress, ManifestFile } from '../../../src/manifest/model.ts';
import { fleetOf, readTexts, type Texts } from './support.ts';

function robots(count: number): Texts {
  return Object.fromEntries(makeFleet(count).map(({ path, text }) => [path, text]));
}

const three = robots(3);
const second = 'robots/1/robot-00001.yaml';

/** A copy that shares nothing with the fleet. */
function frozen(fleet: Fleet): Fleet {
  return structuredClone(fleet);
}

test('documents become typed values with defaults, canonical texts and positions', async () => {
  const [key = ''] = Object.values(three)
    .map((text) => /publicKey: (\S+)/.exec(text)?.[1])
    .filter((each) => each !== undefined);
  const text = `# head
apiVersion: omni.io/v1alpha1
kind: Cluster
metadata: { name: warehouse }
spec: { subnets: [10.77.0.0/16, "FD77:0::/64"] }
---
apiVersion: omni.io/v1alpha1
kind: Peer
metadata: { name: robot-1, labels: { site: munich } }
spec:
  clusters: [warehouse]
  publicKey: ${key}
  endpoints: ["[2001:DB8::7]:51820"]
  keepalive: 25s
---
  # indented
{apiVersion: omni.io/v1alpha1, kind: VIP, metadata: {name: v},
 spec: {cluster: warehouse, address: "fd77:0::17", peer: robot-1}}
`;
  const fleet = fleetOf(await readTexts(createFleetReader(), { 'a.yaml': text }));
  expect(fleet.clusters.get('warehouse')).toStrictEqual({
    kind: 'Cluster',
    metadata: { name: 'warehouse', labels: {} },
    subnets: ['10.77.0.0/16', 'fd77::/64'],
    interface: 'omni0',
    port: 51820,
    sessions: { rekeyAfterMs: 120_000, lifetimeMs: 3_600_000, handshakeTimeoutMs: 5_000, postQuantum: 'off' },
    newSessionsPerSecondPerSource: 10,
    arpSuppression: true,
    revokedKeys: [],
    foreignSources: 'deny',
    etherTypes: [],
    multicast: 'none',
    mode: 'enforce',
    probation: { confirmWithinMs: 30_000, quarantineForMs: 21_600_000, probes: [] },
    position: { file: 'a.yaml', line: 2, column: 1 },
  });
  expect(fleet.peers.get('robot-1')).toStrictEqual({
    kind: 'Peer',
    metadata: { name: 'robot-1', labels: { site: 'munich' } },
    clusters: ['warehouse'],
    publicKey: key,
    endpoints: [{ host: '2001:db8::7', port: 51820 }],
    keepaliveMs: 25_000,
    roles: [],
    suspended: false,
    position: { file: 'a.yaml', line: 7, column: 1 },
  });
  expect(fleet.vips.get('v')).toStrictEqual({
    kind: 'VIP',
    metadata: { name: 'v', labels: {} },
    cluster: 'warehouse',
    address: 'fd77::17',
    peer: 'robot-1',
    position: { file: 'a.yaml', line: 17, column: 1 },
  });
  expect(fleet.peersOfCluster).toEqual(new Map([['warehouse', new Set(['robot-1'])]]));
  expect(fleet.vipsOfPeer).toEqual(new Map([['warehouse/robot-1', new Set(['v'])]]));
  expect(fleet.peerByKey).toEqual(new Map([[key, 'robot-1']]));
});

test('the first read changes all, an equal one nothing, and it gives back the same fleet', async () => {
  const reader = createFleetReader();
  const first = await readTexts(reader, three);
  expect(first.ok && first.changed).toBe('all');
  const again = await readTexts(reader, three);
  expect(again.ok && again.changed).toEqual(new Set());
  expect(fleetOf(again)).toBe(fleetOf(first));
});

test('a change names what differs, and the fleet that was handed out before stays as it was', async () => {
  const reader = createFleetReader();
  const before = fleetOf(await readTexts(reader, three));
  const copy = frozen(before);
  const changed = (three[second] ?? '').replace(':51820', ':4000');
  const { [second]: _, ...others } = three;
  const after = await readTexts(reader, { ...others, [second]: changed });
  expect(after.ok && after.changed).toEqual(new Set(['peer/robot-00001']));
  expect(fleetOf(after).peers.get('robot-00001')?.endpoints[0]?.port).toBe(4000);
  expect(fleetOf(after).peers.get('robot-00002')).toBe(before.peers.get('robot-00002'));
  const gone = await readTexts(reader, others);
  expect(gone.ok && gone.changed).toEqual(new Set(['peer/robot-00001', 'vip/robot-00001']));
  expect(fleetOf(gone).peersOfCluster.get('bench')).toEqual(new Set(['robot-00000', 'robot-00002']));
  expect(before).toEqual(copy);
});

test('what moved in its file differs: its position does', async () => {
  const reader = createFleetReader();
  await readTexts(reader, three);
  const moved = await readTexts(reader, { ...three, [second]: `# a line more\n${three[second]}` });
  expect(moved.ok && moved.changed).toEqual(new Set(['peer/robot-00001', 'vip/robot-00001']));
  expect(fleetOf(moved).vips.get('robot-00001')?.position.line).toBe(10);
});

test('after a set with errors, the difference is to the last good fleet', async () => {
  const reader = createFleetReader();
  const before = fleetOf(await readTexts(reader, three));
  const broken = await readTexts(reader, { ...three, [second]: 'kind: Peer' });
  expect(broken.ok).toBe(false);
  const { [second]: _, ...two } = three;
  expect(await readTexts(reader, two)).toMatchObject({
    ok: true,
    changed: new Set(['peer/robot-00001', 'vip/robot-00001']),
  });
  const back = await readTexts(reader, three);
  expect(back.ok && back.changed).toEqual(new Set(['peer/robot-00001', 'vip/robot-00001']));
  expect(fleetOf(back)).toEqual(before);
});

test('a key may pass from one peer to another in one step', async () => {
  const reader = createFleetReader();
  await readTexts(reader, three);
  const swapped = { ...three };
  const files = ['robots/0/robot-00000.yaml', second];
  const keys = files.map((file) => /publicKey: (\S+)/.exec(three[file] ?? '')?.[1] ?? '');
  for (const [at, file] of files.entries()) {
    swapped[file] = (three[file] ?? '').replace(/publicKey: \S+/, `publicKey: ${keys[1 - at]}`);
  }
  const fleet = fleetOf(await readTexts(reader, swapped));
  expect([...fleet.peerByKey].sort()).toEqual(
    [...fleet.peers.values()].map((peer) => [peer.publicKey, peer.metadata.name]).sort(),
  );
  expect(fleet.peerByKey.get(fleet.peers.get('robot-00001')?.publicKey ?? ('' as never))).toBe('robot-00001');
});

test('a blob is read once while it is in use, whatever its path', async () => {
  const read: string[] = [];
  const file = (path: string, text: string): ManifestFile => {
    const [inner] = filesFromTexts([{ path, text }]);
    if (inner === undefined) throw new Error('no file');
    const counted = () => {
      read.push(path);
      return inner.read();
    };
    return { ...inner, read: counted };
  };
  const files = Object.entries(three).map(([path, text]) => file(path, text));
  const reader = createFleetReader();
  await reader.read(files);
  expect(read.length).toBe(files.length);
  read.length = 0;
  const renamed = files.map((each) => (each.path === second ? { ...each, path: 'moved.yaml' } : each));
  const result = await reader.read(renamed);
  expect(read).toEqual([]);
  expect(fleetOf(result).peers.get('robot-00001')?.position.file).toBe('moved.yaml');
  await reader.read(files.filter((each) => each.path !== second));
  await reader.read(files);
  expect(read).toEqual([second]);
});

test('diagnostics of an unchanged file come from the cache, for each path of the content', async () => {
  const reader = createFleetReader();
  const bad = 'apiVersion: omni.io/v1alpha1\nkind: Robot\n';
  const first = await readTexts(reader, { ...three, 'x.yaml': bad });
  const second = await readTexts(reader, { ...three, 'x.yaml': bad, 'y.yaml': bad });
  expect(first.diagnostics.map(({ position }) => position.file)).toEqual(['x.yaml']);
  expect(second.diagnostics.map(({ position }) => position.file)).toEqual(['x.yaml', 'y.yaml']);
});

test('a read that fails is its own: the next one is right', async () => {
  const reader = createFleetReader();
  const before = fleetOf(await readTexts(reader, three));
  const files = filesFromTexts([{ path: 'new.yaml', text: 'x: 1' }]).map((file) => ({
    ...file,
    read: () => Promise.reject(new Error('disk on fire')),
  }));
  await expect(reader.read(files)).rejects.toThrow('disk on fire');
  expect(fleetOf(await readTexts(reader, three))).toBe(before);
});

test('reads at the same time take turns', async () => {
  const reader = createFleetReader();
  const { [second]: _, ...two } = three;
  const [a, b, c] = await Promise.all([readTexts(reader, three), readTexts(reader, two), readTexts(reader, three)]);
  expect(a.ok && a.changed).toBe('all');
  expect(b.ok && b.changed).toEqual(new Set(['peer/robot-00001', 'vip/robot-00001']));
  expect(fleetOf(c)).toEqual(fleetOf(a));
});

test('MAC addresses and peer ids that collide are found, those of next keys too', async () => {
  const texts = { ...three };
  const peer = texts[second] ?? '';
  const [spare] = makeFleet(4).slice(-1);
  const next = /publicKey: (\S+)/.exec(spare?.text ?? '')?.[1];
  texts[second] = peer.replace(/publicKey: \S+/, `$&\n  nextPublicKey: ${next}`);
  const sameMac = await readTexts(
    createFleetReader({ macOf: () => '02:00:00:00:00:01' as MacAddress, peerIdOf }),
    texts,
  );
  expect(sameMac.diagnostics.map(({ rule, position }) => [rule, position.file, position.line])).toEqual([
    ['mac-collision', second, 6],
    ['mac-collision', second, 7],
    ['mac-collision', 'robots/2/robot-00002.yaml', 6],
  ]);
  const sameId = await readTexts(createFleetReader({ macOf, peerIdOf: () => 1n }), texts);
  expect(sameId.diagnostics.map(({ message }) => message)[0]).toContain('peer id 1');
  expect((await readTexts(createFleetReader(), texts)).diagnostics).toEqual([]);
});

test('keys that name methods of objects are keys like any other', async () => {
  for (const key of ['valueOf', 'toString', 'constructor', '__proto__', 'hasOwnProperty']) {
    const text = `apiVersion: omni.io/v1alpha1
kind: Peer
metadata: { name: robot-1, labels: { ${key}: x } }
spec: { clusters: [{ ${key}: 1 }, { ${key}: 1 }, a, a], publicKey: x, ${key}: x }
`;
    const { diagnostics } = await readTexts(createFleetReader(), { 'a.yaml': text });
    expect(diagnostics.map(({ rule, position }) => `${rule} ${position.column}`).sort()).toContain('field-type 20');
    expect(diagnostics.map(({ message }) => message)).toContain(`spec has no field "${key}"`);
  }
});

test('robots of the generator are valid, and as many as asked for', async () => {
  for (const layout of ['files', 'single'] as const) {
    const fleet = fleetOf(await createFleetReader().read(filesFromTexts(makeFleet(300, layout))));
    expect([fleet.peers.size, fleet.vips.size, fleet.peerByKey.size]).toEqual([300, 300, 300]);
  }
  expect(robotText(7, 'KEY', 4000)).toContain(':4000');
});
