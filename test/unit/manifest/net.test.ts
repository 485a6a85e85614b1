import { describe, expect, test } from 'vitest';
import { formatDuration, parseDuration } from '../../../src/manifest/duration.ts';
import { formatEndpoint, parseEndpoint } from '../../../src/manifest/endpoint.ts';
import {
  contains,
  formatIp,
  type Ip,
  network,
  overlaps,
  parseCidr,
  parseIp,
  reservedOverlap,
  reservedUse,
} from '../../../src/manifest/net.ts';

function ip(text: string): Ip {
  const parsed = parseIp(text);
  if (!parsed.ok) throw new Error(`${text}: ${parsed.problem}`);
  return parsed.value;
}

describe('addresses', () => {
  test.each([
    ['10.77.0.17', '10.77.0.17'],
    ['FD77:0:0:0:0:0:0:17', 'fd77::17'],
    // RFC 5952, section 4: lower case, no leading zeros, the longest run, the first of two, never a single group.
    ['2001:0DB8:0:0:1:0:0:1', '2001:db8::1:0:0:1'],
    ['2001:db8:0:1:1:1:1:1', '2001:db8:0:1:1:1:1:1'],
    ['2001:0:0:1:0:0:0:1', '2001:0:0:1::1'],
    ['0:0:0:0:0:0:0:0', '::'],
    ['::1', '::1'],
    ['1::', '1::'],
    ['64:ff9b::192.0.2.33', '64:ff9b::c000:221'],
  ])('%s is %s', (text, canonical) => {
    expect(formatIp(ip(text))).toBe(canonical);
  });

  test.each([
    ['', 'neither'],
    ['10.0.0', 'neither'],
    ['10.0.0.01', 'leading zeros'],
    ['10.0.0.256', '0 to 255'],
    ['10.0.0.1/8', 'prefix'],
    ['::1/128', 'prefix'],
    ['fe80::1%eth0', 'zone'],
    ['[::1]', 'brackets'],
    ['::ffff:10.0.0.1', 'write 10.0.0.1'],
    ['::g', 'neither'],
    ['1:2:3:4:5:6:7:8:9', 'neither'],
    ['1::2::3', 'neither'],
    [' 10.0.0.1', 'neither'],
  ])('%j is none: %s', (text, said) => {
    expect(parseIp(text)).toEqual({ ok: false, problem: expect.stringContaining(said) });
  });
});

describe('networks', () => {
  test.each([
    ['10.77.0.0/16', '10.77.0.0/16', true],
    ['10.77.1.5/16', '10.77.0.0/16', false],
    ['10.77.0.129/25', '10.77.0.128/25', false],
    ['0.0.0.0/0', '0.0.0.0/0', true],
    ['255.255.255.255/32', '255.255.255.255/32', true],
    ['FD77:0::/64', 'fd77::/64', true],
    ['fd77::1/127', 'fd77::/127', false],
    ['fd77::1/128', 'fd77::1/128', true],
  ])('%s is %s, exactly: %s', (text, canonical, exact) => {
    const parsed = parseCidr(text);
    expect(parsed.ok && [parsed.value.network.text, parsed.value.exact]).toEqual([canonical, exact]);
  });

  test.each([
    '10.0.0.0',
    '10.0.0.0/',
    '10.0.0.0/33',
    '10.0.0.0/-1',
    '10.0.0.0/08',
    '10.0.0.0/8/8',
    '::/129',
    '/8',
    'a/8',
    '',
  ])('%j is none', (text) => {
    expect(parseCidr(text).ok).toBe(false);
  });

  test.each([
    ['10.77.0.0/16', '10.77.255.255', true],
    ['10.77.0.0/16', '10.78.0.0', false],
    ['10.77.0.0/17', '10.77.128.0', false],
    ['10.77.0.4/30', '10.77.0.7', true],
    ['10.77.0.4/30', '10.77.0.8', false],
    ['0.0.0.0/0', '1.2.3.4', true],
    ['0.0.0.0/0', '::', false],
    ['fd77::/64', 'fd77::ffff:ffff:ffff:ffff', true],
    ['fd77::/64', 'fd77:0:0:1::', false],
    ['fd77::8/125', 'fd77::f', true],
    ['fd77::8/125', 'fd77::10', false],
  ])('%s contains %s: %s', (net, address, expected) => {
    expect(contains(network(net), ip(address))).toBe(expected);
  });

  test.each([
    ['10.0.0.0/8', '10.77.0.0/16', true],
    ['10.77.0.0/16', '10.77.0.0/16', true],
    ['10.76.0.0/16', '10.77.0.0/16', false],
    ['::/0', '0.0.0.0/0', false],
  ])('%s and %s overlap: %s', (a, b, expected) => {
    expect(overlaps(network(a), network(b))).toBe(expected);
    expect(overlaps(network(b), network(a))).toBe(expected);
  });

  test.each([
    ['10.77.0.0/30', '10.77.0.0', 'network address'],
    ['10.77.0.0/30', '10.77.0.3', 'broadcast address'],
    ['10.77.0.0/30', '10.77.0.1', undefined],
    ['10.77.0.0/31', '10.77.0.0', undefined],
    ['10.77.0.0/31', '10.77.0.1', undefined],
    ['10.77.0.0/32', '10.77.0.0', undefined],
    ['10.77.0.0/20', '10.77.15.255', 'broadcast address'],
    ['10.77.0.0/20', '10.77.14.255', undefined],
    ['fd77::/64', 'fd77::', 'subnet-router anycast address'],
    ['fd77::/64', 'fd77::ffff:ffff:ffff:ffff', undefined],
    ['fd77::/127', 'fd77::', undefined],
  ])('in %s, %s is %s', (net, address, expected) => {
    expect(reservedUse(network(net), ip(address))).toBe(expected);
  });

  test.each(['10.0.0.0/8', '192.168.0.0/16', '203.0.113.0/24', 'fd00::/8', '2001:db8::/32'])('%s is free', (text) => {
    expect(reservedOverlap(network(text))).toBeUndefined();
  });

  test.each(['0.0.0.0/0', '0.0.0.0/1', '128.0.0.0/1', '127.1.0.0/16', '::/0', 'fe80::/64', 'ff02::/16', '8000::/1'])(
    '%s is not',
    (text) => {
      expect(reservedOverlap(network(text))).toBeDefined();
    },
  );
});

describe('endpoints', () => {
  test.each([
    ['203.0.113.7:51820', { host: '203.0.113.7', port: 51820 }, '203.0.113.7:51820'],
    ['[2001:DB8::7]:1', { host: '2001:db8::7', port: 1 }, '[2001:db8::7]:1'],
    ['Robot-17.LAN:65535', { host: 'robot-17.lan', port: 65535 }, 'robot-17.lan:65535'],
    ['robot-17.lan.:80', { host: 'robot-17.lan', port: 80 }, 'robot-17.lan:80'],
    ['127.0.0.1:51820', { host: '127.0.0.1', port: 51820 }, '127.0.0.1:51820'],
    ['localhost:51820', { host: 'localhost', port: 51820 }, 'localhost:51820'],
  ])('%s', (text, endpoint, formatted) => {
    expect(parseEndpoint(text)).toEqual({ ok: true, value: endpoint });
    expect(formatEndpoint(endpoint)).toBe(formatted);
  });

  test.each([
    ['203.0.113.7', '203.0.113.7:51820'],
    ['robot-17.lan', 'robot-17.lan:51820'],
    ['2001:db8::7', '[2001:db8::7]:51820'],
    ['[2001:db8::7]', '[2001:db8::7]:51820'],
  ])('%s has no port; %s has', (text, suggestion) => {
    expect(parseEndpoint(text)).toEqual({ ok: false, portMissing: suggestion });
    expect(parseEndpoint(suggestion).ok).toBe(true);
  });

  test.each([
    '',
    ':1',
    'a:',
    'a:0',
    'a:65536',
    'a:01',
    'a:1e3',
    'a:-1',
    'a:1:2',
    '10.0.0.256:1',
    '10.0.0:1',
    '-a:1',
    'a-:1',
    'a_b:1',
    `${'a'.repeat(64)}:1`,
    `${'a.'.repeat(130)}a:1`,
    '[10.0.0.1]:1',
    '[robot]:1',
    '[::1',
    '0.0.0.0:1',
    '[::]:1',
    '[ff02::1]:1',
    '[fe80::1]:1',
    '255.255.255.255:1',
    'udp://a:1',
    'a b:1',
  ])('%j is none', (text) => {
    const parsed = parseEndpoint(text);
    expect(parsed.ok).toBe(false);
    expect(parsed).toHaveProperty('problem');
  });
});

describe('durations', () => {
  test.each([
    ['90s', 90_000, '1m30s'],
    ['2m', 120_000, '2m'],
    ['1h30m', 5_400_000, '1h30m'],
    ['1.5h', 5_400_000, '1h30m'],
    ['100ms', 100, '100ms'],
    ['0.1s', 100, '100ms'],
    ['24h', 86_400_000, '24h'],
    ['0s', 0, '0s'],
  ])('%s is %d ms, %s', (text, ms, formatted) => {
    expect(parseDuration(text)).toEqual({ ok: true, ms });
    expect(formatDuration(ms)).toBe(formatted);
  });

  test.each([
    ['', 'not numbers'],
    ['90', 'no unit'],
    ['1.5', 'no unit'],
    ['-5s', 'negative'],
    ['2d', 'no unit "d"'],
    ['1us', 'no unit "us"'],
    ['s', 'not numbers'],
    ['1h 30m', 'not numbers'],
    ['1h30', 'not numbers'],
    ['1.0001s', 'whole number'],
    ['99999999999999h', 'too long'],
  ])('%j is none: %s', (text, said) => {
    expect(parseDuration(text)).toEqual({ ok: false, problem: expect.stringContaining(said) });
  });
});
