import { describe, expect, it } from 'vitest';
import { loadNative } from '../../../src/dataplane/kernel/native.ts';

/*
 * Whatever a caller passes, the addon throws TypeError before it touches the kernel, and the process lives. Each entry
 * has one well-typed record, which is never passed whole: every test breaks it in one place.
 */
interface Signature {
  readonly required: Readonly<Record<string, unknown>>;
  readonly optional?: Readonly<Record<string, unknown>>;
  readonly construct?: true;
}

const PATH = '/nonexistent/omni';
const IFINDEX = 2 ** 31 - 1;
const NAME = 'omni-none';
const MAC = '02:00:00:00:00:01';
const noop = () => undefined;

const SIGNATURES: Readonly<Record<string, Signature>> = {
  loadObject: {
    required: { object: PATH, pinMaps: PATH, pinPrograms: { a: PATH }, rodata: { a: new Uint8Array(1) } },
    optional: { maxEntries: { a: 1 }, stats: true },
  },
  programInfo: { required: { pin: PATH } },
  testRun: {
    required: { pin: PATH, data: new Uint8Array(14) },
    optional: { repeat: 1, ingressIfindex: 1, rxQueue: 0 },
  },
  attachXdp: { required: { program: PATH, ifindex: IFINDEX, mode: 'generic', pin: PATH } },
  attachTcIngress: { required: { program: PATH, ifindex: IFINDEX } },
  detachTcIngress: { required: { ifindex: IFINDEX } },
  updateLink: { required: { link: PATH, program: PATH } },
  linkInfo: { required: { pin: PATH } },
  detachLink: { required: { pin: PATH } },
  setProgram: { required: { map: PATH, key: 0, program: PATH }, optional: { queue: 1 } },
  btfTypes: { required: { object: PATH }, optional: { names: ['a'] } },
  links: { required: {}, optional: { ifindex: IFINDEX, name: NAME } },
  createVeth: { required: { name: NAME, peerName: NAME, mac: MAC, peerMac: MAC, mtu: 1400 } },
  deleteLink: { required: { ifindex: IFINDEX } },
  setLink: {
    required: { ifindex: IFINDEX },
    optional: { up: true, mtu: 1400, mac: MAC, alias: 'x', arp: true, addrGenMode: 1 },
  },
  addresses: { required: {}, optional: { ifindex: IFINDEX } },
  addAddress: {
    required: {
      ifindex: IFINDEX,
      address: '192.0.2.1',
      prefixLength: 32,
      protocol: 1,
      noDad: true,
      noPrefixRoute: true,
    },
  },
  deleteAddress: { required: { ifindex: IFINDEX, address: '192.0.2.1', prefixLength: 32 } },
  routes: { required: {}, optional: { protocol: 1, oif: IFINDEX } },
  replaceRoute: { required: { destination: '192.0.2.0/24', oif: IFINDEX, protocol: 1 } },
  deleteRoute: { required: { destination: '192.0.2.0/24', oif: IFINDEX, protocol: 1 } },
  lookupRoute: { required: { destination: '192.0.2.1' } },
  neighbours: { required: {}, optional: { ifindex: IFINDEX } },
  neighbour: { required: { ifindex: IFINDEX, address: '192.0.2.1' } },
  NeighbourTable: { required: {}, construct: true },
  tcIngress: { required: { ifindex: IFINDEX } },
  xdpFeatures: { required: { ifindex: IFINDEX } },
  features: { required: { name: NAME } },
  setFeatures: { required: { name: NAME, features: { x: true } } },
  mountBpffs: { required: { path: PATH } },
  isBpffs: { required: { path: PATH } },
  BpfMap: { required: { pin: PATH }, construct: true },
  RingBuffer: { required: { pin: PATH, onRecord: noop }, construct: true },
  NetlinkMonitor: { required: { onNotification: noop }, construct: true },
  UdpSocket: {
    required: { family: 4, port: 1, receiveBuffer: 0, onDatagram: noop },
    construct: true,
  },
  UeventMonitor: { required: { receiveBuffer: 0, onEvent: noop }, construct: true },
  PacketSocket: {
    required: { ifindex: IFINDEX, receiveBuffer: 0, outgoing: false },
    optional: { onFrame: noop, protocol: 0x88b6 },
    construct: true,
  },
};
const WITHOUT_ARGUMENTS = ['probe', 'bootTimeNs', 'capabilities', 'reseed'];

/** None of these is right for any option, but '' for an alias: it removes it. */
const WRONG = [
  null,
  Symbol('x'),
  1n,
  Number.NaN,
  -1,
  1.5,
  2 ** 53,
  '',
  'a\0b',
  'x'.repeat(5000),
  [1],
  new Uint16Array(2),
];

const addon: Readonly<Record<string, unknown>> = { ...loadNative() };

function invoke(name: string, construct: boolean, ...values: unknown[]): unknown {
  const target = addon[name];
  if (typeof target !== 'function') throw new Error(`the addon exports no ${name}`);
  return construct ? Reflect.construct(target, values) : Reflect.apply(target, undefined, values);
}

it('covers every export', () => {
  expect(Object.keys(addon).sort()).toEqual([...Object.keys(SIGNATURES), ...WITHOUT_ARGUMENTS].sort());
});

describe.each(Object.entries(SIGNATURES))('%s', (name, { required, optional = {}, construct = false }) => {
  const call =
    (...values: unknown[]) =>
    () =>
      invoke(name, construct, ...values);

  it.each([[[]], [[null]], [['x']], [[1]], [[[]]], [[noop]], [[{ ...required }, {}]]])(
    'refuses the arguments %j',
    (values) => {
      expect(call(...values)).toThrow(TypeError);
    },
  );

  it('refuses an unknown option and names it', () => {
    expect(call({ ...required, unheardOf: 1 })).toThrow(/unheardOf/);
    expect(call({ ...required, unheardOf: 1 })).toThrow(TypeError);
  });

  it('refuses every option of a wrong type and names it', () => {
    for (const key of Object.keys({ ...required, ...optional })) {
      const wrong = WRONG.filter((value) => !(key === 'alias' && value === ''));
      for (const value of wrong) {
        const broken = call({ ...required, [key]: value });
        expect(broken, `${key}: ${String(value).slice(0, 20)}`).toThrow(TypeError);
        expect(broken).toThrow(new RegExp(`'${key}'`));
      }
    }
  });
});

it('refuses a record without a required option', () => {
  for (const [name, { required, construct = false }] of Object.entries(SIGNATURES)) {
    for (const key of Object.keys(required)) {
      expect(() => invoke(name, construct, { ...required, [key]: undefined }), `${name}.${key}`).toThrow(TypeError);
    }
  }
});

describe('values that are of the right type and still wrong', () => {
  it.each([
    ['attachXdp', { ...SIGNATURES.attachXdp?.required, mode: 'offload' }],
    ['addAddress', { ...SIGNATURES.addAddress?.required, address: '300.0.0.1' }],
    ['addAddress', { ...SIGNATURES.addAddress?.required, prefixLength: 33 }],
    ['replaceRoute', { ...SIGNATURES.replaceRoute?.required, destination: '192.0.2.0' }],
    ['replaceRoute', { ...SIGNATURES.replaceRoute?.required, destination: '192.0.2.0/33' }],
    ['replaceRoute', { ...SIGNATURES.replaceRoute?.required, destination: '192.0.2.0/-1' }],
    ['neighbour', { ...SIGNATURES.neighbour?.required, address: '192.0.2.0/24' }],
    ['createVeth', { ...SIGNATURES.createVeth?.required, mac: '02:00:00:00:00:0g' }],
    ['createVeth', { ...SIGNATURES.createVeth?.required, mac: '02-00-00-00-00-01' }],
    ['createVeth', { ...SIGNATURES.createVeth?.required, name: 'sixteen-letters-' }],
    ['links', { ifindex: 1, name: 'lo' }],
    ['links', { ifindex: 0 }],
    ['setFeatures', { name: 'lo', features: { 'no-such-feature': true } }],
    ['loadObject', { ...SIGNATURES.loadObject?.required, rodata: { a: [1, 2] } }],
    ['loadObject', { ...SIGNATURES.loadObject?.required, maxEntries: { a: 0 } }],
  ])('%s %j', (name, options) => {
    expect(() => invoke(name, false, options)).toThrow(TypeError);
  });
});

describe('calls without arguments', () => {
  it.each(WITHOUT_ARGUMENTS)('%s refuses one', (name) => {
    expect(() => invoke(name, false, {})).toThrow(TypeError);
  });

  it('classes refuse to be called without new', () => {
    for (const [name, { construct, required }] of Object.entries(SIGNATURES)) {
      if (construct) expect(() => invoke(name, false, required), name).toThrow(TypeError);
    }
  });
});

it('lets an exception of an option getter through', () => {
  const options = {
    get pin(): string {
      throw new RangeError('mine');
    },
  };
  expect(() => invoke('linkInfo', false, options)).toThrow(RangeError);
});

describe('methods', () => {
  const put = {
    ifindex: IFINDEX,
    addresses: new Uint8Array(32),
    macs: new Uint8Array(12),
    state: 0x80,
    protocol: 111,
  };
  it.each([
    ['put', { ...put, addresses: new Uint8Array(31) }],
    ['put', { ...put, macs: new Uint8Array(6) }],
    ['put', { ...put, state: 0 }],
    ['put', { ...put, state: 256 }],
    ['put', { ...put, protocol: 256 }],
    ['put', { ...put, ifindex: 0 }],
    ['put', { ...put, mac: MAC }],
    ['delete', { ifindex: IFINDEX, address: 'fd77::g' }],
    ['delete', { ifindex: 0, address: '192.0.2.1' }],
  ])('of NeighbourTable: %s %j', (name, options) => {
    const { NeighbourTable } = loadNative();
    const table = new NeighbourTable({});
    try {
      expect(() => Reflect.apply(NeighbourTable.prototype[name as 'put'], table, [options])).toThrow(TypeError);
    } finally {
      table.close();
    }
  });

  it.each([
    [{ ifindexes: [0], exceptPort: 1 }],
    [{ ifindexes: 1, exceptPort: 1 }],
    [{ ifindexes: ['1'], exceptPort: 1 }],
    [{ ifindexes: [1], exceptPort: 0 }],
    [{ ifindexes: Array.from({ length: 65 }, (_, at) => at + 1), exceptPort: 1 }],
    [{ ifindexes: [1] }],
  ])('of NetlinkMonitor: watchNeighbours %j', (options) => {
    const { NetlinkMonitor } = loadNative();
    const monitor = new NetlinkMonitor({ onNotification: noop });
    try {
      expect(() => Reflect.apply(NetlinkMonitor.prototype.watchNeighbours, monitor, [options])).toThrow(TypeError);
    } finally {
      monitor.close();
    }
  });
});

it('refuses a method on an object of another class', () => {
  const { BpfMap, NetlinkMonitor } = loadNative();
  const monitor = new NetlinkMonitor({ onNotification: noop });
  try {
    for (const receiver of [monitor, {}, undefined, 1]) {
      expect(() => Reflect.apply(BpfMap.prototype.close, receiver, [])).toThrow(TypeError);
      expect(() => Reflect.apply(BpfMap.prototype.lookup, receiver, [{ key: new Uint8Array(4) }])).toThrow(TypeError);
    }
  } finally {
    monitor.close();
  }
});
