import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  addressBytes,
  addressText,
  endpointText,
  macBytes,
  macText,
  parseEndpoint,
} from '../../../src/dataplane/kernel/addresses.ts';
import {
  decodeMeta,
  decodePeer,
  decodeSession,
  encodeMeta,
  encodePeer,
  encodeSession,
  sameSession,
} from '../../../src/dataplane/kernel/codec.ts';
import { metaEntryLayout, OMNI_LAYOUT_VERSION, sessionEntryLayout } from '../../../src/dataplane/kernel/layout.ts';
import type { IpAddress, MacAddress, PublicKey } from '../../../src/manifest/model.ts';
import type { NewSession } from '../../../src/reconcile/dataplane.ts';

const publicKey = Buffer.alloc(32, 7).toString('base64') as PublicKey;

const session: NewSession = {
  interface: 'omni0',
  localId: 1n,
  remoteId: 0xfedc_ba98_7654_3210n,
  peer: publicKey,
  initiator: true,
  unconfirmed: false,
  hybrid: false,
  receiveKey: Uint8Array.from({ length: 32 }, (_, i) => i),
  sendKey: Uint8Array.from({ length: 32 }, (_, i) => 255 - i),
  rekeyAfterMs: 120_000,
  lifetimeMs: 3_600_000,
};

describe('addresses', () => {
  it('are held as 16 bytes, IPv4 mapped', () => {
    expect(Buffer.from(addressBytes('192.0.2.1')).toString('hex')).toBe('00000000000000000000ffffc0000201');
    expect(Buffer.from(addressBytes('fd77::1')).toString('hex')).toBe('fd770000000000000000000000000001');
    expect(() => addressBytes('fe80::1%eth0')).toThrow(RangeError);
  });

  it('come back as they went in', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 16, maxLength: 16 }), (bytes) => {
        expect(addressBytes(addressText(bytes))).toEqual(bytes);
      }),
    );
    fc.assert(
      fc.property(fc.ipV4(), (text) => {
        expect(addressText(addressBytes(text))).toBe(text);
      }),
    );
  });

  it('and MACs and endpoints do, too', () => {
    expect(macText(macBytes('02:0a:ff:00:10:7f'))).toBe('02:0a:ff:00:10:7f');
    for (const text of ['192.0.2.1:51820', '[2001:db8::1]:1']) expect(endpointText(parseEndpoint(text))).toBe(text);
    for (const text of ['192.0.2.1', '2001:db8::1:1', 'robot:51820', '']) expect(() => parseEndpoint(text)).toThrow();
  });
});

describe('a peer row', () => {
  const local = addressBytes('192.0.2.1');
  const endpoint = { address: '192.0.2.2' as IpAddress, port: 51820, local };

  it.each([
    { publicKey, endpoint, observed: true, localPort: 51820 },
    { publicKey, endpoint, observed: false, localPort: 1 },
    { publicKey, observed: false, localPort: 51820 },
  ])('comes back as it went in', (peer) => {
    expect(decodePeer(encodePeer(peer))).toEqual(peer);
  });
});

describe('a session row', () => {
  it('has absolute times in nanoseconds, and starts from nothing', () => {
    expect(decodeSession(encodeSession(session, 9n, 5_000_000n))).toEqual({
      peer: 9n,
      remoteId: session.remoteId,
      initiator: true,
      unconfirmed: false,
      hybrid: false,
      createdMs: 5,
      rekeyAfterMs: 120_005,
      expiresMs: 3_600_005,
      txPackets: 0n,
      txBytes: 0n,
      rxPackets: 0n,
      rxBytes: 0n,
      txLastMs: 0,
      txDataLastMs: 0,
      rxLastMs: 0,
      rxDataLastMs: 0,
    });
  });

  it('holds each key where the programs read it, and gives none back', () => {
    const row = encodeSession(session, 9n, 0n);
    const { rxKey, txKey } = sessionEntryLayout.fields;
    expect(row.subarray(rxKey.offset, rxKey.offset + rxKey.size)).toEqual(Buffer.from(session.receiveKey));
    expect(row.subarray(txKey.offset, txKey.offset + txKey.size)).toEqual(Buffer.from(session.sendKey));
    expect(Object.keys(decodeSession(row)).filter((name) => /key$/i.test(name))).toEqual([]);
  });

  it('refuses keys of another length', () => {
    expect(() => encodeSession({ ...session, sendKey: new Uint8Array(31) }, 9n, 0n)).toThrow(RangeError);
  });

  it('is the same while peer, remote id and keys are, whatever it counted', () => {
    const row = encodeSession(session, 9n, 0n);
    const used = Buffer.from(row);
    used.writeBigUInt64LE(77n, sessionEntryLayout.fields.txCounter.offset);
    expect(sameSession(row, used)).toBe(true);
    expect(sameSession(row, encodeSession({ ...session, sendKey: session.receiveKey }, 9n, 0n))).toBe(false);
    expect(sameSession(row, encodeSession({ ...session, remoteId: 1n }, 9n, 0n))).toBe(false);
    expect(sameSession(row, encodeSession(session, 8n, 0n))).toBe(false);
  });
});

describe('the meta row', () => {
  const meta = {
    buildId: Buffer.alloc(32, 3),
    mac: '02:00:00:00:00:09' as MacAddress,
    port: 51820,
    newSessionsPerSecond: 10,
    mtu: 1426,
    mtuAuto: 'auto' as const,
    arpSuppression: true,
    cluster: 'warehouse',
  };

  it('comes back as it went in, with our layout version', () => {
    expect(decodeMeta(encodeMeta(meta))).toEqual({ ...meta, layoutVersion: OMNI_LAYOUT_VERSION });
  });

  it('of another layout tells at least its version, however short or long it is', () => {
    for (const size of [4, metaEntryLayout.size, 1000]) {
      const row = Buffer.alloc(size);
      row.writeUInt32LE(77, 0);
      expect(decodeMeta(row).layoutVersion).toBe(77);
    }
  });
});
