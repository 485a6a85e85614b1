import { describe, expect, it } from 'vitest';
import { Causes } from '../../../src/dataplane/kernel/causes.ts';
import type { LinkNotification } from '../../../src/dataplane/kernel/native.ts';
import { pidOfPort, programOf } from '../../../src/dataplane/kernel/process.ts';
import { addressProtocol, parseNames, routeProtocol } from '../../../src/dataplane/kernel/protocols.ts';
import type { RowKey } from '../../../src/reconcile/rows.ts';

const OURS = 111;
const OWN_PID = 100;
const PROGRAMS: Readonly<Record<number, string>> = { 42: 'ip', 43: 'bird' };
const address = 'address/omni0/10.77.0.1' as RowKey;
const address6 = 'address/omni0/fd77::1' as RowKey;
const route = 'route/omni0/10.77.0.0/16' as RowKey;
const link = 'link/omni0' as RowKey;

function said(about: Partial<LinkNotification>): LinkNotification {
  return { type: 'address', deleted: true, ifindex: 2, object: '10.77.0.1', protocol: OURS, port: 42, ...about };
}

const routed = (about: Partial<LinkNotification>) => said({ type: 'route', object: '10.77.0.0/16', ...about });

/** Who it was, by what was said; `there`: the rows that are there now. */
function causesOf(notifications: readonly LinkNotification[], keys: readonly RowKey[], there: readonly RowKey[] = []) {
  const causes = new Causes(OWN_PID, (pid) => PROGRAMS[pid]);
  for (const notification of notifications) causes.note(notification, ['omni0']);
  return Object.fromEntries(causes.take(keys, (key) => there.includes(key)));
}

describe('who changed a row', () => {
  it('is the process whose port the notification carries, by name while it is there', () => {
    expect(causesOf([said({})], [address])).toEqual({ [address]: { pid: 42, program: 'ip' } });
    expect(causesOf([said({ port: 44 })], [address])).toEqual({ [address]: { pid: 44 } });
    expect(causesOf([said({ object: 'fd77:0::1' })], [address6])).toEqual({ [address6]: { pid: 42, program: 'ip' } });
  });

  it('is nobody known where the kernel did it or does not tell, this node did, or the port is no process', () => {
    for (const port of [0, OWN_PID, 2_806_066_219]) expect(causesOf([said({ port })], [address])).toEqual({});
    expect(causesOf([said({ type: 'overrun', object: '' })], [address])).toEqual({});
    expect(causesOf([], [link])).toEqual({});
  });

  it('is the one who took it away, though it was put back and forth', () => {
    const again = said({ deleted: false, port: 0 });
    expect(causesOf([said({}), again], [address])).toEqual({ [address]: { pid: 42, program: 'ip' } });
    expect(causesOf([said({ deleted: false, port: 43 }), said({})], [address], [address])).toEqual({
      [address]: { pid: 43, program: 'bird' },
    });
  });

  it('is the one who put another in its place, with the protocol that the other has', () => {
    expect(causesOf([routed({ deleted: false, protocol: 12, port: 43 })], [route])).toEqual({
      [route]: { pid: 43, program: 'bird', protocol: 'bird' },
    });
    expect(causesOf([routed({ deleted: false, protocol: 16, port: 3_000_000_000 })], [route])).toEqual({
      [route]: { protocol: 'dhcp' },
    });
    // What goes has the protocol that we gave it.
    expect(causesOf([routed({ protocol: 12 })], [route])).toEqual({ [route]: { pid: 42, program: 'ip' } });
  });

  it('of a route that the kernel dropped is the one who took its address or its link', () => {
    expect(causesOf([said({})], [address, route])).toEqual({
      [address]: { pid: 42, program: 'ip' },
      [route]: { pid: 42, program: 'ip' },
    });
    const filter = said({ type: 'filter', object: '', port: 43 });
    expect(causesOf([filter], [link, route], [link])).toEqual({
      [link]: { pid: 43, program: 'bird' },
      [route]: { pid: 43, program: 'bird' },
    });
    // Not of one that is there, and not of another address.
    expect(causesOf([said({})], [address6, route], [route])).toEqual({});
  });

  it('is forgotten with the look that it was noted for, and bounded', () => {
    let asked = 0;
    const causes = new Causes(OWN_PID, () => {
      asked++;
      return 'storm';
    });
    for (let i = 0; i < 10_000; i++) {
      causes.note(said({ object: `10.${i >> 16}.${(i >> 8) & 255}.${i & 255}`, port: 1 + (i % 3) }), ['omni0']);
    }
    expect(asked).toBe(3);
    const all = Array.from({ length: 10_000 }, (_, i) => `address/omni0/10.0.${(i >> 8) & 255}.${i & 255}` as RowKey);
    expect(causes.take(all, () => false).size).toBe(256);
    expect(causes.take(all, () => false).size).toBe(0);
  });
});

describe('a process behind a netlink port', () => {
  it('is looked for only where the number can be one', () => {
    expect([0, 1, 4_194_303, 4_194_304, 2 ** 32 - 1].map(pidOfPort)).toEqual([
      undefined,
      1,
      4_194_303,
      undefined,
      undefined,
    ]);
  });

  it('is not named where the process of that number has no such socket, or is gone', () => {
    expect(programOf(process.pid)).toBeUndefined();
    expect(programOf(4_194_303)).toBeUndefined();
  });
});

describe('protocols', () => {
  it('have the names that ip(8) prints, and a number where there is none', () => {
    expect([2, 3, 4, 12, 16, 186].map(routeProtocol)).toEqual(['kernel', 'boot', 'static', 'bird', 'dhcp', 'bgp']);
    expect(routeProtocol(253)).toBe('253');
    expect(addressProtocol(2)).toBe('kernel_ra');
    expect(addressProtocol(253)).toBe('253');
  });

  it('are read from files as iproute2 has them', () => {
    expect(parseNames('# comment\n4\tstatic\n 0x10 dhcp # x\n\nrubbish\n#5 no\n99')).toEqual([
      [4, 'static'],
      [16, 'dhcp'],
    ]);
  });
});
