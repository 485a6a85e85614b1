import { request } from 'node:http';
import type { Host } from '../../lab/lab.ts';

/** All samples of the host's exposition, by `name{labels}` exactly as printed. */
export type Samples = ReadonlyMap<string, number>;

function parseExposition(text: string): Samples {
  const samples = new Map<string, number>();
  for (const line of text.split('\n')) {
    const match = /^([a-z_]+(?:\{[^}]*\})?) ([-+\d.eE]+|NaN|\+Inf)$/.exec(line);
    if (match?.[1] !== undefined && match[2] !== undefined) samples.set(match[1], Number(match[2]));
  }
  return samples;
}

/** Scrapes through the control socket, which is a file and so reachable from any network namespace. */
export function scrape(host: Host): Promise<Samples> {
  return new Promise((resolve, reject) => {
    const call = request({ socketPath: host.socket, path: '/metrics' }, (response) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.on('end', () => resolve(parseExposition(Buffer.concat(chunks).toString())));
    });
    call.on('error', reject);
    call.end();
  });
}

/** A sample that must be there. */
export function sample(samples: Samples, name: string): number {
  const value = samples.get(name);
  if (value === undefined) throw new Error(`no metric ${name}`);
  return value;
}

export const dropsBy = (samples: Samples, reason: string): number =>
  sample(samples, `omni_drops_total{reason="${reason}"}`);
