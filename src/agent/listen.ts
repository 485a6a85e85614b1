import type { Server } from 'node:http';
import { ExitCode, OmniError } from '../errors.ts';
import { messageOf } from './lock.ts';

/** Listens on `host:port`, IPv6 in brackets. Throws `<what>-unusable`, exit code 2. */
export async function listenTcp(
  server: Server,
  address: string,
  { what, fix }: { readonly what: 'metrics' | 'webhook'; readonly fix: string },
): Promise<void> {
  const unusable = (why: string, cause?: unknown): OmniError =>
    new OmniError(`${what === 'metrics' ? 'metrics' : 'the webhook'} cannot be served on ${address}: ${why}`, {
      code: `${what}-unusable`,
      class: 'stall',
      exitCode: ExitCode.usage,
      fix,
      cause,
    });
  const match = /^(?:\[([0-9A-Fa-f:.]+)\]|([^:\s]+)):([0-9]{1,5})$/.exec(address);
  const port = Number(match?.[3]);
  const host = match?.[1] ?? match?.[2];
  if (host === undefined || port > 65_535) throw unusable('it is not host:port');
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error) => reject(unusable(messageOf(error), error)));
    server.listen({ host, port }, resolve);
  });
}
