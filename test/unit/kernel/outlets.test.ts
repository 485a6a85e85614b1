import { expect, test } from 'vitest';
import { Outlets } from '../../../src/dataplane/kernel/outlets.ts';

const [ETH0, WLAN0] = [2, 3];

test('an interface is routed through for as long as an endpoint is', () => {
  const outlets = new Outlets();
  outlets.route(1n, ETH0);
  outlets.route(2n, ETH0);
  outlets.route(2n, WLAN0);
  expect([...outlets.routed()]).toEqual([ETH0, WLAN0]);
  outlets.route(1n, undefined);
  expect([...outlets.routed()]).toEqual([WLAN0]);
});

test('what nobody used is not known to be idle', () => {
  expect(new Outlets().idleFor(ETH0, 5)).toBeUndefined();
});

test('it is idle from the loss of its last route on, however long it had one', () => {
  const outlets = new Outlets();
  outlets.settle(new Set([ETH0, WLAN0]), 1_000);
  outlets.settle(new Set([ETH0]), 900_000);
  expect(outlets.idleFor(WLAN0, 900_000)).toBe(0);
  outlets.settle(new Set([ETH0]), 950_000);
  expect(outlets.idleFor(WLAN0, 960_000)).toBe(60_000);
  expect(outlets.idleFor(ETH0, 960_000)).toBe(10_000);
});

test('what was tried was used then', () => {
  const outlets = new Outlets();
  outlets.use(WLAN0, 1_000);
  expect(outlets.idleFor(WLAN0, 1_250)).toBe(250);
});
