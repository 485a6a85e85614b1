import assert from 'node:assert/strict';
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import {
  experimentalFrame,
  FOLDER,
  loadSmall,
  native,
  pinFolder,
  refused,
  rejected,
  shell,
  until,
  vethPair,
} from './harness.mjs';

const XDP = { drop: 1, pass: 2, tx: 3 };
const PINS = ['device_map', 'hash_map', 'percpu_map', 'prog_tc', 'prog_xdp', 'ring_map', 'trie_map'];

const u64 = (value) => {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(BigInt(value));
  return bytes;
};
const u32 = (...values) => Buffer.from(Uint32Array.from(values).buffer);

export const scenarios = {
  'this kernel has what the data path needs': () => {
    const { log, kernel, ...features } = native.probe();
    assert.match(kernel, /^\d+\.\d+/);
    for (const [name, works] of Object.entries(features))
      if (name !== 'jit') assert.equal(works, true, `${name}: ${log}`);
    assert.equal(log.replace(/^jit: .*\n/m, ''), '');
  },

  'an object is loaded, sized, configured and pinned': async () => {
    const pins = pinFolder('load');
    const { programs, log } = await loadSmall(pins, { maxEntries: { hash_map: 1000 }, stats: true });
    assert.deepEqual(readdirSync(pins).sort(), PINS);
    const xdp = programs.find((program) => program.name === 'small_xdp');
    assert.match(xdp.tag, /^[0-9a-f]{16}$/);
    assert.ok(xdp.instructions > 10 && xdp.verifiedInstructions > 10);
    assert.match(log, /small_xdp:\n(.*\n)*processed \d+ insns/);
    const info = native.programInfo({ pin: join(pins, 'prog_xdp') });
    assert.deepEqual([info.id, info.name, info.tag], [xdp.id, 'small_xdp', xdp.tag]);
    assert.equal(typeof info.loadTimeNs, 'bigint');
    const map = new native.BpfMap({ pin: join(pins, 'hash_map') });
    assert.ok(info.mapIds.includes(map.info.id));
    const { id, ...shape } = map.info;
    assert.ok(id > 0);
    assert.deepEqual(shape, { type: 1, keySize: 8, valueSize: 16, maxEntries: 1000, flags: 0, name: 'hash_map' });
    map.close();
  },

  'a tracked map tells what others did to it, and nothing else': async () => {
    const pins = pinFolder('track');
    await loadSmall(pins);
    for (const name of ['hash_map', 'trie_map']) {
      const open = () => new native.BpfMap({ pin: join(pins, name) });
      const [map, other] = [open(), open()];
      const { keySize, valueSize } = map.info;
      const keyOf = (at) =>
        Buffer.concat([u32(8 * Math.min(keySize, 4)), Buffer.alloc(keySize, at)]).subarray(0, keySize);
      // Not where one of the maps has its lock, which the kernel keeps to itself.
      const rowOf = (at, last = 0) => Buffer.from([...Buffer.alloc(valueSize - 2), at, last]);
      const told = () =>
        Object.fromEntries(Object.entries(map.foreignChanges()).map(([how, keys]) => [how, keys.toString('hex')]));
      const nothing = { added: '', changed: '', removed: '' };
      const hex = (...numbers) => Buffer.concat(numbers.map(keyOf)).toString('hex');
      assert.throws(() => map.foreignChanges(), TypeError);
      assert.throws(() => map.track({ mask: Buffer.alloc(valueSize + 1) }), TypeError);
      other.update({ key: keyOf(1), value: rowOf(1) });
      map.track({ mask: Buffer.from([...Buffer.alloc(valueSize - 1, 1), 0]) });
      assert.deepEqual(told(), nothing);
      for (const at of [2, 3, 4]) map.update({ key: keyOf(at), value: rowOf(at) });
      map.update({ key: keyOf(3), value: rowOf(33) });
      map.delete({ key: keyOf(4) });
      assert.deepEqual(told(), nothing);
      // The last byte does not count.
      other.update({ key: keyOf(2), value: rowOf(2, 9) });
      assert.deepEqual(told(), nothing);
      other.update({ key: keyOf(2), value: rowOf(22) });
      other.update({ key: keyOf(5), value: rowOf(5) });
      other.delete({ key: keyOf(1) });
      assert.deepEqual(told(), { added: hex(5), changed: hex(2), removed: hex(1) });
      assert.deepEqual(told(), nothing);
      // A deletion that hides behind a write of ours to another row.
      other.delete({ key: keyOf(3) });
      map.update({ key: keyOf(2), value: rowOf(2) });
      assert.deepEqual(told(), { ...nothing, removed: hex(3) });
      for (const each of [map, other]) each.close();
      refused(() => map.track({ mask: Buffer.alloc(valueSize) }), 'EBADF');
    }
  },

  'what is pinned is kept: rows, size, and the program that a link runs': async () => {
    const pins = pinFolder('reload');
    await loadSmall(pins, { verdict: XDP.drop });
    const map = new native.BpfMap({ pin: join(pins, 'hash_map') });
    map.update({ key: u64(1), value: Buffer.alloc(16, 0) });
    const before = native.programInfo({ pin: join(pins, 'prog_xdp') }).id;
    await loadSmall(pins, { verdict: XDP.pass, maxEntries: { hash_map: 9 } });
    const again = new native.BpfMap({ pin: join(pins, 'hash_map') });
    assert.deepEqual([again.info.id, again.info.maxEntries, again.entries().count], [map.info.id, 64, 1]);
    assert.notEqual(native.programInfo({ pin: join(pins, 'prog_xdp') }).id, before);
    const { retval } = native.testRun({ pin: join(pins, 'prog_xdp'), data: experimentalFrame() });
    assert.equal(retval, XDP.pass);
    assert.deepEqual(readdirSync(pins).sort(), PINS);
    map.close();
    again.close();
  },

  'a map of another shape is refused by name, and nothing changes': async () => {
    const pins = pinFolder('shape');
    await loadSmall(pins);
    const before = native.programInfo({ pin: join(pins, 'prog_xdp') }).id;
    const other = loadSmall(pins, { object: join(FOLDER, 'other.bpf.o') });
    await rejected(other, 'EINVAL', { object: 'hash_map', message: /value size 16 instead of 4/ });
    assert.equal(native.programInfo({ pin: join(pins, 'prog_xdp') }).id, before);
    assert.deepEqual(readdirSync(pins).sort(), PINS);
  },

  'a program that the verifier refuses leaves its log and no pin': async () => {
    const pins = pinFolder('refused');
    const object = join(FOLDER, 'refused.bpf.o');
    const load = native.loadObject({
      object,
      pinMaps: pins,
      pinPrograms: { refused_xdp: join(pins, 'prog') },
      rodata: {},
    });
    const error = await rejected(load, 'EACCES', { syscall: 'bpf(BPF_PROG_LOAD)', object: 'refused_xdp' });
    assert.match(error.log, /invalid access to packet/);
    assert.deepEqual(readdirSync(pins), []);
    const withStats = native.loadObject({ object, pinMaps: pins, pinPrograms: {}, rodata: {}, stats: true });
    assert.match((await rejected(withStats, 'EACCES')).log, /invalid access to packet/);
  },

  'what a load names must be there and fit': async () => {
    const pins = pinFolder('names');
    const rodata = { config: new Uint8Array(8), marker: new Uint8Array(3) };
    await rejected(loadSmall(pins, { rodata: { ...rodata, absent: new Uint8Array(1) } }), 'ENOENT', {
      object: 'absent',
    });
    await rejected(loadSmall(pins, { rodata: { ...rodata, config: new Uint8Array(7) } }), 'EINVAL', {
      object: 'config',
      message: /8 bytes, not 7/,
    });
    await rejected(loadSmall(pins, { maxEntries: { absent_map: 1 } }), 'ENOENT', { object: 'absent_map' });
    await rejected(loadSmall(pins, { pinPrograms: { absent: join(pins, 'x') } }), 'ENOENT', { object: 'absent' });
    await rejected(loadSmall(pins, { pinPrograms: { small_xdp: join(pins, 'no/folder') } }), 'ENOENT');
    await rejected(loadSmall(join(pins, 'absent')), 'ENOENT');
    await rejected(loadSmall(FOLDER), 'EINVAL', { message: /bpf file system/ });
    await rejected(loadSmall(pins, { object: join(FOLDER, 'absent.o') }), 'ENOENT');
    assert.deepEqual(readdirSync(pins), []);
  },

  'a test run gives verdict, packet and context': async () => {
    const pins = pinFolder('run');
    const { inner } = vethPair();
    await loadSmall(pins, { verdict: XDP.tx, ifindex: inner });
    const records = [];
    const ring = new native.RingBuffer({ pin: join(pins, 'ring_map'), onRecord: (record) => records.push(record) });
    const frame = experimentalFrame();
    const run = native.testRun({ pin: join(pins, 'prog_xdp'), data: frame, ingressIfindex: inner });
    assert.equal(run.retval, XDP.tx);
    assert.deepEqual(run.data, Buffer.concat([Buffer.from('11223300', 'hex'), frame]));
    await until(() => records.length === 1, 'the record of the run');
    assert.deepEqual(records[0], Buffer.concat([u64(inner), u64(0x11)]));
    const many = native.testRun({ pin: join(pins, 'prog_tc'), data: frame, repeat: 100, ingressIfindex: inner });
    assert.equal(many.retval, 1);
    assert.ok(many.durationNs >= 0);
    assert.equal(native.testRun({ pin: join(pins, 'prog_tc'), data: frame }).retval, 0);
    refused(() => native.testRun({ pin: join(pins, 'prog_xdp'), data: new Uint8Array(1) }), 'EINVAL');
    refused(() => native.testRun({ pin: join(pins, 'prog_xdp'), data: frame, ingressIfindex: 999_999 }), 'ENODEV');
    ring.close();
  },

  'map rows: create, replace, lock, take, delete': async () => {
    const pins = pinFolder('rows');
    await loadSmall(pins);
    const map = new native.BpfMap({ pin: join(pins, 'hash_map') });
    const key = u64(7);
    const value = Buffer.concat([Buffer.alloc(8), u64(41)]);
    assert.equal(map.lookup({ key }), undefined);
    refused(() => map.update({ key, value, mode: 'replace' }), 'ENOENT', { syscall: 'bpf(BPF_MAP_UPDATE_ELEM)' });
    map.update({ key, value, mode: 'create' });
    refused(() => map.update({ key, value, mode: 'create' }), 'EEXIST', { object: join(pins, 'hash_map') });
    native.testRun({ pin: join(pins, 'prog_xdp'), data: experimentalFrame() });
    assert.equal(map.lookup({ key, lock: true }).readBigUInt64LE(8), 42n);
    map.update({ key, value, mode: 'replace' });
    map.update({ key, value: Buffer.concat([Buffer.alloc(8), u64(43)]), mode: 'replace', lock: true });
    assert.equal(map.lookup({ key }).readBigUInt64LE(8), 43n);
    map.update({ key, value, lock: true });
    assert.deepEqual(map.take({ key }), value);
    refused(() => map.update({ key, value, mode: 'replace', lock: true }), 'ENOENT');
    assert.equal(map.take({ key }), undefined);
    map.update({ key, value });
    assert.deepEqual([map.delete({ key }), map.delete({ key })], [true, false]);
    for (const wrong of [{ key: new Uint8Array(4) }, {}, { key, lock: 1 }, { key, more: 1 }]) {
      assert.throws(() => map.lookup(wrong), TypeError);
    }
    assert.throws(() => map.update({ key, value: new Uint8Array(8) }), TypeError);
    assert.throws(() => map.update({ key, value, mode: 'maybe' }), TypeError);
    assert.throws(() => map.update({ key, value, lock: 1 }), TypeError);
    const unlocked = new native.BpfMap({ pin: join(pins, 'trie_map') });
    refused(() => unlocked.lookup({ key, lock: true }), 'EINVAL');
    refused(() => unlocked.update({ key, value: u32(5), lock: true }), 'EINVAL');
    unlocked.update({ key: Buffer.concat([u32(32), Buffer.of(10, 0, 0, 1)]), value: u32(5) });
    assert.deepEqual(unlocked.take({ key: Buffer.concat([u32(32), Buffer.of(10, 0, 0, 1)]) }), u32(5));
    assert.equal(unlocked.entries().count, 0);
    unlocked.close();
    map.close();
    map.close();
    for (const use of [
      () => map.lookup({ key }),
      () => map.entries(),
      () => map.delete({ key }),
      () => map.take({ key }),
      () => map.update({ key, value }),
      () => map.updateBatch({ count: 1, keys: key, values: value }),
    ]) {
      refused(use, 'EBADF');
    }
  },

  'many rows are written and read in batches; the one that failed is named': async () => {
    const pins = pinFolder('batch');
    const count = 20_000;
    await loadSmall(pins, { maxEntries: { hash_map: count } });
    const map = new native.BpfMap({ pin: join(pins, 'hash_map') });
    const rows = (from, amount) => ({
      count: amount,
      keys: Buffer.from(BigUint64Array.from({ length: amount }, (_, i) => BigInt(from + i)).buffer),
      values: Buffer.from(
        BigUint64Array.from({ length: amount * 2 }, (_, i) => (i % 2 === 0 ? 0n : BigInt(from + (i >> 1)) * 3n)).buffer,
      ),
    });
    map.updateBatch(rows(0, 0));
    assert.deepEqual(map.entries(), { count: 0, keys: Buffer.alloc(0), values: Buffer.alloc(0) });
    map.updateBatch(rows(0, count - 10));
    const read = map.entries();
    assert.equal(read.count, count - 10);
    const found = new Map();
    for (let i = 0; i < read.count; i++)
      found.set(read.keys.readBigUInt64LE(i * 8), read.values.readBigUInt64LE(i * 16 + 8));
    assert.equal(found.size, count - 10);
    for (const [key, value] of found) assert.equal(value, key * 3n);
    refused(() => map.updateBatch(rows(count, 12)), 'E2BIG', { object: '10' });
    assert.equal(map.entries().count, count);
    assert.throws(() => map.updateBatch({ ...rows(0, 2), count: 3 }), TypeError);
    map.close();
  },

  'maps without batches are read row by row': async () => {
    const pins = pinFolder('single');
    const { inner, outer } = vethPair();
    await loadSmall(pins);
    const map = new native.BpfMap({ pin: join(pins, 'device_map') });
    map.updateBatch({ count: 2, keys: u32(5, 6), values: u32(inner, outer) });
    const { count, keys, values } = map.entries();
    const byKey = new Map([0, 1].map((i) => [keys.readUInt32LE(i * 4), values.readUInt32LE(i * 4)]));
    assert.deepEqual([count, byKey.get(5), byKey.get(6)], [2, inner, outer]);
    refused(() => map.updateBatch({ count: 2, keys: u32(5, 6), values: u32(inner, 999_999) }), 'EINVAL', {
      object: '1',
    });
    map.close();
  },

  'per-CPU values come in a row, padded to 8 bytes': async () => {
    const pins = pinFolder('percpu');
    await loadSmall(pins);
    const map = new native.BpfMap({ pin: join(pins, 'percpu_map') });
    const cpus = map.lookup({ key: u32(0) }).length / 8;
    assert.ok(Number.isInteger(cpus) && cpus >= 1);
    native.testRun({ pin: join(pins, 'prog_xdp'), data: experimentalFrame(), repeat: 10 });
    const counts = new Uint32Array(Uint8Array.from(map.lookup({ key: u32(0) })).buffer);
    assert.equal(
      counts.reduce((sum, value) => sum + value, 0),
      10,
    );
    const all = map.entries();
    assert.deepEqual([all.count, all.values.length], [2, 2 * cpus * 8]);
    map.update({ key: u32(1), value: Buffer.alloc(cpus * 8, 1) });
    assert.equal(map.lookup({ key: u32(1) }).readUInt32LE(0), 0x01010101);
    refused(() => map.lookup({ key: u32(0), lock: true }), 'EINVAL');
    assert.equal(map.lookup({ key: u32(2) }), undefined);
    map.close();
  },

  'a link attaches in the mode that was asked for, is replaced, and goes': async () => {
    const pins = pinFolder('link');
    const { inner, outer } = vethPair();
    await loadSmall(pins, { verdict: XDP.pass });
    const program = join(pins, 'prog_xdp');
    const pin = join(pins, 'link');
    assert.equal(native.linkInfo({ pin }), undefined);
    for (const mode of ['generic', 'native']) {
      const { linkId } = native.attachXdp({ program, ifindex: outer, mode, pin });
      const programId = native.programInfo({ pin: program }).id;
      assert.deepEqual(native.linkInfo({ pin }), { linkId, programId, ifindex: outer });
      const [link] = native.links({ ifindex: outer });
      assert.deepEqual([link.xdpMode, link.xdpProgramId], [mode, programId]);
      refused(() => native.attachXdp({ program, ifindex: outer, mode, pin: `${pin}2` }), 'EBUSY', {
        syscall: 'bpf(BPF_LINK_CREATE)',
      });
      assert.ok(!existsSync(`${pin}2`));
      native.detachLink({ pin });
      assert.equal(native.linkInfo({ pin }), undefined);
      assert.equal(native.links({ ifindex: outer })[0].xdpMode, 'none');
    }
    refused(() => native.attachXdp({ program, ifindex: 1, mode: 'native', pin }), 'EOPNOTSUPP');
    refused(() => native.attachXdp({ program, ifindex: 999_999, mode: 'native', pin }), 'EINVAL');
    // A pin that is taken: the program is not left attached without one.
    refused(() => native.attachXdp({ program, ifindex: outer, mode: 'native', pin: program }), 'EEXIST');
    assert.equal(native.links({ ifindex: outer })[0].xdpMode, 'none');
    native.attachXdp({ program, ifindex: outer, mode: 'native', pin });
    await loadSmall(pins, { verdict: XDP.drop });
    assert.notEqual(native.linkInfo({ pin }).programId, native.programInfo({ pin: program }).id);
    native.updateLink({ link: pin, program });
    assert.equal(native.linkInfo({ pin }).programId, native.programInfo({ pin: program }).id);
    native.deleteLink({ ifindex: inner });
    assert.equal(native.linkInfo({ pin }).ifindex, 0);
    native.detachLink({ pin });
    refused(() => native.detachLink({ pin }), 'ENOENT');
  },

  'each pin is taken only for what it is': async () => {
    const pins = pinFolder('kinds');
    await loadSmall(pins);
    const program = join(pins, 'prog_xdp');
    const map = join(pins, 'hash_map');
    refused(() => new native.BpfMap({ pin: program }), 'EINVAL', { object: program, message: /is no map/ });
    refused(() => native.programInfo({ pin: map }), 'EINVAL', { message: /is no program/ });
    refused(() => native.linkInfo({ pin: map }), 'EINVAL', { message: /is no link/ });
    refused(() => native.detachLink({ pin: map }), 'EINVAL');
    refused(() => new native.RingBuffer({ pin: map, onRecord: () => undefined }), 'EINVAL', { object: map });
    refused(() => new native.BpfMap({ pin: join(pins, 'absent') }), 'ENOENT');
    refused(
      () => native.attachXdp({ program: join(pins, 'prog_tc'), ifindex: 1, mode: 'generic', pin: join(pins, 'l') }),
      'EINVAL',
    );
  },

  'a tc program is attached once, however often it is': async () => {
    const pins = pinFolder('tc');
    const { outer } = vethPair();
    await loadSmall(pins);
    const program = join(pins, 'prog_tc');
    native.attachTcIngress({ program, ifindex: outer });
    native.attachTcIngress({ program, ifindex: outer });
    const filters = JSON.parse(shell('tc', '-j', 'filter', 'show', 'dev', 'omniv0x', 'ingress'));
    const attached = filters.filter((filter) => filter.options?.prog);
    assert.deepEqual(
      attached.map((filter) => [
        filter.pref,
        filter.options.handle,
        filter.options.direct_action_mode ?? filter.options['direct-action'],
      ]),
      [[1, '0x1', true]],
    );
    refused(() => native.attachTcIngress({ program, ifindex: 999_999 }), 'ENODEV');
  },

  'a tc program is found by its id, and missed where somebody took it away': async () => {
    const pins = pinFolder('tcfound');
    const { outer } = vethPair();
    await loadSmall(pins);
    const program = join(pins, 'prog_tc');
    const found = () => native.tcIngress({ ifindex: outer });
    assert.equal(found(), undefined);
    native.attachTcIngress({ program, ifindex: outer });
    assert.equal(found(), native.programInfo({ pin: program }).id);
    shell('tc', 'filter', 'del', 'dev', 'omniv0x', 'ingress');
    assert.equal(found(), undefined);
    native.attachTcIngress({ program, ifindex: outer });
    native.detachTcIngress({ ifindex: outer });
    assert.equal(found(), undefined);
    native.detachTcIngress({ ifindex: outer });
    native.detachTcIngress({ ifindex: 999_999 });
    native.attachTcIngress({ program, ifindex: outer });
    shell('tc', 'qdisc', 'del', 'dev', 'omniv0x', 'clsact');
    assert.equal(found(), undefined);
    assert.equal(native.tcIngress({ ifindex: 999_999 }), undefined);
  },

  'a ring delivers copies in order, without starving the loop, also after a pause': async () => {
    const pins = pinFolder('ring');
    await loadSmall(pins);
    const records = [];
    let turns = 0;
    const ring = new native.RingBuffer({
      pin: join(pins, 'ring_map'),
      onRecord: (record) => {
        if (records.length === 0)
          setImmediate(() => {
            turns = records.length;
          });
        records.push(record);
      },
    });
    const run = (repeat) => native.testRun({ pin: join(pins, 'prog_xdp'), data: experimentalFrame(), repeat });
    run(500);
    await until(() => records.length === 500, 'all records');
    assert.ok(turns <= 64, `${turns} records came in one turn`);
    assert.ok(records.every((record) => record.equals(Buffer.concat([record.subarray(0, 8), u64(0x11)]))));
    run(1);
    await until(() => records.length === 501, 'a record after the pause');
    ring.close();
    ring.close();
  },
};
