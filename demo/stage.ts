import { clusterDocument, type FleetRepository } from '../lab/fleet.ts';
import type { Lab } from '../lab/lab.ts';
import type { Background } from '../lab/shell.ts';

/** What the scenes play on. */
export interface Stage {
  readonly lab: Lab;
  readonly fleet: FleetRepository;
}

export const vip = (robot: string): string => `10.77.0.${robot.split('-')[1]}`;

/** The fleet's Cluster; new revisions have four seconds to prove themselves. `spec`: more lines below `spec:`. */
export const warehouse = (spec = ''): string =>
  clusterDocument({ subnets: ['10.77.0.0/16'], spec: `  probation: { confirmWithin: 4s }\n${spec}` });

/** Replies of a running `ping -D`, as seconds since the Unix epoch. */
export const replyTimes = (pinger: Background): number[] =>
  [...pinger.text.matchAll(/^\[([\d.]+)\] \d+ bytes from/gm)].map((match) => Number(match[1]));

export const epochSeconds = (): number => (performance.timeOrigin + performance.now()) / 1000;
