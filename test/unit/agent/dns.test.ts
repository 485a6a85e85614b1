import { describe, expect, it } from 'vitest';
import { EndpointResolver } from '../../../src/agent/dns.ts';
import { ManualClock } from '../source/lab.ts';

/** A resolver over a table that the test edits; `settle` lets answers arrive. */
function setup(table: Map<string, readonly string[]>) {
  const clock = new ManualClock();
  const changes: string[] = [];
  const asked: string[] = [];
  let most = 0;
  let running = 0;
  const resolver = new EndpointResolver({
    lookup: async (host) => {
      asked.push(host);
      running += 1;
      most = Math.max(most, running);
      await Promise.resolve();
      running -= 1;
      const found = table.get(host);
      if (found === undefined) throw new Error('NXDOMAIN');
      return found;
    },
    random: () => 0.5,
    after: (delayMs, run) => clock.after(delayMs, run),
    onChange: (hosts) => changes.push(...hosts),
  });
  const settle = () => new Promise<void>((resolve) => setImmediate(resolve));
  return { clock, changes, asked, resolver, settle, most: () => most };
}

describe('EndpointResolver', () => {
  it('resolves names, prefers IPv4, never asks for literals', async () => {
    const { resolver, changes, asked, settle } = setup(new Map([['robot.lan', ['2001:db8::7', '192.0.2.7']]]));
    resolver.want(['robot.lan', '192.0.2.1', '2001:db8::1']);
    expect(resolver.resolve('robot.lan')).toBeUndefined();
    expect(resolver.resolve('192.0.2.1')).toBe('192.0.2.1');
    await settle();
    expect(resolver.resolve('robot.lan')).toBe('192.0.2.7');
    expect(changes).toEqual(['robot.lan']);
    expect(asked).toEqual(['robot.lan']);
    resolver.stop();
  });

  it('asks again each minute, tells of a change only, and keeps an address while the name is away', async () => {
    const table = new Map([['robot.lan', ['192.0.2.7']]]);
    const { clock, resolver, changes, asked, settle } = setup(table);
    resolver.want(['robot.lan']);
    await settle();
    clock.advance(60_000);
    await settle();
    expect(asked).toHaveLength(2);
    expect(changes).toHaveLength(1);
    table.delete('robot.lan');
    clock.advance(60_000);
    await settle();
    expect(resolver.resolve('robot.lan')).toBe('192.0.2.7');
    table.set('robot.lan', ['192.0.2.8']);
    clock.advance(2_000); // sooner after a failure
    await settle();
    expect(resolver.resolve('robot.lan')).toBe('192.0.2.8');
    expect(changes).toHaveLength(2);
    resolver.stop();
  });

  it('backs off from a name that does not resolve, up to a minute', async () => {
    const { clock, resolver, asked, settle } = setup(new Map());
    resolver.want(['nowhere.lan']);
    for (let second = 0; second < 600; second += 1) {
      await settle();
      clock.advance(1_000);
    }
    expect(asked.length).toBeGreaterThan(10);
    expect(asked.length).toBeLessThan(20);
    resolver.stop();
  });

  it('forgets what is not wanted any more, and asks two at a time', async () => {
    const names = Array.from({ length: 20 }, (_, index) => `r${index}.lan`);
    const { clock, resolver, asked, settle, most } = setup(new Map(names.map((name) => [name, ['192.0.2.1']])));
    resolver.want(names);
    await settle();
    expect(asked).toHaveLength(20);
    expect(most()).toBe(2);
    resolver.want(['r0.lan']);
    expect(resolver.resolve('r1.lan')).toBeUndefined();
    clock.advance(60_000);
    await settle();
    expect(asked).toHaveLength(21);
    resolver.stop();
    clock.advance(600_000);
    await settle();
    expect(asked).toHaveLength(21);
  });
});
