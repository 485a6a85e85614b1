import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import {
  decodeOmniEvent,
  decodeOmniPathEvent,
  decodeRefusedKey,
  decodeSessionEntry,
  encodeFdbEntry,
  encodeFdbKey,
  encodeGateEntry,
  encodeNeighEntry,
  encodeOmniConfig,
  encodePeerEntry,
  encodePendingEntry,
  encodePolicyEntry,
  encodeSessionEntry,
  encodeSubnetEntry,
  encodeSubnetKey,
  OMNI_MAX_ETHERTYPES,
  OmniDrop,
  type OmniEvent,
  OmniForeignSources,
  type OmniPathEvent,
  OmniPeerFlags,
  OmniSessionFlags,
  OmniStat,
  type SessionEntry,
} from '../../src/dataplane/kernel/layout.ts';
import { type BpfMap, loadNative, type RingBuffer } from '../../src/dataplane/kernel/native.ts';
import { Child } from './child.ts';
import { ethernet, ip, mac } from './frames.ts';

const native = loadNative();
const OBJECTS = fileURLToPath(new URL('../../build/bpf', import.meta.url));

/** What BPF_PROG_TEST_RUN says; XDP's verdicts. */
export const XDP_DROP = 1;
export const XDP_PASS = 2;
export const XDP_REDIRECT = 4;

export const PORT = 51820;
/** The host under test, and who talks to it. Every name is one in the namespace that `setUp` makes. */
export const HOST = '198.51.100.1';
export const REMOTE = '198.51.100.2';
/** On-link, but its neighbour is unknown. */
export const UNRESOLVED = '198.51.100.9';
export const HOST6 = '2001:db8:51::1';
export const REMOTE6 = '2001:db8:51::2';
export const UNRESOLVED6 = '2001:db8:51::9';
export const REMOTE_MAC = '02:00:00:00:51:02';
export const HOST_MAC = '02:00:00:00:51:01';

export type Program =
  | 'omni_delivery'
  | 'omni_egress'
  | 'omni_ingress'
  | 'omni_open'
  | 'omni_slowpath'
  | 'omni_socket'
  | 'omni_spread';
/** They have no `config`. */
const STANDALONE: ReadonlySet<Program> = new Set(['omni_slowpath', 'omni_spread']);
export type MapName =
  | 'session_map'
  | 'peer_map'
  | 'send_map'
  | 'fdb_map'
  | 'neigh_map'
  | 'policy_map'
  | 'subnet_map'
  | 'refused_map'
  | 'source_map'
  | 'known_map'
  | 'seen_map'
  | 'seen_proven_map'
  | 'ticket_map'
  | 'path_map'
  | 'xmit_map'
  | 'gate_map'
  | 'pending_map'
  | 'order_map'
  | 'drop_map'
  | 'stats_map'
  | 'spread_map'
  | 'load_map'
  | 'handover_map';
type Drop = Exclude<keyof typeof OmniDrop, 'none' | 'max'>;
type Stat = Exclude<keyof typeof OmniStat, 'max'>;

/** The key that the host under test accepts handshakes under, unless a test sets others. */
export const MAC1_KEY: Uint8Array = Uint8Array.from({ length: 32 }, (_, i) => 200 - i);

export interface Config {
  readonly localMac: string;
  readonly port: number;
  readonly newSessionsPerSecond: number;
  readonly arpSuppression: number;
  readonly ifindexOuter: number;
  readonly ifindexInner: number;
  readonly firstContactsPerSecond: number;
}

export const CONFIG: Config = {
  localMac: '02:00:00:00:00:01',
  port: PORT,
  newSessionsPerSecond: 5,
  arpSuppression: 1,
  ifindexOuter: 1,
  ifindexInner: 1,
  firstContactsPerSecond: 0,
};

export function u64(value: bigint): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(value);
  return bytes;
}

function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
}

/** CLOCK_BOOTTIME, as the programs see it. */
export const bootTimeNs = () => native.bootTimeNs();

/** A key of 32 bytes as the words that a session holds. */
export function words(key: Uint8Array): number[] {
  const view = new DataView(key.buffer, key.byteOffset, key.byteLength);
  return Array.from({ length: 8 }, (_, i) => view.getUint32(4 * i, true));
}

const IDLE_SESSION: SessionEntry = {
  flags: 0,
  peer: 0n,
  remoteId: 0n,
  createdNs: 0n,
  rekeyAfterNs: 2n ** 63n,
  expiresNs: 2n ** 63n,
  rxKey: words(new Uint8Array(32)),
  txKey: words(new Uint8Array(32)),
  rxPackets: 0n,
  rxBytes: 0n,
  rxLastNs: 0n,
  rxDataLastNs: 0n,
  replayLatest: 0n,
  replayWindow: new Array<bigint>(64).fill(0n),
  txCounter: 0n,
  txBytes: 0n,
  txLastNs: 0n,
  txDataLastNs: 0n,
};

/** The programs of one node in a network namespace and a bpffs of their own. */
export class Lab {
  readonly folder: string;
  readonly child: Child;
  readonly #maps = new Map<MapName, BpfMap>();
  readonly #records: Buffer[] = [];
  #ring: RingBuffer | undefined;
  #onRecord: () => void = () => {};
  #lastEvent = 0xfeed_0000n;

  private constructor(folder: string, child: Child) {
    this.folder = folder;
    this.child = child;
  }

  static async open(config: Partial<Config> = {}, programs: Program[] = ['omni_egress', 'omni_ingress']): Promise<Lab> {
    const folder = mkdtempSync(join(tmpdir(), 'omni-test-bpf-'));
    native.mountBpffs({ path: folder });
    mkdirSync(join(folder, 'maps'));
    const lab = new Lab(folder, await Child.start());
    try {
      await lab.#setUpNamespace();
      for (const program of programs) await lab.load(program, config);
      if (programs.includes('omni_ingress')) {
        lab.setMac1Keys([MAC1_KEY]);
        await lab.child.listen(PORT);
      }
    } catch (error) {
      await lab.close();
      throw error;
    }
    return lab;
  }

  /** `lo` is where test runs come from, as far as programs can see: it forwards, like omni0x. */
  async #setUpNamespace(): Promise<void> {
    await this.child.sh(
      'ip link set lo up',
      'ip link add u0 type veth peer name u1',
      `ip link set u0 address ${HOST_MAC} mtu 1500 up`,
      'ip link set u1 up',
      `ip addr add ${HOST}/24 dev u0`,
      `ip neigh add ${REMOTE} lladdr ${REMOTE_MAC} dev u0 nud permanent`,
      'ip route add blackhole 203.0.113.0/24',
      'sysctl -qw net.ipv4.conf.lo.forwarding=1',
      `ip addr add ${HOST6}/64 dev u0 nodad`,
      `ip neigh add ${REMOTE6} lladdr ${REMOTE_MAC} dev u0 nud permanent`,
      'ip route add blackhole 2001:db8:bad::/48',
      'sysctl -qw net.ipv6.conf.lo.forwarding=1',
    );
  }

  async load(program: Program, config: Partial<Config> = {}): ReturnType<Child['load']> {
    const settings = { ...CONFIG, ...config };
    const loaded = await this.child.load({
      object: join(OBJECTS, `${program}.bpf.o`),
      pinMaps: join(this.folder, 'maps'),
      pinPrograms: { [program]: this.pin(program) },
      rodata: STANDALONE.has(program)
        ? {}
        : { config: encodeOmniConfig({ ...settings, localMac: mac(settings.localMac) }) },
      stats: true,
    });
    if (program === 'omni_egress') await this.transmit('u0');
    return loaded;
  }

  /** The egress program may redirect to this interface. */
  async transmit(name: string): Promise<void> {
    const ifindex = u32(await this.child.ifindex(name));
    await this.child.updateMap(join(this.folder, 'maps', 'xmit_map'), ifindex, ifindex);
  }

  pin(program: string): string {
    return join(this.folder, program);
  }

  map(name: MapName): BpfMap {
    const open = this.#maps.get(name) ?? new native.BpfMap({ pin: join(this.folder, 'maps', name) });
    this.#maps.set(name, open);
    return open;
  }

  run(program: Program, data: Uint8Array): ReturnType<Child['run']> {
    return this.child.run({ pin: this.pin(program), data });
  }

  runAll(program: Program, packets: readonly Uint8Array[]): ReturnType<Child['runAll']> {
    return this.child.runAll({ pin: this.pin(program), packets });
  }

  // --- rows -------------------------------------------------------------------

  setPeer(peer: bigint, remote?: { address: string; port?: number; local?: string; localPort?: number }): void {
    this.map('peer_map').update({
      key: u64(peer),
      value: encodePeerEntry({
        publicKey: new Uint8Array(32),
        endpoint: {
          remote: { bytes: remote ? ip(remote.address) : new Uint8Array(16) },
          local: { bytes: remote ? ip(remote.local ?? HOST) : new Uint8Array(16) },
          remotePort: remote?.port ?? PORT,
          localPort: remote?.localPort ?? PORT,
        },
        flags: remote ? OmniPeerFlags.endpoint : 0,
      }),
    });
  }

  /** A peer without an endpoint that is declared a router, or to serve DHCP. */
  setRoles(peer: bigint, roles: readonly ('router' | 'dhcpServer')[]): void {
    const endpoint = { remote: { bytes: new Uint8Array(16) }, local: { bytes: new Uint8Array(16) } };
    const value = encodePeerEntry({
      publicKey: new Uint8Array(32),
      endpoint: { ...endpoint, remotePort: 0, localPort: PORT },
      flags: roles.reduce((flags, role) => flags | OmniPeerFlags[role], 0),
    });
    this.map('peer_map').update({ key: u64(peer), value });
  }

  /** Without arguments: what a map holds that nobody wrote to. */
  setPolicy(foreignSources: keyof typeof OmniForeignSources = 'unset', etherTypes: readonly number[] = []): void {
    const value = encodePolicyEntry({
      foreignSources: OmniForeignSources[foreignSources],
      ethertypeCount: etherTypes.length,
      ethertypes: [...etherTypes, ...new Array<number>(OMNI_MAX_ETHERTYPES).fill(0)].slice(0, OMNI_MAX_ETHERTYPES),
    });
    this.map('policy_map').update({ key: u32(0), value });
  }

  setSubnet(address: string, prefixLength: number): void {
    const length = address.includes(':') ? prefixLength : 96 + prefixLength;
    const key = encodeSubnetKey({ prefixLength: length, address: { bytes: ip(address) } });
    this.map('subnet_map').update({ key, value: encodeSubnetEntry({ flags: 0 }) });
  }

  setMac1Keys(keys: readonly Uint8Array[]): void {
    this.setGate(keys, []);
  }

  /** `counts`: how many of them are in force, if not all. */
  setGate(
    mac1Keys: readonly Uint8Array[],
    cookieSecrets: readonly Uint8Array[],
    counts: { mac1Count?: number; cookieCount?: number } = {},
  ): void {
    const value = encodeGateEntry({
      mac1Count: mac1Keys.length,
      cookieCount: cookieSecrets.length,
      ...counts,
      mac1Keys: Buffer.concat([...mac1Keys, Buffer.alloc(128)], 128),
      cookieSecrets: Buffer.concat([...cookieSecrets, Buffer.alloc(64)], 64),
    });
    this.map('gate_map').update({ key: u32(0), value });
  }

  /** An initiation of ours that an answer is welcome to. */
  setPending(id: bigint, expiresNs: bigint): void {
    this.map('pending_map').update({ key: u64(id), value: encodePendingEntry({ expiresNs }) });
  }

  setFdb(address: string, peer: bigint): void {
    const key = encodeFdbKey({ mac: mac(address) });
    this.map('fdb_map').update({ key, value: encodeFdbEntry({ peer, flags: 1 }) });
  }

  setNeighbour(address: string, owner: string): void {
    this.map('neigh_map').update({ key: ip(address), value: encodeNeighEntry({ mac: mac(owner), flags: 0 }) });
  }

  setSession(id: bigint, session: Partial<SessionEntry>): void {
    this.map('session_map').update({ key: u64(id), value: encodeSessionEntry({ ...IDLE_SESSION, ...session }) });
  }

  session(id: bigint): SessionEntry {
    const value = this.map('session_map').lookup({ key: u64(id), lock: true });
    if (!value) throw new Error(`there is no session ${id}`);
    return decodeSessionEntry(value);
  }

  setSend(peer: bigint, id: bigint): void {
    this.map('send_map').update({ key: u64(peer), value: u64(id) });
  }

  sendSession(peer: bigint): bigint | undefined {
    return this.map('send_map')
      .lookup({ key: u64(peer) })
      ?.readBigUInt64LE();
  }

  /** Empties every table; counters stay. */
  clear(): void {
    for (const name of [
      'session_map',
      'peer_map',
      'send_map',
      'fdb_map',
      'neigh_map',
      'subnet_map',
      'refused_map',
      'source_map',
      'known_map',
      'seen_map',
      'seen_proven_map',
      'ticket_map',
      'path_map',
      'pending_map',
    ] as const) {
      const map = this.map(name);
      const { count, keys } = map.entries();
      const size = map.info.keySize;
      for (let i = 0; i < count; i++) map.delete({ key: keys.subarray(i * size, (i + 1) * size) });
    }
  }

  // --- events -------------------------------------------------------------------

  /** The events that `action` raised. */
  async events(action: () => Promise<unknown>): Promise<OmniEvent[]> {
    return (await this.#recordsOf(action)).map((record) => decodeOmniEvent(record));
  }

  /** The same, of those that tell of ways. */
  async pathEvents(action: () => Promise<unknown>): Promise<OmniPathEvent[]> {
    const records = await this.#recordsOf(action);
    return records.map((record) => decodeOmniPathEvent(record));
  }

  async #recordsOf(action: () => Promise<unknown>): Promise<Buffer[]> {
    this.#ring ??= new native.RingBuffer({
      pin: join(this.folder, 'maps', 'event_map'),
      onRecord: (record) => {
        this.#records.push(Buffer.from(record));
        this.#onRecord();
      },
    });
    await this.#drainEvents();
    await action();
    return this.#drainEvents();
  }

  /** Takes what is in the ring. An event of our own, raised last, says that all before it have arrived. */
  async #drainEvents(): Promise<Buffer[]> {
    const last = ++this.#lastEvent;
    const arrived = new Promise<void>((resolve) => {
      this.#onRecord = () => this.#records.some((record) => decodeOmniEvent(record).sessionId === last) && resolve();
    });
    this.setFdb('02:00:00:00:fe:ed', last);
    this.setPeer(last, { address: REMOTE });
    this.setSession(last, { peer: last, flags: OmniSessionFlags.initiator, rekeyAfterNs: 0n });
    this.setSend(last, last);
    await this.run('omni_egress', ethernet('02:00:00:00:fe:ed', CONFIG.localMac, 0x88b6, Buffer.alloc(50)));
    await arrived;
    return this.#records.splice(0).filter((record) => decodeOmniEvent(record).sessionId !== last);
  }

  // --- counters ---------------------------------------------------------------

  #sum(map: MapName, index: number): number {
    const values = this.map(map).lookup({ key: u32(index) }) ?? Buffer.alloc(0);
    let sum = 0n;
    for (let at = 0; at < values.length; at += 8) sum += values.readBigUInt64LE(at);
    return Number(sum);
  }

  drops(): Record<Drop, number> {
    const names = Object.entries(OmniDrop).filter(([name]) => name !== 'none' && name !== 'max');
    return Object.fromEntries(names.map(([name, index]) => [name, this.#sum('drop_map', index)])) as Record<
      Drop,
      number
    >;
  }

  stats(): Record<Stat, number> {
    const names = Object.entries(OmniStat).filter(([name]) => name !== 'max');
    return Object.fromEntries(names.map(([name, index]) => [name, this.#sum('stats_map', index)])) as Record<
      Stat,
      number
    >;
  }

  /** Frames of a peer's that were dropped, by reason. */
  refused(peer: bigint): Partial<Record<Drop, number>> {
    const { count, keys, values } = this.map('refused_map').entries();
    const names = Object.keys(OmniDrop) as Drop[];
    const rows = Array.from({ length: count }, (_, at) => ({
      key: decodeRefusedKey(keys.subarray(at * 16)),
      dropped: Number(values.readBigUInt64LE(at * 8)),
    }));
    return Object.fromEntries(
      rows.filter(({ key }) => key.peer === peer).map(({ key, dropped }) => [names[key.reason], dropped]),
    ) as Partial<Record<Drop, number>>;
  }

  /** What `action` did to the counters: only what moved. */
  async counted<T>(
    action: () => Promise<T>,
  ): Promise<{ result: T; drops: Partial<Record<Drop, number>>; stats: Partial<Record<Stat, number>> }> {
    const before = { drops: this.drops(), stats: this.stats() };
    const result = await action();
    return { result, drops: moved(before.drops, this.drops()), stats: moved(before.stats, this.stats()) };
  }

  async close(): Promise<void> {
    this.#ring?.close();
    for (const map of this.#maps.values()) map.close();
    await this.child.close();
    execFileSync('umount', [this.folder]);
    rmdirSync(this.folder);
  }
}

function moved<K extends string>(before: Record<K, number>, after: Record<K, number>): Partial<Record<K, number>> {
  const keys = (Object.keys(after) as K[]).filter((key) => after[key] !== before[key]);
  return Object.fromEntries(keys.map((key) => [key, after[key] - before[key]])) as Partial<Record<K, number>>;
}
