import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { projectRoot } from '../../lab/lab.ts';
import { encodeSourceEntry } from '../../src/dataplane/kernel/layout.ts';
import { datagram, ip, OVERHEAD } from './frames.ts';
import { datagram6 } from './frames6.ts';
import { Lab, PORT, XDP_DROP, XDP_PASS } from './lab.ts';
import { Selftest, sealedPacket } from './selftest.ts';

/** The programs and the agent compute the same bytes: the vectors that test/unit/session reads, through BPF. */

const hex = (text: string) => Buffer.from(text, 'hex');
function read<T>(name: string): T {
  return JSON.parse(readFileSync(join(projectRoot, 'test/vectors', `${name}.json`), 'utf8')) as T;
}

describe('ChaCha20-Poly1305, Project Wycheproof', () => {
  interface Vector {
    readonly tcId: number;
    readonly key: string;
    readonly iv: string;
    readonly aad: string;
    readonly msg: string;
    readonly ct: string;
    readonly tag: string;
    readonly result: 'valid' | 'invalid';
  }
  /** Nonces are of 96 bits, and the programs know one block of associated data: no more, and no less. */
  const vectors = read<{ tests: Vector[] }>('wycheproof/chacha20-poly1305').tests.filter(
    ({ iv, aad }) => iv.length === 24 && aad.length > 0 && aad.length <= 32,
  );
  let selftest: Selftest;

  beforeAll(async () => {
    selftest = await Selftest.load();
  });
  afterAll(() => selftest?.close());

  it('seals as they say, opens what they say, and no forgery', () => {
    let forgeries = 0;
    for (const { tcId, result, ...vector } of vectors) {
      const [key, nonce, aad] = [hex(vector.key), hex(vector.iv), hex(vector.aad)];
      const sealed = sealedPacket(aad, hex(vector.tag), hex(vector.ct));
      const { forged, packet } = selftest.open({ key, nonce, aad }, sealed);
      expect({ tcId, forged }).toEqual({ tcId, forged: result === 'invalid' });
      if (forged) {
        forgeries++;
        expect(packet, `test ${tcId}: left as it came`).toEqual(sealed);
        continue;
      }
      expect(packet.subarray(OVERHEAD).toString('hex'), `test ${tcId}`).toBe(vector.msg);
      expect(selftest.seal({ key, nonce, aad }, hex(vector.msg)), `test ${tcId}`).toEqual(sealed);
    }
    expect(vectors).toHaveLength(222);
    expect(forgeries).toBe(60);
  });
});

describe('cookies of docs/protocol.md', () => {
  interface Cookie {
    readonly version: 1 | 2;
    readonly address: string;
    readonly port: number;
    readonly secret: string;
    readonly mac2: string;
    readonly reply: string;
  }
  const { cases } = read<{ cases: Cookie[] }>('cookie');
  const classic = read<{ responder: { mac1Key: string }; handshake: { initiation: string; initiatorId: string } }>(
    'protocol',
  );
  const hybrid = read<{ initiation: string }>('hybrid');
  let lab: Lab;

  beforeAll(async () => {
    lab = await Lab.open({}, ['omni_ingress']);
  });
  afterAll(() => lab?.close());

  const verdict = async ({ address: source, port: sourcePort }: Cookie, payload: Uint8Array) => {
    const packet = source.includes(':')
      ? datagram6({ source, sourcePort, port: PORT, payload })
      : datagram({ source, sourcePort, port: PORT, payload });
    const { result, drops } = await lab.counted(() => lab.run('omni_ingress', packet));
    return { verdict: result.retval, drops };
  };

  it.each(cases)('version $version, from $address:$port', async (cookie) => {
    lab.clear();
    lab.setGate([hex(classic.responder.mac1Key)], [Buffer.alloc(32, 1), hex(cookie.secret)]);
    lab.map('source_map').update({ key: ip('::'), value: encodeSourceEntry({ fullNs: 2n ** 62n }) });
    const initiation = hex(cookie.version === 1 ? classic.handshake.initiation : hybrid.initiation);
    expect(await verdict(cookie, initiation)).toEqual({ verdict: XDP_DROP, drops: { overload: 1 } });
    initiation.set(hex(cookie.mac2), initiation.length - 16);
    expect(await verdict(cookie, initiation)).toEqual({ verdict: XDP_PASS, drops: {} });
    expect(await verdict({ ...cookie, port: cookie.port ^ 1 }, initiation)).toEqual({
      verdict: XDP_DROP,
      drops: { overload: 1 },
    });

    expect(await verdict(cookie, hex(cookie.reply))).toEqual({ verdict: XDP_DROP, drops: { unexpected: 1 } });
    lab.setPending(BigInt(classic.handshake.initiatorId), 2n ** 62n);
    expect(await verdict(cookie, hex(cookie.reply))).toEqual({ verdict: XDP_PASS, drops: {} });
  });
});
