import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { dumpMap } from '../../lab/bpf.ts';
import { ping } from '../../lab/ping.ts';
import { sample, scrape } from '../netns/metrics.ts';
import {
  arpOf,
  behindTags,
  datagramOf,
  detours,
  fragmentedAdvertisement,
  headerNames,
  hiddenAdvertisement,
  solicitationFrom,
  toTheAgent,
} from './attacks.ts';
import { type Attack, InnerFrames } from './inner-frames.ts';
import { initiation, partyOf } from './member.ts';
import {
  EtherType,
  Extension,
  ethernet,
  icmpv6,
  ipv4,
  ipv6,
  linkLocalOf,
  Protocol,
  prefixOption,
  routerAdvertisement,
  udp,
} from './packets.ts';
import { Random, seedOfRun } from './random.ts';
import { describeAttack, Traitor } from './traitor.ts';
import { authenticated, World } from './world.ts';

const FRAMES = 100_000;
const BATCH = 5_000;

let world: World;
let traitor: Traitor;

beforeAll(async () => {
  world = await World.open('omniadv');
  // Bravo knows charlie: there is something to take over.
  expect((await ping(world.host('bravo'), world.places.charlie.ipv4, { count: 1, waitS: 10 })).received).toBe(1);
  expect((await ping(world.host('bravo'), world.places.charlie.ipv6, { count: 1, waitS: 10 })).received).toBe(1);
  traitor = await Traitor.open(world);
});
afterEach(async () => {
  await traitor?.oracle.forget();
  await traitor?.oracle.look();
});
afterAll(async () => {
  await traitor?.close();
  await world?.close();
});

describe('S1: three VLAN-0 tags', () => {
  it.each([0, 1, 2, 3, 4, 5, 6])('S1: %d tags carry no address of anybody else’s', async (count) => {
    const { places } = world;
    const { charlie } = places;
    const frames = [
      ...[charlie.ipv4, charlie.ipv6].map((source) => datagramOf(places, source)),
      arpOf(places, 1, charlie.ipv4),
      arpOf(places, 2, charlie.ipv4),
      hiddenAdvertisement(places, charlie.ipv6, 'none'),
      solicitationFrom(places, charlie.ipv6, places.bravo.ipv6),
    ];
    for (const kind of [EtherType.vlan, EtherType.qinq])
      expect(await traitor.attempt(frames.map((frame) => behindTags(frame, count, kind)))).toEqual([]);
  });

  it('S1: what mallory says in its own name arrives', async () => {
    const { places } = world;
    const before = (await traitor.oracle.counts()).honest;
    const [four, six] = [places.mallory.ipv4, places.mallory.ipv6];
    const say = (source: string, destination: string) =>
      udp({ source, destination, sourcePort: 4000, port: 9999, payload: Buffer.from('omni-honest') });
    const packets = [
      [
        EtherType.ipv4,
        ipv4({
          source: four,
          destination: places.bravo.ipv4,
          protocol: Protocol.udp,
          payload: say(four, places.bravo.ipv4),
        }),
      ],
      [
        EtherType.ipv6,
        ipv6({ source: six, destination: places.bravo.ipv6, next: Protocol.udp, payload: say(six, places.bravo.ipv6) }),
      ],
    ] as const;
    const frames = packets.map(([type, packet]) => ethernet(places.bravo.mac, places.mallory.mac, type, packet));
    expect(await traitor.attempt(frames)).toEqual([]);
    expect((await traitor.oracle.counts()).honest).toBe(before + 2);
  });
});

describe('S2: neighbour discovery that is hidden', () => {
  it.each(['none', ...headerNames])(
    'S2: an advertisement of charlie’s address behind %s is not believed',
    async (header) => {
      expect(await traitor.attempt([hiddenAdvertisement(world.places, world.places.charlie.ipv6, header)])).toEqual([]);
    },
  );

  it('S2: nor in fragments', async () => {
    expect(await traitor.attempt(fragmentedAdvertisement(world.places, world.places.charlie.ipv6))).toEqual([]);
  });

  it('S2: nor does anybody claim an address by asking for it from nowhere', async () => {
    const targets = [world.places.charlie.ipv6, world.places.bravo.ipv6, linkLocalOf(world.places.bravo.mac)];
    const frames = targets.map((target) => solicitationFrom(world.places, '::', target));
    expect(await traitor.attempt(frames)).toEqual([]);
  });
});

describe('S11: what nobody declared', () => {
  it.each([
    ['an undeclared address of the subnet', '10.77.0.99'],
    ['an undeclared IPv6 address of the subnet', 'fd77::99'],
    ['a suspended peer’s address', '10.77.0.4'],
    ['a suspended peer’s IPv6 address', 'fd77::4'],
    ['another node’s underlay address', '192.0.2.3'],
    ['an address of the internet', '8.8.8.8'],
    ['an IPv6 address of the internet', '2001:db8::1'],
    ['a link-local address', 'fe80::1'],
    ['bravo’s own address', 'fd77::2'],
    ['an IPv4 address inside IPv6', '::ffff:10.77.0.3'],
  ])('S11: %s is not mallory’s', async (_what, source) => {
    expect(await traitor.attempt([datagramOf(world.places, source), datagramOf(world.places, source, 53)])).toEqual([]);
  });

  it('S11: mallory takes over no address of a suspended peer by ARP or neighbour discovery', async () => {
    const { places } = world;
    const frames = [1, 2].flatMap((operation) => arpOf(places, operation as 1 | 2, places.dave.ipv4));
    frames.push(
      behindTags(arpOf(places, 1, places.dave.ipv4), 1),
      solicitationFrom(places, places.dave.ipv6, places.bravo.ipv6),
    );
    expect(await traitor.attempt(frames)).toEqual([]);
  });

  it('S11: groups do not hear mallory', async () => {
    const { mallory } = world.places;
    const groups = [
      ['33:33:00:00:00:fb', 'ff02::fb', 5353],
      ['33:33:00:01:00:03', 'ff02::1:3', 5355],
      ['33:33:00:00:00:01', 'ff02::1', 9999],
      ['01:00:5e:00:00:fb', '224.0.0.251', 5353],
      ['01:00:5e:00:00:01', '224.0.0.1', 9999],
      ['ff:ff:ff:ff:ff:ff', '255.255.255.255', 68],
      ['ff:ff:ff:ff:ff:ff', '10.77.255.255', 9999],
    ] as const;
    const frames = groups.map(([to, destination, port]) => {
      const source = destination.includes(':') ? mallory.ipv6 : mallory.ipv4;
      const payload = udp({ source, destination, sourcePort: port, port, payload: Buffer.from('to all') });
      return destination.includes(':')
        ? ethernet(to, mallory.mac, EtherType.ipv6, ipv6({ source, destination, next: Protocol.udp, payload }))
        : ethernet(to, mallory.mac, EtherType.ipv4, ipv4({ source, destination, protocol: Protocol.udp, payload }));
    });
    expect(await traitor.attempt(frames)).toEqual([]);
  });
});

describe('S4: the agent’s port, from inside the overlay', () => {
  it('S4: a member’s handshake through the overlay reaches no socket, by whatever way', async () => {
    const bravo = world.host('bravo');
    const seen = async () => {
      const samples = await scrape(bravo);
      const failed = [...samples]
        .filter(([name]) => name.startsWith('omni_handshakes_failed_total'))
        .map(([, value]) => value);
      return {
        failed: failed.reduce((sum, each) => sum + each, 0),
        sessions: (await dumpMap(bravo, 'session_map')).length,
      };
    };
    const before = await seen();
    const { datagram } = initiation(partyOf(world.identity('mallory')), world.identity('bravo').publicKeyBytes);
    const found: Record<string, readonly string[]> = {};
    for (const [way, frames] of Object.entries(toTheAgent(world.places, datagram))) {
      const violations = await traitor.attempt(frames);
      if (violations.length > 0) found[way] = violations;
    }
    expect(found).toEqual({});
    expect(await seen()).toEqual(before);
  });
});

describe('S20.4: routes', () => {
  it('S20.4: no message of a member’s changes the way to another', async () => {
    const bravo = world.host('bravo');
    const found: Record<string, readonly string[]> = {};
    for (const [what, frame] of Object.entries(detours(world.places))) {
      await ping(bravo, world.places.charlie.ipv4, { count: 1 });
      await ping(bravo, world.places.charlie.ipv6, { count: 1 });
      // Charlie's answers are charlie's own.
      await traitor.oracle.look();
      const violations = await traitor.attempt([frame]);
      if (violations.length > 0) found[what] = violations;
      await traitor.oracle.forget();
    }
    expect(found).toEqual({});
  });

  it('S20.4: a member is no router', async () => {
    const { mallory, bravo } = world.places;
    const advert = routerAdvertisement(1800, prefixOption('2001:db8:66::'));
    const [kind, option] = [Extension.destination, Buffer.of(Protocol.icmpv6, 0, 1, 4, 0, 0, 0, 0)];
    const frames = [linkLocalOf(mallory.mac), mallory.ipv6, 'fe80::1'].flatMap((source) =>
      (
        [
          [bravo.mac, bravo.ipv6],
          ['33:33:00:00:00:01', 'ff02::1'],
        ] as const
      ).flatMap(([to, destination]) => {
        const message = icmpv6(source, destination, advert);
        const base = { source, destination, hopLimit: 255 };
        return [
          ethernet(to, mallory.mac, EtherType.ipv6, ipv6({ ...base, next: Protocol.icmpv6, payload: message })),
          ethernet(
            to,
            mallory.mac,
            EtherType.ipv6,
            ipv6({ ...base, next: kind, payload: Buffer.concat([option, message]) }),
          ),
        ];
      }),
    );
    expect(await traitor.attempt(frames)).toEqual([]);
  });
});

describe('the kernel as the oracle', () => {
  it(`believes none of ${FRAMES} random frames of a member’s that are in anybody else’s name`, {
    timeout: 240_000,
  }, async () => {
    const seed = seedOfRun();
    const bravo = world.host('bravo');
    const generator = new InnerFrames(new Random(seed), world.places);
    const [before, counts, drops] = [await authenticated(bravo), await traitor.oracle.counts(), await scrape(bravo)];
    const begun = performance.now();
    let [sent, honest] = [0, 0];
    while ((await authenticated(bravo)) - before < FRAMES) {
      const batch: Attack[] = [];
      for (let size = 0; size < BATCH; ) {
        const attack = generator.next();
        batch.push(attack);
        size += attack.frames.length;
        if (attack.honest) honest++;
      }
      const frames = batch.flatMap((each) => each.frames);
      sent += frames.length;
      const violations = await traitor.attempt(frames);
      if (violations.length > 0) {
        const shrunk = await traitor.shrink(batch);
        const report = [
          `OMNI_SEED=${seed}, within ${sent} frames:`,
          ...violations.slice(0, 20),
          'What is left of them:',
        ];
        report.push(...shrunk.violations.slice(0, 5), 'after', ...shrunk.attacks.slice(0, 5).map(describeAttack));
        expect.fail(report.join('\n'));
      }
    }
    const took = (performance.now() - begun) / 1000;
    const arrived = (await traitor.oracle.counts()).honest - counts.honest;
    const samples = await scrape(bravo);
    const dropped = [...samples.keys()].filter((name) => name.startsWith('omni_drops_total{'));
    const reasons = dropped.flatMap((name) => {
      const more = sample(samples, name) - (drops.get(name) ?? 0);
      return more > 0 ? [`${/"(.*)"/.exec(name)?.[1]} ${more}`] : [];
    });
    console.log(
      `OMNI_SEED=${seed}: ${sent} frames in ${took.toFixed(1)} s; ${arrived} of ${honest} honest ones heard; ${reasons.join(', ')}; bravo is gullible by ${traitor.oracle.gullible.length} devices and settings`,
    );
    expect(arrived).toBeGreaterThan(0.9 * honest);
  });
});
