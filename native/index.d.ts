/**
 * The addon's whole surface: libbpf, rtnetlink, packet and UDP sockets. Thin: no retry, no default, no log, no policy.
 * One options record per call; unknown or ill-typed input throws `TypeError`, never aborts.
 * Only `src/dataplane/kernel/native.ts` loads it.
 *
 * Failures of the kernel throw a `NativeError`: an `Error` with these own properties.
 * Calls are synchronous unless they return a Promise: each is one bounded system call or a short batch of them;
 * `loadObject` verifies programs (hundreds of milliseconds) and runs off-thread.
 */
export interface NativeError extends Error {
  /** `EPERM`, …; libbpf's own as `LIBBPF_FORMAT`, … */
  code: string;
  /** Positive; libbpf's own from 4000 on. */
  errno: number;
  /** `bpf(BPF_MAP_UPDATE_ELEM)`, `RTM_NEWADDR`, `bind`, … */
  syscall: string;
  /** What it concerned: a pin path, an interface, an address. */
  object: string;
  /** The verifier's log, where a program was refused; the extended ack's text, where netlink gave one. */
  log?: string;
}

// --- BPF ------------------------------------------------------------------

export interface LoadOptions {
  /** Path of the `.bpf.o`. */
  object: string;
  /** Folder on bpffs, which must exist. Maps pinned there already are reused if compatible (else EINVAL naming the map); others are created and pinned by name. */
  pinMaps: string;
  /** Where to pin each program of the object: program name -> path. Existing pins are replaced. */
  pinPrograms: Record<string, string>;
  /** Bytes of `.rodata` variables, by variable name; the size must match. */
  rodata: Record<string, Uint8Array>;
  /** max_entries by map name; a reused map keeps its own. */
  maxEntries?: Record<string, number>;
  /** Collect the verifier's statistics (log level 4) into `log`. */
  stats?: boolean;
}
export interface LoadedProgram {
  name: string;
  id: number;
  /** 16 hex digits. */
  tag: string;
  /** After rewriting, and after the JIT. */
  instructions: number;
  jitedBytes: number;
  verifiedInstructions: number;
}
export function loadObject(options: LoadOptions): Promise<{ programs: LoadedProgram[]; log: string }>;

export interface ProgramInfo {
  id: number;
  name: string;
  tag: string;
  loadTimeNs: bigint;
  runTimeNs: bigint;
  runCount: bigint;
  mapIds: number[];
}
export function programInfo(options: { pin: string }): ProgramInfo;

/** Runs a pinned program on `data` (BPF_PROG_TEST_RUN). `ingressIfindex` sets the XDP context; `retval` is the verdict; durationNs the mean of `repeat` runs. */
export function testRun(options: {
  pin: string;
  data: Uint8Array;
  repeat?: number;
  ingressIfindex?: number;
  rxQueue?: number;
}): {
  retval: number;
  data: Buffer;
  durationNs: number;
};

/** Attaches a pinned XDP program by a bpf_link and pins that link. `mode` is forced, never guessed. EBUSY: another program is there. */
export function attachXdp(options: { program: string; ifindex: number; mode: 'native' | 'generic'; pin: string }): {
  linkId: number;
};
/** Attaches a pinned SCHED_CLS program at clsact ingress (`tc` filter, direct action; made with handle 1, priority 1); replaces ours. */
export function attachTcIngress(options: { program: string; ifindex: number }): void;
/** Takes away what `attachTcIngress` attached; nothing is there, nothing happens. The clsact queueing discipline stays. */
export function detachTcIngress(options: { ifindex: number }): void;
/** Id of the program that `attachTcIngress` attached there; undefined if none is. */
export function tcIngress(options: { ifindex: number }): number | undefined;
/** Atomically replaces the program behind a pinned XDP link. */
export function updateLink(options: { link: string; program: string }): void;
/** Info of a pinned link; undefined if there is no such pin. `ifindex` 0: its device is gone. */
export function linkInfo(options: { pin: string }): { linkId: number; programId: number; ifindex: number } | undefined;
/** Detaches a pinned link and unpins it. */
export function detachLink(options: { pin: string }): void;

export interface MapInfo {
  id: number;
  type: number;
  keySize: number;
  valueSize: number;
  maxEntries: number;
  flags: number;
  name: string;
}
/** A descriptor of a pinned map; closed by `close()`, by garbage collection, and at environment teardown. */
export class BpfMap {
  constructor(options: { pin: string });
  readonly info: MapInfo;
  /** Value bytes, a new Buffer; per-CPU maps: all CPUs' values in a row, each padded to 8 bytes. undefined: ENOENT. `lock`: copy under the value's spin lock. */
  lookup(options: { key: Uint8Array; lock?: boolean }): Buffer | undefined;
  /**
   * flags: `any` creates or replaces, `create` fails with EEXIST, `replace` with ENOENT. `lock`: overwrites the value where
   * it lies, under its spin lock; EINVAL where it has none. Without it a hash map's new value takes the old one's place,
   * and the old one's bytes stay in memory that the map keeps.
   */
  update(options: { key: Uint8Array; value: Uint8Array; mode?: 'any' | 'create' | 'replace'; lock?: boolean }): void;
  /** False: it was not there. */
  delete(options: { key: Uint8Array }): boolean;
  /** Reads and deletes in one step where the kernel can (hash maps, 5.14), else lookup then delete. */
  take(options: { key: Uint8Array }): Buffer | undefined;
  /** All entries. Batched where the kernel can. Keys and values are concatenated: entry i is at i*keySize, i*valueSize. */
  entries(): { count: number; keys: Buffer; values: Buffer };
  /** Same layout. Throws with `object` naming the first entry that failed (its index), after writing those before it. */
  updateBatch(options: { count: number; keys: Uint8Array; values: Uint8Array }): void;
  /**
   * From now on keeps account of what this object writes, beginning with what is there. Of values the bytes count whose byte
   * in `mask`, as long as a value, is not 0.
   */
  track(options: { mask: Uint8Array }): void;
  /**
   * Keys, concatenated, of entries that are not as this object wrote them or found them last: others made, changed or
   * deleted them since. Reads the whole map; TypeError without `track`.
   */
  foreignChanges(): { added: Buffer; changed: Buffer; removed: Buffer };
  close(): void;
}

/**
 * Puts a pinned program into a pinned map: with `queue`, into a CPUMAP, as what the CPU `key` runs on the packets that it
 * is sent, of which so many wait; without, into a PROG_ARRAY. `BpfMap.lookup` finds the program's id there. EINVAL: a map
 * of another type. A CPUMAP's entry is made anew, and what waits in the old one is not in order with what comes.
 */
export function setProgram(options: { map: string; key: number; program: string; queue?: number }): void;

/** Reads a pinned RINGBUF; `onRecord` is called on the main thread with a copy of each record. Keeps the event loop alive until closed. */
export class RingBuffer {
  constructor(options: { pin: string; onRecord: (record: Buffer) => void });
  close(): void;
}

/**
 * Structs and enums of an object's BTF, for generating layouts. Offsets and sizes in bytes; bit-fields throw.
 * `type` is the name as written (`__u32`, `__be16`, `struct x`, `enum x`, `*` for pointers), of the element where
 * `elements` is set. Members of anonymous structs and unions are listed as their parent's.
 */
export interface BtfStruct {
  name: string;
  size: number;
  members: { name: string; offset: number; size: number; type: string; elements?: number }[];
}
export interface BtfEnum {
  name: string;
  values: Record<string, number>;
}
/** `names`: only these and what they contain (ENOENT naming one that is absent); else every named type. */
export function btfTypes(options: { object: string; names?: string[] }): { structs: BtfStruct[]; enums: BtfEnum[] };

/** What this kernel lets this process do, each probed by trying. `log`: why not, a line per feature that failed. */
export function probe(): {
  /** Release, as `uname -r`. */
  kernel: string;
  /** Takes type information. */
  btf: boolean;
  /** Creates a map. */
  bpf: boolean;
  xdpProgram: boolean;
  /** Attaches XDP programs by bpf_links; tried on `lo`, in a way that attaches nothing. True without a `lo`. */
  xdpLink: boolean;
  /** Atomic operations that return what was there before. */
  atomics: boolean;
  schedClsProgram: boolean;
  ringbuf: boolean;
  spinLock: boolean;
  /** Compiles programs to machine code, those with `atomics` too. */
  jit: boolean;
  /** bpf_ktime_get_boot_ns() in a program. */
  bootTime: boolean;
  log: string;
};

// --- rtnetlink --------------------------------------------------------------

export interface LinkInfo {
  ifindex: number;
  name: string;
  kind: string;
  /** `02:…`; empty if the device has none. */
  mac: string;
  mtu: number;
  maxMtu: number;
  up: boolean;
  running: boolean;
  loopback: boolean;
  alias: string;
  /** Peer's ifindex for veth (IFLA_LINK), else 0. */
  link: number;
  /** Attached XDP program: 0 = none. */
  xdpProgramId: number;
  xdpMode: 'none' | 'native' | 'generic' | 'offload' | 'multi';
  /** IN6_ADDR_GEN_MODE_*; 1 (none) also where the device has no IPv6. */
  addrGenMode: number;
  numRxQueues: number;
}
/** By index or by name: that link, or none. By neither: all. */
export function links(options: { ifindex?: number; name?: string }): LinkInfo[];
/** Both ends are down; the peer generates no IPv6 address. One queue each. Nothing is left behind by a failure. */
export function createVeth(options: {
  name: string;
  peerName: string;
  mac: string;
  peerMac: string;
  mtu: number;
}): void;
export function deleteLink(options: { ifindex: number }): void;
/** What is absent stays. `alias` '' removes it. `up` comes last, in a message of its own. */
export function setLink(options: {
  ifindex: number;
  up?: boolean;
  mtu?: number;
  mac?: string;
  alias?: string;
  arp?: boolean;
  addrGenMode?: number;
}): void;

export interface AddressInfo {
  ifindex: number;
  family: 4 | 6;
  address: string;
  prefixLength: number;
  scope: number;
  flags: number /** IFA_PROTO; 0 where the kernel (< 5.18) has none. */;
  protocol: number;
}
export function addresses(options: { ifindex?: number }): AddressInfo[];
/** `noPrefixRoute` and, for IPv6, `noDad` set the flags of those names. EEXIST is an error here. */
export function addAddress(options: {
  ifindex: number;
  address: string;
  prefixLength: number;
  protocol: number;
  noDad: boolean;
  noPrefixRoute: boolean;
}): void;
export function deleteAddress(options: { ifindex: number; address: string; prefixLength: number }): void;

export interface RouteInfo {
  family: 4 | 6;
  /** With prefix length; `0.0.0.0/0` and `::/0` are the default routes. */
  destination: string;
  /** Of a multipath route: the first hop's, like `gateway`. */
  oif: number;
  gateway: string;
  protocol: number;
  scope: number;
  table: number;
  prefSource: string;
  metric: number;
  type: number;
}
/** Main table. */
export function routes(options: { protocol?: number; oif?: number }): RouteInfo[];
/** An on-link route; NLM_F_REPLACE. */
export function replaceRoute(options: { destination: string; oif: number; protocol: number }): void;
export function deleteRoute(options: { destination: string; oif: number; protocol: number }): void;
/** Where a packet to `destination` would go now (RTM_GETROUTE). `mtu`: the route's, else the device's. */
export function lookupRoute(options: { destination: string }): {
  oif: number;
  gateway: string;
  source: string;
  mtu: number;
};

export interface NeighbourInfo {
  ifindex: number;
  address: string;
  /** Empty while unresolved: the kernel names one in valid states only. */
  mac: string;
  /** NUD_* of linux/neighbour.h. */
  state: number;
  /** NDA_PROTOCOL: who made it; 0: nobody said. */
  protocol: number;
}
export function neighbours(options: { ifindex?: number }): NeighbourInfo[];
/** One entry (RTM_GETNEIGH), at the same cost however many there are; undefined also where there is no such link. */
export function neighbour(options: { ifindex: number; address: string }): NeighbourInfo | undefined;
/**
 * Writes to the kernel's neighbour tables, all by one socket, so that `NetlinkMonitor.watchNeighbours` can leave out what
 * it caused. EBADF after `close`.
 */
export class NeighbourTable {
  constructor(options: Record<string, never>);
  /** Its netlink port. */
  readonly port: number;
  /**
   * Creates entries or overwrites them in place, whatever their state; what is queued for one is sent. `addresses`: 16 bytes
   * each, IPv4 as ::ffff:a.b.c.d; `macs`: 6 bytes each; `state`: NUD_*; `protocol`: NDA_PROTOCOL. An error names the address
   * as its `object`, and those before it were written. EAFNOSUPPORT: this kernel has no table of that family.
   */
  put(options: { ifindex: number; addresses: Uint8Array; macs: Uint8Array; state: number; protocol: number }): void;
  /** False: it was not there. */
  delete(options: { ifindex: number; address: string }): boolean;
  close(): void;
}

export interface LinkNotification {
  type: 'link' | 'address' | 'route' | 'filter' | 'neighbour' | 'overrun';
  /** Of a neighbour: the entry is gone, or has no MAC any more. */
  deleted: boolean;
  ifindex: number;
  /** Address, route destination or link name; empty for filters and their qdiscs. */
  object: string;
  /** IFA_PROTO, rtm_protocol, NDA_PROTOCOL; 0: none, or a kernel that does not say. */
  protocol: number;
  /**
   * nlmsg_pid: the netlink port of whoever asked for the change; a process's first socket has its process id (netlink(7)).
   * 0: the kernel did it of itself, or does not tell, as for links and IPv6 addresses.
   */
  port: number;
}
/** RTNLGRP_LINK, IPV4/6_IFADDR, IPV4/6_ROUTE, TC. `overrun`: something was lost, read everything. */
export class NetlinkMonitor {
  constructor(options: { onNotification: (notification: LinkNotification) => void });
  /**
   * RTNLGRP_NEIGH as well from now on, of these links only (at most 64) and without what the netlink port `exceptPort`
   * causes: the kernel drops the rest before it wakes this process. Takes the place of an earlier call's choice.
   */
  watchNeighbours(options: { ifindexes: number[]; exceptPort: number }): void;
  close(): void;
}

/** Features in force, by the kernel's names: those that `ethtool -k` indents (`tx-checksum-ip-generic`). */
export function features(options: { name: string }): Record<string, boolean>;
/**
 * ETHTOOL_SFEATURES by feature name as `ethtool -k` prints it; unknown names throw TypeError. A group
 * (`tx-checksumming`) stands for those of its features that can change. EOPNOTSUPP: one that is fixed in the other
 * state, or that the kernel noted but holds off because of another feature.
 */
export function setFeatures(options: { name: string; features: Record<string, boolean> }): void;

/**
 * What the driver can do with XDP now: bits NETDEV_XDP_ACT_* of linux/netdev.h (1 runs programs, 2 they may redirect,
 * 4 is a target of redirects). Some drivers announce more while a program is attached. undefined: the kernel (< 6.3)
 * cannot tell. ENODEV: no such interface.
 */
export function xdpFeatures(options: { ifindex: number }): number | undefined;

// --- machine -----------------------------------------------------------------

/**
 * What the kernel tells of its objects (NETLINK_KOBJECT_UEVENT, group 1): `action@path`, then `KEY=value`, each with a zero
 * byte behind it. `undefined`: some were lost. What other senders put into the group is left out. `receiveBuffer`: bytes
 * that may wait; more with CAP_NET_ADMIN than `net.core.rmem_max` allows.
 */
export class UeventMonitor {
  constructor(options: { receiveBuffer: number; onEvent: (event: Buffer | undefined) => void });
  close(): void;
}

/**
 * Mixes new entropy of the kernel into OpenSSL's random generators, which are this process's memory and are copied with it.
 * False: this node does not export what that takes.
 */
export function reseed(): boolean;

// --- packet socket -----------------------------------------------------------

/**
 * AF_PACKET, SOCK_RAW, bound to one interface. Frames are whole Ethernet frames, VLAN tags in their place.
 * Goes on when the interface was down for a while; one that was deleted delivers nothing any more, and `send` throws ENXIO.
 */
export class PacketSocket {
  /**
   * `onFrame` absent: send only. `outgoing` false: frames that this host sends there are not delivered. `protocol`: only
   * frames that come in with this EtherType (0x0600 to 0xffff), never outgoing ones; with `onFrame` only. Bounded by
   * `receiveBuffer` bytes in the kernel.
   */
  constructor(options: {
    ifindex: number;
    receiveBuffer: number;
    outgoing: boolean;
    protocol?: number;
    onFrame?: (frame: Buffer) => void;
  });
  send(options: { frame: Uint8Array }): void;
  close(): void;
}

// --- UDP socket ----------------------------------------------------------------

export interface UdpDatagram {
  data: Buffer;
  /** IPv6 with no zone. */
  address: string;
  port: number;
}
/**
 * UDP on all addresses of one family. Datagrams up to the interface's MTU are sent; a longer one is EMSGSIZE. Path MTUs that
 * ICMP errors tell of are not taken note of. Nothing is received before `setFilter`.
 */
export class UdpSocket {
  /** EADDRINUSE: the port is taken. EAFNOSUPPORT, EADDRNOTAVAIL: the system has no such family. */
  constructor(options: {
    family: 4 | 6;
    port: number;
    /** Bytes; more than net.core.rmem_max is granted, which takes CAP_NET_ADMIN. */
    receiveBuffer: number;
    onDatagram: (datagram: UdpDatagram) => void;
  });
  /** A pinned SOCKET_FILTER program takes the place of the one before, in one step. */
  setFilter(options: { program: string }): void;
  send(options: { datagram: Uint8Array; address: string; port: number }): void;
  close(): void;
}

// --- the rest ------------------------------------------------------------------

/** CLOCK_BOOTTIME, nanoseconds. */
export function bootTimeNs(): bigint;
/** Mounts a bpf file system: nosuid, nodev, noexec, mode 0700. */
export function mountBpffs(options: { path: string }): void;
/** statfs f_type is BPF_FS_MAGIC. */
export function isBpffs(options: { path: string }): boolean;
/** Effective capabilities by name: `CAP_NET_ADMIN`, … */
export function capabilities(): string[];
