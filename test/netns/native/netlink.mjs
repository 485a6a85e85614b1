import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { release } from 'node:os';
import { MAC, native, refused, shell, until, vethPair } from './harness.mjs';

const RTN_UNICAST = 1;
const SCOPE_LINK = 253;
const IFA_F_NODAD = 0x02;
const IFA_F_NOPREFIXROUTE = 0x200;
const OURS = 111;
const ABSENT = 2 ** 31 - 1;

export const scenarios = {
  'links are read all, by index and by name; the absent are none': () => {
    const [lo] = native.links({ name: 'lo' });
    assert.deepEqual(native.links({ ifindex: 1 }), [lo]);
    assert.deepEqual(native.links({}), [lo]);
    assert.deepEqual([lo.name, lo.loopback, lo.up, lo.xdpMode, lo.kind], ['lo', true, false, 'none', '']);
    assert.deepEqual(native.links({ name: 'omni-none' }), []);
    assert.deepEqual(native.links({ ifindex: ABSENT }), []);
  },

  'a veth pair is made as asked, both ends down, the outer one silent': () => {
    native.createVeth({ name: 'omniv0', peerName: 'omniv0x', mac: MAC.inner, peerMac: MAC.outer, mtu: 1400 });
    const [inner] = native.links({ name: 'omniv0' });
    const [outer] = native.links({ name: 'omniv0x' });
    assert.deepEqual([inner.mac, outer.mac], [MAC.inner, MAC.outer]);
    assert.deepEqual([inner.link, outer.link], [outer.ifindex, inner.ifindex]);
    assert.deepEqual([inner.kind, inner.mtu, outer.mtu, inner.up, outer.up], ['veth', 1400, 1400, false, false]);
    assert.deepEqual([inner.numRxQueues, outer.numRxQueues, outer.addrGenMode], [1, 1, 1]);
    native.setLink({ ifindex: inner.ifindex, up: true });
    native.setLink({ ifindex: outer.ifindex, up: true });
    assert.deepEqual(native.addresses({ ifindex: outer.ifindex }), []);
    const again = { name: 'omniv0', peerName: 'omniv1x', mac: MAC.inner, peerMac: MAC.outer, mtu: 1400 };
    refused(() => native.createVeth(again), 'EEXIST', { errno: 17, syscall: 'RTM_NEWLINK', object: 'omniv0' });
    refused(() => native.createVeth({ ...again, name: 'omniv1', mac: 'ff:ff:ff:ff:ff:ff' }), 'EADDRNOTAVAIL');
    assert.equal(native.links({}).length, 3);
    native.deleteLink({ ifindex: inner.ifindex });
    assert.equal(native.links({}).length, 1);
    refused(() => native.deleteLink({ ifindex: inner.ifindex }), 'ENODEV', { syscall: 'RTM_DELLINK' });
  },

  'a link changes in what is named and in nothing else': () => {
    const { outer } = vethPair();
    const read = () => native.links({ ifindex: outer })[0];
    const before = read();
    native.setLink({ ifindex: outer, mtu: 1300, alias: 'omninervous:warehouse' });
    assert.deepEqual(read(), { ...before, mtu: 1300, alias: 'omninervous:warehouse' });
    native.setLink({ ifindex: outer, mac: '06:00:00:00:00:02', alias: '' });
    assert.deepEqual(read(), { ...before, mtu: 1300, mac: '06:00:00:00:00:02' });
    native.setLink({ ifindex: outer, arp: false });
    assert.match(shell('ip', 'link', 'show', 'omniv0x'), /NOARP/);
    assert.ok(read().up);
    native.setLink({ ifindex: outer, arp: true, up: false });
    assert.doesNotMatch(shell('ip', 'link', 'show', 'omniv0x'), /NOARP|UP/);
    refused(() => native.setLink({ ifindex: outer, mtu: 1 }), 'EINVAL', { log: /mtu/i });
    refused(() => native.setLink({ ifindex: ABSENT, up: true }), 'ENODEV');
  },

  'a link that goes up in the same call generates no address first': () => {
    native.createVeth({ name: 'omniv0', peerName: 'omniv0x', mac: MAC.inner, peerMac: MAC.outer, mtu: 1400 });
    const [inner] = native.links({ name: 'omniv0' });
    const [outer] = native.links({ name: 'omniv0x' });
    native.setLink({ ifindex: outer.ifindex, up: true });
    assert.notEqual(inner.addrGenMode, 1);
    native.setLink({ ifindex: inner.ifindex, addrGenMode: 1, up: true });
    assert.deepEqual(native.addresses({ ifindex: inner.ifindex }), []);
  },

  'addresses carry protocol and flags; a second one is refused in words': () => {
    const { inner, outer } = vethPair();
    const options = { ifindex: inner, prefixLength: 32, protocol: OURS, noDad: true, noPrefixRoute: true };
    native.addAddress({ ...options, address: '10.77.0.1' });
    native.addAddress({ ...options, address: 'fd77::1', prefixLength: 128 });
    const found = native.addresses({ ifindex: inner }).filter((item) => item.protocol === OURS);
    assert.deepEqual(
      found.map((item) => [item.family, item.address, item.prefixLength, item.scope]),
      [
        [4, '10.77.0.1', 32, 0],
        [6, 'fd77::1', 128, 0],
      ],
    );
    assert.deepEqual(
      found.map((item) => item.flags & (IFA_F_NODAD | IFA_F_NOPREFIXROUTE)),
      [IFA_F_NOPREFIXROUTE, IFA_F_NODAD | IFA_F_NOPREFIXROUTE],
    );
    const again = { ...options, address: '10.77.0.1' };
    refused(() => native.addAddress(again), 'EEXIST', { object: '10.77.0.1/32', syscall: 'RTM_NEWADDR' });
    refused(() => native.addAddress({ ...again, ifindex: ABSENT }), 'ENODEV');
    assert.deepEqual(native.addresses({ ifindex: outer }), []);
    assert.deepEqual(native.addresses({ ifindex: ABSENT }), []);
    const target = { ifindex: inner, address: '10.77.0.1', prefixLength: 32 };
    native.deleteAddress(target);
    refused(() => native.deleteAddress(target), 'EADDRNOTAVAIL');
    assert.deepEqual(
      native
        .addresses({})
        .filter((item) => item.protocol === OURS)
        .map((item) => item.address),
      ['fd77::1'],
    );
  },

  'routes are replaced, filtered, looked up and deleted': () => {
    assert.deepEqual(native.routes({}), []);
    const { inner, outer } = vethPair();
    native.addAddress({
      ifindex: inner,
      address: '10.77.0.1',
      prefixLength: 32,
      protocol: OURS,
      noDad: true,
      noPrefixRoute: true,
    });
    const ours = ['10.77.0.0/16', '0.0.0.0/0', 'fd77::/64', '::/0'].map((destination) => ({
      destination,
      oif: inner,
      protocol: OURS,
    }));
    for (const route of ours) native.replaceRoute(route);
    for (const route of ours) native.replaceRoute(route);
    native.replaceRoute({ destination: '10.78.0.0/16', oif: outer, protocol: 4 });
    const found = native.routes({ protocol: OURS });
    assert.deepEqual(found.map((route) => route.destination).sort(), ours.map((route) => route.destination).sort());
    assert.ok(found.every((route) => route.oif === inner && route.type === RTN_UNICAST && route.table === 254));
    assert.ok(found.every((route) => route.scope === (route.family === 4 ? SCOPE_LINK : 0)));
    assert.deepEqual(
      native.routes({ oif: outer, protocol: 4 }).map((route) => route.destination),
      ['10.78.0.0/16'],
    );
    assert.deepEqual(native.routes({ oif: ABSENT }), []);
    assert.deepEqual(native.lookupRoute({ destination: '10.77.5.5' }), {
      oif: inner,
      gateway: '',
      source: '10.77.0.1',
      mtu: 1400,
    });
    assert.equal(native.lookupRoute({ destination: 'fd77::5' }).oif, inner);
    // Only its own protocol and interface are taken away.
    refused(() => native.deleteRoute({ ...ours[0], protocol: 4 }), 'ESRCH');
    refused(() => native.deleteRoute({ ...ours[0], oif: outer }), 'ESRCH');
    for (const route of ours) native.deleteRoute(route);
    assert.deepEqual(native.routes({ protocol: OURS }), []);
    refused(() => native.lookupRoute({ destination: '192.0.2.1' }), 'ENETUNREACH', { object: '192.0.2.1' });
    refused(() => native.lookupRoute({ destination: '2001:db8::1' }), 'ENETUNREACH');
    const log = /Invalid prefix/;
    refused(() => native.replaceRoute({ ...ours[0], destination: '10.77.0.1/16' }), 'EINVAL', {
      log,
      object: '10.77.0.1/16',
    });
  },

  'a gateway, a preferred source and the first of several next hops are read': () => {
    const { inner, outer } = vethPair();
    shell('ip', 'address', 'add', '192.0.2.1/24', 'dev', 'omniv0');
    shell('ip', 'address', 'add', '198.51.100.1/24', 'dev', 'omniv0x');
    shell('ip', 'route', 'add', '203.0.113.0/24', 'via', '192.0.2.2', 'src', '192.0.2.1', 'mtu', '1280', 'metric', '5');
    shell('ip', 'route', 'add', '10.1.0.0/16', 'nexthop', 'via', '192.0.2.3', 'nexthop', 'via', '198.51.100.3');
    const byDestination = new Map(native.routes({}).map((route) => [route.destination, route]));
    const single = byDestination.get('203.0.113.0/24');
    assert.deepEqual(
      [single.gateway, single.prefSource, single.metric, single.oif],
      ['192.0.2.2', '192.0.2.1', 5, inner],
    );
    const several = byDestination.get('10.1.0.0/16');
    assert.deepEqual([several.gateway, several.oif], ['192.0.2.3', inner]);
    assert.ok(native.routes({ oif: outer }).some((route) => route.destination === '198.51.100.0/24'));
    const path = native.lookupRoute({ destination: '203.0.113.9' });
    assert.deepEqual(path, { oif: inner, gateway: '192.0.2.2', source: '192.0.2.1', mtu: 1280 });
  },

  'neighbours are read by link': () => {
    const { inner, outer } = vethPair();
    shell('ip', 'neigh', 'add', '192.0.2.9', 'lladdr', '02:00:00:00:00:09', 'dev', 'omniv0', 'nud', 'permanent');
    shell('ip', 'neigh', 'add', 'fd77::9', 'lladdr', '02:00:00:00:00:0a', 'dev', 'omniv0', 'nud', 'permanent');
    const found = native.neighbours({ ifindex: inner }).filter((item) => item.state === 0x80);
    assert.deepEqual(found.map((item) => [item.ifindex, item.address, item.mac]).sort(), [
      [inner, '192.0.2.9', '02:00:00:00:00:09'],
      [inner, 'fd77::9', '02:00:00:00:00:0a'],
    ]);
    assert.ok(native.neighbours({ ifindex: outer }).every((item) => item.ifindex === outer));
    assert.ok(native.neighbours({}).length >= found.length);
  },

  'neighbours are made, overwritten in place and deleted': () => {
    const { inner, outer } = vethPair();
    const table = new native.NeighbourTable({});
    const mac = '02:00:00:00:00:09';
    const bytesOf = (text) => Buffer.from(text.replaceAll(':', ''), 'hex');
    const addresses = {
      '10.77.0.9': '00000000000000000000ffff0a4d0009',
      'fd77::9': 'fd770000000000000000000000000009',
    };
    const put = (ifindex, macs, ...texts) =>
      table.put({
        ifindex,
        addresses: Buffer.concat(texts.map((text) => Buffer.from(addresses[text], 'hex'))),
        macs: Buffer.concat(texts.map(() => bytesOf(macs))),
        state: 0x80,
        protocol: OURS,
      });
    for (const address of Object.keys(addresses)) {
      const target = { ifindex: inner, address };
      assert.equal(native.neighbour(target), undefined);
      assert.equal(table.delete(target), false);
      shell('ip', 'neigh', 'add', address, 'dev', 'omniv0', 'nud', 'incomplete');
      assert.deepEqual(native.neighbour(target), { ...target, mac: '', state: 0x01, protocol: 0 });
      assert.equal(native.neighbour({ ...target, ifindex: outer }), undefined);
      put(inner, mac, address);
      assert.deepEqual(native.neighbour(target), { ...target, mac, state: 0x80, protocol: OURS });
      put(inner, MAC.outer, address);
      assert.deepEqual(native.neighbour(target), { ...target, mac: MAC.outer, state: 0x80, protocol: OURS });
      assert.equal(table.delete(target), true);
      assert.equal(native.neighbour(target), undefined);
      const nowhere = { ...target, ifindex: ABSENT };
      assert.equal(native.neighbour(nowhere), undefined);
      const said = { object: address, syscall: 'RTM_NEWNEIGH' };
      refused(() => put(ABSENT, mac, address), 'ENODEV', said);
      refused(() => table.delete(nowhere), 'ENODEV');
    }
    put(inner, mac, ...Object.keys(addresses));
    assert.equal(native.neighbours({ ifindex: inner }).filter((item) => item.protocol === OURS).length, 2);
    table.close();
    table.close();
    refused(() => put(inner, mac, '10.77.0.9'), 'EBADF');
  },

  'permanent neighbours are neither counted nor collected': () => {
    const { inner } = vethPair();
    // The limit is the whole system's, gc_thresh3, 1,024 by default.
    const table = new native.NeighbourTable({});
    const count = 5_000;
    const addresses = Buffer.alloc(16 * count);
    const macs = Buffer.alloc(6 * count, 2);
    for (let at = 0; at < count; at++) {
      addresses.writeUInt16BE(0xffff, 16 * at + 10);
      addresses.writeUInt32BE(0x0a4d0000 + at, 16 * at + 12);
    }
    table.put({ ifindex: inner, addresses, macs, state: 0x80, protocol: OURS });
    // One that is collected like any other finds room all the same.
    shell('ip', 'neigh', 'add', '192.0.2.200', 'lladdr', '02:00:00:00:00:09', 'dev', 'omniv0', 'nud', 'stale');
    const found = native.neighbours({ ifindex: inner });
    assert.equal(found.filter((item) => item.protocol === OURS).length, count);
    assert.ok(found.some((item) => item.address === '192.0.2.200'));
    table.close();
  },

  'features change by their own and by their group names': () => {
    vethPair();
    const read = () => native.features({ name: 'omniv0' });
    assert.ok(read()['tx-checksum-ip-generic'] && read()['tx-tcp-segmentation']);
    native.setFeatures({ name: 'omniv0', features: { 'tx-checksum-ip-generic': false, 'rx-gro': true } });
    assert.deepEqual(
      [read()['tx-checksum-ip-generic'], read()['tx-tcp-segmentation'], read()['rx-gro']],
      [false, false, true],
    );
    native.setFeatures({
      name: 'omniv0',
      features: { 'tx-checksumming': true, 'tcp-segmentation-offload': true, 'generic-receive-offload': false },
    });
    assert.deepEqual(
      [read()['tx-checksum-ip-generic'], read()['tx-tcp6-segmentation'], read()['rx-gro']],
      [true, true, false],
    );
    const set = (features) => native.setFeatures({ name: 'omniv0', features });
    // As it is: nothing to change.
    set({ 'rx-lro': false, 'large-receive-offload': false });
    refused(() => set({ 'rx-lro': true }), 'EOPNOTSUPP', { object: 'omniv0 rx-lro' });
    refused(() => set({ 'large-receive-offload': true }), 'EOPNOTSUPP');
    set({ 'scatter-gather': false });
    refused(() => set({ 'tx-tcp-segmentation': true }), 'EOPNOTSUPP', { message: /another feature/ });
    assert.throws(() => set({ 'no-such-feature': true }), TypeError);
    refused(() => native.features({ name: 'omni-none' }), 'ENODEV', { object: 'omni-none' });
  },

  'a veth tells that it is a target of XDP redirects once its other end has GRO': () => {
    const { inner, outer } = vethPair();
    const [RUNS, REDIRECTS, TARGET] = [1, 2, 4];
    const told = () => native.xdpFeatures({ ifindex: outer });
    const [major, minor] = release().split('.').map(Number);
    if (major < 6 || (major === 6 && minor < 3)) return assert.equal(told(), undefined);
    native.setFeatures({ name: 'omniv0', features: { 'rx-gro': false } });
    assert.equal(told() & (RUNS | REDIRECTS | TARGET), RUNS | REDIRECTS);
    native.setFeatures({ name: 'omniv0', features: { 'rx-gro': true } });
    assert.equal(told() & TARGET, TARGET);
    assert.equal(native.xdpFeatures({ ifindex: 1 }), 0);
    native.deleteLink({ ifindex: inner });
    refused(() => told(), 'ENODEV', { syscall: 'NETDEV_CMD_DEV_GET' });
  },

  'a monitor tells of the neighbours that it is asked to, but not of its own side': async () => {
    const { inner, outer } = vethPair();
    const seen = [];
    const monitor = new native.NetlinkMonitor({ onNotification: (item) => seen.push(item) });
    const table = new native.NeighbourTable({});
    const put = (last) => {
      const addresses = Buffer.from(`00000000000000000000ffff0a4d00${last}`, 'hex');
      table.put({ ifindex: inner, addresses, macs: Buffer.alloc(6, 2), state: 0x80, protocol: OURS });
    };
    const ip = (...args) => spawnSync('ip', args, { encoding: 'utf8' }).pid;
    const objects = () => seen.filter((item) => item.type === 'neighbour').map((item) => item.object);
    ip('neigh', 'replace', '10.77.0.1', 'lladdr', MAC.outer, 'dev', 'omniv0');
    monitor.watchNeighbours({ ifindexes: [inner], exceptPort: table.port });
    put('02');
    put('03');
    const port = ip('neigh', 'replace', '10.77.0.2', 'lladdr', MAC.outer, 'dev', 'omniv0', 'nud', 'permanent');
    ip('neigh', 'replace', '10.77.0.4', 'lladdr', MAC.outer, 'dev', 'omniv0x', 'nud', 'permanent');
    table.delete({ ifindex: inner, address: '10.77.0.3' });
    const remover = ip('neigh', 'del', '10.77.0.2', 'dev', 'omniv0');
    await until(() => objects().length === 2, 'two of the inner end');
    const about = { type: 'neighbour', ifindex: inner, object: '10.77.0.2' };
    assert.deepEqual(
      seen.filter((item) => item.type === 'neighbour'),
      [
        { ...about, deleted: false, protocol: seen.find((item) => item.type === 'neighbour').protocol, port },
        {
          ...about,
          deleted: true,
          protocol: seen.findLast((item) => item.type === 'neighbour').protocol,
          port: remover,
        },
      ],
    );
    monitor.watchNeighbours({ ifindexes: [outer], exceptPort: table.port });
    ip('neigh', 'replace', '10.77.0.5', 'lladdr', MAC.outer, 'dev', 'omniv0', 'nud', 'permanent');
    ip('neigh', 'replace', '10.77.0.6', 'lladdr', MAC.outer, 'dev', 'omniv0x', 'nud', 'permanent');
    await until(() => objects().length === 3, 'one of the outer end');
    assert.equal(objects().at(-1), '10.77.0.6');
    monitor.close();
    refused(() => monitor.watchNeighbours({ ifindexes: [inner], exceptPort: table.port }), 'EBADF');
    table.close();
  },

  'a monitor tells of filters that come and go': async () => {
    const { outer } = vethPair();
    const seen = [];
    const monitor = new native.NetlinkMonitor({ onNotification: (item) => seen.push(item) });
    const told = (deleted) => () =>
      seen.some((item) => item.type === 'filter' && item.deleted === deleted && item.ifindex === outer);
    shell('tc', 'qdisc', 'add', 'dev', 'omniv0x', 'clsact');
    await until(told(false), 'a qdisc that came');
    shell('tc', 'qdisc', 'del', 'dev', 'omniv0x', 'clsact');
    await until(told(true), 'a qdisc that went');
    monitor.close();
  },

  'a monitor tells whose socket asked for a change, and the protocol of what it is': async () => {
    const { inner, outer } = vethPair();
    const add = { ifindex: inner, prefixLength: 32, protocol: OURS, noDad: true, noPrefixRoute: true };
    for (const address of ['10.77.0.1', '10.77.0.2']) native.addAddress({ ...add, address });
    native.replaceRoute({ destination: '10.77.0.0/16', oif: inner, protocol: OURS });
    const seen = [];
    const monitor = new native.NetlinkMonitor({ onNotification: (item) => seen.push(item) });
    const notified = async (wanted) => {
      const found = () => seen.find((item) => Object.entries(wanted).every(([key, value]) => item[key] === value));
      await until(() => found() !== undefined, JSON.stringify(wanted));
      return found();
    };
    const ip = (...args) => spawnSync('ip', args, { encoding: 'utf8' }).pid;

    const remover = ip('address', 'del', '10.77.0.2/32', 'dev', 'omniv0');
    await notified({ type: 'address', deleted: true, object: '10.77.0.2', protocol: OURS, port: remover });
    const replacer = ip('route', 'replace', '10.77.0.0/16', 'dev', 'omniv0x', 'proto', 'bird');
    await notified({ type: 'route', deleted: false, ifindex: outer, protocol: 12, port: replacer });
    // What the kernel does of itself, and what it does not tell.
    ip('link', 'set', 'omniv0', 'down');
    const { port } = await notified({ type: 'link', deleted: false, ifindex: inner });
    assert.equal(port, 0);
    monitor.close();
  },

  'a monitor tells of links, addresses and routes, and of what they were': async () => {
    const seen = [];
    const monitor = new native.NetlinkMonitor({ onNotification: (item) => seen.push(item) });
    const has = (wanted) => seen.some((item) => Object.entries(wanted).every(([key, value]) => item[key] === value));
    const { inner } = vethPair();
    native.addAddress({
      ifindex: inner,
      address: 'fd77::1',
      prefixLength: 128,
      protocol: OURS,
      noDad: true,
      noPrefixRoute: true,
    });
    // The kernel announces an IPv6 address from a work queue: not at all if the link is deleted first.
    await until(() => has({ type: 'address', deleted: false, object: 'fd77::1' }), 'an IPv6 address');
    native.replaceRoute({ destination: '10.77.0.0/16', oif: inner, protocol: OURS });
    native.deleteRoute({ destination: '10.77.0.0/16', oif: inner, protocol: OURS });
    native.deleteLink({ ifindex: inner });
    for (const wanted of [
      { type: 'link', deleted: false, ifindex: inner, object: 'omniv0' },
      { type: 'address', deleted: false, ifindex: inner, object: 'fd77::1' },
      { type: 'route', deleted: false, ifindex: inner, object: '10.77.0.0/16' },
      { type: 'route', deleted: true, ifindex: inner, object: '10.77.0.0/16' },
      { type: 'address', deleted: true, ifindex: inner, object: 'fd77::1' },
      { type: 'link', deleted: true, ifindex: inner, object: 'omniv0' },
    ]) {
      await until(() => has(wanted), JSON.stringify(wanted));
    }
    monitor.close();
    monitor.close();
  },

  'what the kernel tells of its objects is seen, and what another process says in its name is not': async () => {
    const seen = [];
    const monitor = new native.UeventMonitor({
      receiveBuffer: 1 << 20,
      onEvent: (event) => seen.push(event?.toString('latin1')),
    });
    vethPair();
    const added = (name) => seen.some((text) => text?.startsWith(`add@/devices/virtual/net/${name}\0`));
    await until(() => added('omniv0'), 'the event of a new interface');
    assert.ok(seen.every((text) => text.includes('\0SUBSYSTEM=')));
    // Root may send to the group: to this socket it comes as from a port that is not the kernel's.
    const forgery = [
      'import socket',
      's = socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM, 15)',
      's.bind((0, 0))',
      's.sendto(b"change@/x\\0ACTION=change\\0NEW_VMGENID=1\\0", (0, 1))',
    ];
    shell('python3', '-c', forgery.join('\n'));
    native.createVeth({ name: 'omniv1', peerName: 'omniv1x', mac: MAC.inner, peerMac: MAC.outer, mtu: 1400 });
    await until(() => added('omniv1'), 'the event after the forgery');
    assert.ok(seen.every((text) => !text.includes('NEW_VMGENID')));
    monitor.close();
    monitor.close();
  },

  'events of objects that were lost are told, and those after them come': async () => {
    const seen = [];
    const monitor = new native.UeventMonitor({ receiveBuffer: 4096, onEvent: (event) => seen.push(event) });
    for (let i = 0; i < 64; i++) {
      native.createVeth({ name: `omniw${i}`, peerName: `omniw${i}x`, mac: MAC.inner, peerMac: MAC.outer, mtu: 1400 });
    }
    await until(() => seen.includes(undefined), 'lost events');
    await until(() => seen.at(-1) !== undefined || seen.length > 1, 'what is left in the buffer');
    seen.length = 0;
    vethPair();
    await until(() => seen.some((event) => event?.includes('/net/omniv0\0')), 'an event after those');
    monitor.close();
  },

  'random numbers of OpenSSL are renewed': () => {
    assert.equal(native.reseed(), true);
    assert.throws(() => native.reseed({}), TypeError);
  },

  'a monitor that was overrun says so and goes on': async () => {
    const seen = [];
    const monitor = new native.NetlinkMonitor({ onNotification: (item) => seen.push(item) });
    const { inner } = vethPair();
    const { inner: other } = vethPair('omniv1');
    // Nobody reads while this loop holds the thread; the socket's buffer takes some hundred messages.
    for (let i = 0; i < 3_000; i++) native.setLink({ ifindex: inner, alias: `omninervous:${i}` });
    await until(() => seen.some((item) => item.type === 'overrun'), 'overrun');
    // The kernel drops everything for a socket that was overrun until its buffer is empty.
    seen.length = 0;
    await until(() => {
      native.setLink({ ifindex: other, alias: `omninervous:${seen.length}` });
      return seen.some((item) => item.ifindex === other);
    }, 'a notification after the overrun');
    native.deleteLink({ ifindex: inner });
    await until(() => seen.some((item) => item.ifindex === inner && item.deleted), 'every notification from then on');
    monitor.close();
  },
};
