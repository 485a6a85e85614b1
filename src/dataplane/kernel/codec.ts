import type { MacAddress, PublicKey } from '../../manifest/model.ts';
import type { NewSession, SessionState } from '../../reconcile/dataplane.ts';
import type { LinkRow } from '../../reconcile/rows.ts';
import { addressBytes, addressText, macBytes, macText, type SocketAddress, UNSPECIFIED } from './addresses.ts';
import {
  decodeMetaEntry,
  decodePeerEntry,
  encodeMetaEntry,
  encodeOmniConfig,
  encodePeerEntry,
  encodeSessionEntry,
  metaEntryLayout,
  OMNI_FIRST_CONTACTS_PER_SECOND,
  OMNI_KEY_WORDS,
  OMNI_LAYOUT_VERSION,
  OMNI_REPLAY_WORDS,
  OMNI_SESSION_CPU_SHIFT,
  OmniPeerFlags,
  OmniSessionFlags,
  sessionEntryLayout,
} from './layout.ts';
import type { Pair } from './veth.ts';

/** Between this project's types and the bytes of maps; offsets and byte order come from `layout.ts`. */

const NS_PER_MS = 1_000_000n;

export function u32Key(value: number): Buffer {
  const key = Buffer.alloc(4);
  key.writeUInt32LE(value);
  return key;
}

/** The only key of a one-element array. */
export const ONE_KEY = u32Key(0);

export function u64(value: bigint): Buffer {
  const key = Buffer.alloc(8);
  key.writeBigUInt64LE(value);
  return key;
}

export function readU64(bytes: Buffer): bigint {
  return bytes.readBigUInt64LE(0);
}

// --- peers ------------------------------------------------------------------

/** `endpoint` absent: there is none, or there never was a route to it. `local` zeros: there is none now. */
export interface PeerValue {
  readonly publicKey: PublicKey;
  /** As `PeerRow.roles`. */
  readonly roles?: string;
  readonly endpoint?: SocketAddress & { readonly local: Uint8Array };
  readonly observed: boolean;
  readonly localPort: number;
}

export function encodePeer(peer: PeerValue): Buffer {
  const { endpoint } = peer;
  return encodePeerEntry({
    publicKey: Buffer.from(peer.publicKey, 'base64'),
    endpoint: {
      remote: { bytes: endpoint ? addressBytes(endpoint.address) : UNSPECIFIED },
      local: { bytes: endpoint ? endpoint.local : UNSPECIFIED },
      remotePort: endpoint?.port ?? 0,
      localPort: peer.localPort,
    },
    flags:
      (endpoint ? OmniPeerFlags.endpoint : 0) |
      (peer.observed ? OmniPeerFlags.endpointObserved : 0) |
      roleFlags(peer.roles),
  });
}

/** By name, in the order of `PeerRow.roles`. */
const ROLE_FLAGS = [
  ['dhcp-server', OmniPeerFlags.dhcpServer],
  ['router', OmniPeerFlags.router],
] as const;

function roleFlags(roles: string | undefined): number {
  const named = roles?.split(',') ?? [];
  return ROLE_FLAGS.reduce((flags, [role, flag]) => (named.includes(role) ? flags | flag : flags), 0);
}

function rolesOf(flags: number): string | undefined {
  const roles = ROLE_FLAGS.flatMap(([role, flag]) => ((flags & flag) === 0 ? [] : [role]));
  return roles.length === 0 ? undefined : roles.join(',');
}

export function decodePeer(value: Buffer): PeerValue {
  const { publicKey, endpoint, flags } = decodePeerEntry(value);
  const roles = rolesOf(flags);
  return {
    publicKey: Buffer.from(publicKey).toString('base64') as PublicKey,
    ...(roles !== undefined && { roles }),
    ...((flags & OmniPeerFlags.endpoint) !== 0 && {
      endpoint: {
        address: addressText(endpoint.remote.bytes),
        port: endpoint.remotePort,
        local: endpoint.local.bytes,
      },
    }),
    observed: (flags & OmniPeerFlags.endpointObserved) !== 0,
    localPort: endpoint.localPort,
  };
}

// --- sessions ---------------------------------------------------------------

function keyWords(key: Uint8Array): number[] {
  const view = new DataView(key.buffer, key.byteOffset, key.byteLength);
  return Array.from({ length: OMNI_KEY_WORDS }, (_, i) => view.getUint32(4 * i, true));
}

/** Holds keys: the caller wipes it. Throws RangeError for keys of another length. */
export function encodeSession(session: NewSession, peer: bigint, nowNs: bigint): Buffer {
  for (const key of [session.receiveKey, session.sendKey]) {
    if (key.byteLength !== 4 * OMNI_KEY_WORDS) throw new RangeError(`a session key has ${key.byteLength} bytes`);
  }
  return encodeSessionEntry({
    flags:
      (session.initiator ? OmniSessionFlags.initiator : 0) |
      (session.unconfirmed ? OmniSessionFlags.unconfirmed : 0) |
      (session.hybrid ? OmniSessionFlags.hybrid : 0),
    peer,
    remoteId: session.remoteId,
    createdNs: nowNs,
    rekeyAfterNs: nowNs + BigInt(Math.round(session.rekeyAfterMs)) * NS_PER_MS,
    expiresNs: nowNs + BigInt(Math.round(session.lifetimeMs)) * NS_PER_MS,
    rxKey: keyWords(session.receiveKey),
    txKey: keyWords(session.sendKey),
    rxPackets: 0n,
    rxBytes: 0n,
    rxLastNs: 0n,
    rxDataLastNs: 0n,
    replayLatest: 0n,
    replayWindow: new Array<bigint>(OMNI_REPLAY_WORDS).fill(0n),
    txCounter: 0n,
    txBytes: 0n,
    txLastNs: 0n,
    txDataLastNs: 0n,
  });
}

/** True if both rows are the same session: same peer, ids and keys. */
export function sameSession(a: Buffer, b: Buffer): boolean {
  const { peer, remoteId, rxKey, txKey } = sessionEntryLayout.fields;
  return [peer, remoteId, rxKey, txKey].every(({ offset, size }) =>
    a.subarray(offset, offset + size).equals(b.subarray(offset, offset + size)),
  );
}

/** Everything of a session but its keys. */
export type SessionValue = Omit<SessionState, 'interface' | 'localId' | 'peer' | 'current'> & { readonly peer: bigint };

export function decodeSession(value: Buffer): SessionValue {
  const { fields } = sessionEntryLayout;
  const flags = value.readUInt32LE(fields.flags.offset);
  const cpu = flags >>> OMNI_SESSION_CPU_SHIFT;
  const read = (field: { readonly offset: number }) => value.readBigUInt64LE(field.offset);
  const ms = (field: { readonly offset: number }) => Number(read(field)) / Number(NS_PER_MS);
  return {
    peer: read(fields.peer),
    remoteId: read(fields.remoteId),
    initiator: (flags & OmniSessionFlags.initiator) !== 0,
    unconfirmed: (flags & OmniSessionFlags.unconfirmed) !== 0,
    hybrid: (flags & OmniSessionFlags.hybrid) !== 0,
    ...(cpu > 0 && { receiveCpu: cpu - 1 }),
    createdMs: ms(fields.createdNs),
    rekeyAfterMs: ms(fields.rekeyAfterNs),
    expiresMs: ms(fields.expiresNs),
    txPackets: read(fields.txCounter),
    txBytes: read(fields.txBytes),
    rxPackets: read(fields.rxPackets),
    rxBytes: read(fields.rxBytes),
    txLastMs: ms(fields.txLastNs),
    txDataLastMs: ms(fields.txDataLastNs),
    rxLastMs: ms(fields.rxLastNs),
    rxDataLastMs: ms(fields.rxDataLastNs),
  };
}

/** `meta_entry.mtu_auto` counts these from 1. */
const AUTOMATIC_MTUS = ['auto', 'auto-ipv6'] as const;
type AutomaticMtu = (typeof AUTOMATIC_MTUS)[number];

// --- configuration and meta ---------------------------------------------------

/** What an interface is set up with; all but the MTU is in its programs too. */
export interface Settings {
  readonly mac: MacAddress;
  readonly port: number;
  readonly newSessionsPerSecond: number;
  readonly mtu: number;
  readonly arpSuppression: boolean;
}

export interface Meta extends Settings {
  /** 0: creation never finished. */
  readonly layoutVersion: number;
  readonly buildId: Buffer;
  readonly mtuAuto: AutomaticMtu | undefined;
  readonly cluster: string;
}

export function settingsOf(row: LinkRow, mtu: number): Settings {
  return {
    mac: row.mac,
    port: row.port,
    newSessionsPerSecond: row.newSessionsPerSecondPerSource,
    mtu,
    arpSuppression: row.arpSuppression,
  };
}

/** `followsRoutes`: nobody named the underlay, so a peer's first initiation may come in anywhere. */
export function encodeConfig(settings: Settings, { inner, outer }: Pair, followsRoutes: boolean): Buffer {
  return encodeOmniConfig({
    localMac: macBytes(settings.mac),
    port: settings.port,
    ifindexOuter: outer.ifindex,
    ifindexInner: inner.ifindex,
    firstContactsPerSecond: followsRoutes ? OMNI_FIRST_CONTACTS_PER_SECOND : 0,
    newSessionsPerSecond: settings.newSessionsPerSecond,
    arpSuppression: settings.arpSuppression ? 1 : 0,
  });
}

export function encodeMeta(meta: Omit<Meta, 'layoutVersion'>): Buffer {
  const cluster = Buffer.alloc(metaEntryLayout.fields.cluster.size);
  cluster.write(meta.cluster);
  return encodeMetaEntry({
    layoutVersion: OMNI_LAYOUT_VERSION,
    mtuAuto: meta.mtuAuto === undefined ? 0 : AUTOMATIC_MTUS.indexOf(meta.mtuAuto) + 1,
    buildId: meta.buildId,
    localMac: macBytes(meta.mac),
    port: meta.port,
    newSessionsPerSecond: meta.newSessionsPerSecond,
    mtu: meta.mtu,
    arpSuppression: meta.arpSuppression ? 1 : 0,
    cluster,
  });
}

/** A layout of another version is decoded as far as every version agrees: its first four bytes. */
export function decodeMeta(value: Buffer): Meta {
  const version = value.readUInt32LE(metaEntryLayout.fields.layoutVersion.offset);
  const entry = decodeMetaEntry(Buffer.concat([value], metaEntryLayout.size));
  const cluster = Buffer.from(entry.cluster);
  const end = cluster.indexOf(0);
  return {
    layoutVersion: version,
    buildId: Buffer.from(entry.buildId),
    mac: macText(entry.localMac),
    port: entry.port,
    newSessionsPerSecond: entry.newSessionsPerSecond,
    mtu: entry.mtu,
    mtuAuto: AUTOMATIC_MTUS[entry.mtuAuto - 1],
    arpSuppression: entry.arpSuppression !== 0,
    cluster: cluster.toString('utf8', 0, end < 0 ? cluster.length : end),
  };
}
