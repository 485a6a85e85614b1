import { expect, test } from 'vitest';
import type { DhKeyPair } from '../../../src/session/dh.ts';
import { generateKeyPair } from '../../../src/session/dh.ts';
import { createInitiation, type LocalParty, prologuesOf } from '../../../src/session/handshake.ts';
import { Psks } from '../../../src/session/psks.ts';
import { endpoint } from './support/network.ts';
import type { FakeNode } from './support/node.ts';
import { establishedPair, initiations, type Pair, reachable, responses } from './support/pair.ts';

/**
 * Key-compromise impersonation of message 1 (docs/protocol.md, 8.2): whoever has the seed of the responder `b`, and knows
 * the public key of the caller `a`, makes initiations that `b` takes for `a`'s.
 */

const THIEF = endpoint('198.51.100.66');
const YEAR_2199_NS = 7_226_582_400_000_000_000n;

/** ss is the same from either end, and the one that has `a`'s private key is not needed for es. */
function forged(victim: FakeNode, caller: FakeNode, timestampNs: bigint): Uint8Array {
  const staticKey = caller.identity.keyPair.publicKey;
  const keyPair: DhKeyPair = { publicKey: staticKey, agree: () => victim.identity.keyPair.agree(staticKey) };
  const local: LocalParty = {
    publicKey: caller.key,
    keyPair,
    psks: new Psks(caller.identity.publicKeyBytes, [new Uint8Array(32)]),
  };
  const remote = { publicKey: victim.identity.publicKeyBytes, staticKey: victim.identity.keyPair.publicKey };
  const made = createInitiation(
    { prologues: prologuesOf('warehouse'), local, remote },
    { senderId: 77n, timestampNs, ephemeral: generateKeyPair() },
  );
  if (made === undefined) throw new Error('keys of the tests are of full order');
  return made.datagram;
}

/** As if nothing had been sent for an hour: the session is gone, and `a` begins anew. */
async function afterAnHour({ clock, a, b }: Pair): Promise<void> {
  await clock.advance(3_700_000);
  expect([a.plane.sessions.size, b.plane.sessions.size]).toEqual([0, 0]);
}

test('a time stamp that no clock says is refused, and counted', async () => {
  const pair = await establishedPair();
  const { clock, network, a, b } = pair;
  const last = 2n ** 64n - 1n;
  network.deliver({ bytes: forged(b, a, last), from: THIEF, to: b.at });
  await clock.advance(1_000);
  expect(b.manager.stats().handshakesFailed).toMatchObject({ timestamp: 1, replayed: 0 });
  expect(responses(network.log)).toHaveLength(0);
  await clock.advance(20_000);
  expect(b.kept.text).not.toContain(String(last));
  await afterAnHour(pair);
  expect(await reachable(pair)).toBe(true);
});

test.each([
  ['while the agent runs', false],
  ['after a restart', true],
])('a forged time stamp of the year 2199 does not lock the caller out %s', async (_, restarts) => {
  const pair = await establishedPair();
  const { clock, network, a, b } = pair;
  const forgery = { bytes: forged(b, a, YEAR_2199_NS), from: THIEF, to: b.at };
  network.deliver(forgery);
  await clock.advance(1_000);
  expect(responses(network.log)).toMatchObject([{ to: THIEF }]); // it is answered: nothing tells it from `a`'s
  network.deliver(forgery);
  await clock.advance(30_000);
  expect(b.manager.stats().handshakesFailed.replayed).toBe(1);
  if (restarts) await b.restartAgent();
  expect(b.kept.text).not.toContain(String(YEAR_2199_NS));
  for (let round = 0; round < 2; round++) {
    await afterAnHour(pair);
    network.log.length = 0;
    a.sends(b, `round ${round}`);
    await clock.advance(50);
    expect(b.plane.received).toContain(`round ${round}`);
    expect(initiations(network.log)).toHaveLength(1); // `a`'s first one is answered at once
  }
});

test('who forges now and then holds nothing up for longer than a handshake timeout', async () => {
  const pair = await establishedPair();
  const { clock, network, a, b } = pair;
  for (let each = 0n; each < 40n; each++) {
    network.deliver({ bytes: forged(b, a, YEAR_2199_NS + each), from: THIEF, to: b.at });
    await clock.advance(200);
  }
  await clock.advance(3_700_000);
  a.sends(b, 'first');
  await clock.advance(50);
  expect(b.plane.received).toContain('first');
  // Even forgeries that were forgotten among so many change nothing for the caller's newest.
  await clock.advance(3_700_000);
  network.deliver({ bytes: forged(b, a, YEAR_2199_NS + 100n), from: THIEF, to: b.at });
  await clock.advance(5_100);
  a.sends(b, 'second');
  await clock.advance(50);
  expect(b.plane.received).toContain('second');
});

test('data goes nowhere else for a late initiation, and for a newer one as ever', async () => {
  const { clock, network, a, b } = await establishedPair({ bHints: [] });
  network.deliver({ bytes: forged(b, a, YEAR_2199_NS), from: THIEF, to: b.at });
  await clock.advance(30_000);
  network.deliver({ bytes: forged(b, a, YEAR_2199_NS - 1n), from: THIEF, to: b.at });
  await clock.advance(1_000);
  expect(responses(network.log)).toHaveLength(2);
  expect(b.plane.endpoints.get(a.key)).toMatchObject({ endpoint: a.at });
});
