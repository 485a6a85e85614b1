import type { RowKey } from '../../reconcile/rows.ts';
import type { Calls } from './calls.ts';
import type { EventHub } from './events.ts';
import type { Gate } from './gate.ts';
import type { Inventory } from './inventory.ts';
import type { Overlay } from './overlay.ts';
import type { GuardedSocket } from './socket.ts';
import type { ReceiveCpus } from './spread.ts';
import type { StackNeighbours } from './stack-neighbours.ts';

/** Rows per map; a map that is adopted keeps the size it was made with. */
export interface MapLimits {
  readonly sessions: number;
  readonly peers: number;
  readonly forwarding: number;
  readonly neighbours: number;
  readonly sources: number;
}

type Log = (level: 'debug' | 'info' | 'warn', message: string, fields?: Readonly<Record<string, unknown>>) => void;

export type XdpMode = 'native' | 'generic';

export interface KernelDataPlaneOptions {
  /** A bpf file system, or where to mount one. Agents of different network namespaces need different ones. */
  readonly bpffs?: string;
  /** Interfaces that datagrams come in on; absent: those that hold a default route or a route to a peer's endpoint. */
  readonly underlay?: readonly string[] | undefined;
  /** Folder of the compiled programs, `*.bpf.o`. */
  readonly objects: string;
  /** Writable folder of this agent: `inventory.json`. */
  readonly stateDir: string;
  /** `auto`: native where an interface can, else generic. */
  readonly mode?: 'auto' | XdpMode;
  /** Default `auto`. */
  readonly receiveCpus?: ReceiveCpus;
  /** 32 bytes: the BLAKE2s key of mac1 in messages to this node, until `SessionPlane.setMac1Keys` gives others. Copied. */
  readonly mac1Key: Uint8Array;
  readonly limits?: Partial<MapLimits>;
  /** How long an interface goes on listening after the last route through it went, milliseconds; default a minute. */
  readonly lingerMs?: number;
  readonly log?: Log;
}

/** What the files of this folder share. One per data plane; it outlives links. */
export interface Context {
  readonly calls: Calls;
  readonly bpffs: string;
  readonly underlay: readonly string[] | undefined;
  readonly mode: 'auto' | XdpMode;
  readonly lingerMs: number;
  readonly receiveCpus: ReceiveCpus;
  /** Own copies: of new interfaces, and of what `setMac1Keys` said last. */
  readonly gate: Gate;
  readonly objects: string;
  readonly maxEntries: Readonly<Record<string, number>>;
  readonly inventory: Inventory;
  readonly log: Log;
  /** Digest of the object files, computed once. */
  readonly objectsDigest: () => Uint8Array;
  /** Interfaces whose maps are open, by name. */
  readonly overlays: Map<string, Overlay>;
  /** Open handshake sockets. */
  readonly sockets: Set<GuardedSocket>;
  readonly events: EventHub;
  readonly stack: StackNeighbours;
  /** Rows that could not be made yet, for want of an underlay or a route: tried again when the network changes. */
  readonly waiting: Set<RowKey>;
  /** Rows of `pending_map`, by our sender id: initiations that answers are welcome to. */
  readonly expected: Map<bigint, Buffer>;
}
