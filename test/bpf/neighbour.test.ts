import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { arp, ethernet, icmp6, ndMessage } from './frames.ts';
import { CONFIG, Lab, REMOTE, XDP_DROP, XDP_REDIRECT } from './lab.ts';

/** ARP and neighbour discovery, answered from neigh_map. */

const MINE = CONFIG.localMac;
const THEIRS = '02:00:00:00:00:02';
const BROADCAST = 'ff:ff:ff:ff:ff:ff';
const PEER = 7n;

let lab: Lab;
beforeAll(async () => {
  lab = await Lab.open({}, ['omni_egress']);
});
afterAll(() => lab?.close());
beforeEach(() => {
  lab.clear();
  lab.setNeighbour('10.77.0.1', MINE);
  lab.setNeighbour('10.77.0.2', THEIRS);
  lab.setNeighbour('fd77::1', MINE);
  lab.setNeighbour('fd77::2', THEIRS);
});

const answer = (frame: Uint8Array) => lab.counted(() => lab.run('omni_egress', frame));

async function expectAnswer(question: Uint8Array, expected: Uint8Array): Promise<void> {
  const { result, drops, stats } = await answer(question);
  expect(result.retval).toBe(XDP_REDIRECT);
  expect(result.data.toString('hex')).toBe(Buffer.from(expected).toString('hex'));
  expect({ drops, stats }).toEqual({ drops: {}, stats: { neighAnswered: 1 } });
}

async function expectDrop(question: Uint8Array, reason: string): Promise<void> {
  const { result, drops, stats } = await answer(question);
  expect({ verdict: result.retval, drops, stats }).toEqual({ verdict: XDP_DROP, drops: { [reason]: 1 }, stats: {} });
}

describe('ARP', () => {
  const ask = (target: string, sender = '10.77.0.1', to = BROADCAST) =>
    arp(to, MINE, { operation: 1, senderMac: MINE, sender, target });
  const reply = (sender: string, target: string) =>
    arp(MINE, THEIRS, { operation: 2, senderMac: THEIRS, sender, targetMac: MINE, target });

  it('a question for a declared address', () => expectAnswer(ask('10.77.0.2'), reply('10.77.0.2', '10.77.0.1')));
  it('a unicast question', () => expectAnswer(ask('10.77.0.2', '10.77.0.1', THEIRS), reply('10.77.0.2', '10.77.0.1')));
  it('keeps what pads the frame', async () => {
    const pad = Buffer.alloc(18);
    await expectAnswer(Buffer.concat([ask('10.77.0.2'), pad]), Buffer.concat([reply('10.77.0.2', '10.77.0.1'), pad]));
  });
  it('a probe for somebody else’s address draws the owner’s objection', () =>
    expectAnswer(ask('10.77.0.2', '0.0.0.0'), reply('10.77.0.2', '0.0.0.0')));
  it('a probe for our own address does not', () => expectDrop(ask('10.77.0.1', '0.0.0.0'), 'multicast'));
  it('an announcement is no question', () => expectDrop(ask('10.77.0.1', '10.77.0.1'), 'multicast'));
  it('nor is one of an address that belongs to another', () => expectDrop(ask('10.77.0.2', '10.77.0.2'), 'multicast'));
  it('a question for our own address', () => expectDrop(ask('10.77.0.1', '10.77.0.9'), 'multicast'));
  it('a question for an undeclared address', () => expectDrop(ask('10.77.0.99'), 'neighMiss'));
  it('a probe for an undeclared address', () => expectDrop(ask('10.77.0.99', '0.0.0.0'), 'multicast'));
  it('a frame cut short is no question', () => expectDrop(ask('10.77.0.2').subarray(0, 41), 'multicast'));
  it.each([14, 16, 18, 19])('a byte other than Ethernet’s and IPv4’s at %i is no question', async (at) => {
    const question = ask('10.77.0.2');
    question.writeUInt8(9, at);
    await expectDrop(question, 'multicast');
  });
  it('a reply goes to whom it is for', async () => {
    lab.setFdb(THEIRS, PEER);
    lab.setPeer(PEER, { address: REMOTE });
    lab.setSession(5n, { peer: PEER });
    lab.setSend(PEER, 5n);
    const frame = arp(THEIRS, MINE, { operation: 2, senderMac: MINE, sender: '10.77.0.1', target: '10.77.0.2' });
    expect((await lab.run('omni_egress', frame)).retval).toBe(XDP_REDIRECT);
  });
});

describe('neighbour discovery', () => {
  const GROUP = '33:33:ff:00:00:02';
  const NODE = 'ff02::1:ff00:2';
  const SOLICITED_OVERRIDE = 0x60000000;
  const OVERRIDE = 0x20000000;
  const mine = { type: 1, mac: MINE };
  const ask = (target: string, source = 'fd77::1', option: typeof mine | undefined = mine, hopLimit = 255) =>
    ethernet(GROUP, MINE, 0x86dd, icmp6(source, NODE, ndMessage(135, 0, target, option), hopLimit));
  const reply = (target: string, source = 'fd77::1') =>
    ethernet(
      MINE,
      THEIRS,
      0x86dd,
      icmp6(target, source, ndMessage(136, SOLICITED_OVERRIDE, target, { type: 2, mac: THEIRS })),
    );

  it('a solicitation for a declared address', () => expectAnswer(ask('fd77::2'), reply('fd77::2')));
  it('from a link-local source', () => expectAnswer(ask('fd77::2', 'fe80::1'), reply('fd77::2', 'fe80::1')));
  it('without an option: the answer has one', () =>
    expectAnswer(
      ethernet(GROUP, MINE, 0x86dd, icmp6('fd77::1', NODE, ndMessage(135, 0, 'fd77::2'))),
      reply('fd77::2'),
    ));
  it('with more options than the answer has', () => {
    const message = Buffer.concat([ndMessage(135, 0, 'fd77::2', mine), Buffer.from('0e01000102030405', 'hex')]);
    return expectAnswer(ethernet(GROUP, MINE, 0x86dd, icmp6('fd77::1', NODE, message)), reply('fd77::2'));
  });
  it('a probe for somebody else’s address is answered to all nodes, unsolicited', () =>
    expectAnswer(
      ethernet(GROUP, MINE, 0x86dd, icmp6('::', NODE, ndMessage(135, 0, 'fd77::2'))),
      ethernet(
        '33:33:00:00:00:01',
        THEIRS,
        0x86dd,
        icmp6('fd77::2', 'ff02::1', ndMessage(136, OVERRIDE, 'fd77::2', { type: 2, mac: THEIRS })),
      ),
    ));
  it('a probe for our own address is not', () => expectDrop(ask('fd77::1', '::'), 'multicast'));
  it('nor one for our link-local address', () => expectDrop(ask('fe80::1', '::'), 'multicast'));
  it('a solicitation for an undeclared address', () => expectDrop(ask('fd77::99'), 'neighMiss'));
  it('one that came over a router is no question', () => expectDrop(ask('fd77::2', 'fd77::1', mine, 64), 'multicast'));
  it('one cut short is no question', () => expectDrop(ask('fd77::2').subarray(0, 77), 'multicast'));
});

describe('without suppression', () => {
  it('questions are like any other multicast', async () => {
    await lab.load('omni_egress', { arpSuppression: 0 });
    const question = arp(BROADCAST, MINE, { operation: 1, senderMac: MINE, sender: '10.77.0.1', target: '10.77.0.2' });
    await expectDrop(question, 'multicast');
  });
});
