import { resolve } from 'node:path';
import type { Command } from 'commander';
import { type AgentClient, connectAgent } from '../agent/client.ts';
import type { Io } from './io.ts';
import { durationFlag, socketFlag } from './options.ts';
import { namesFrom, type PeerNames } from './views/changes.ts';
import { nameOf, type ObjectView } from './views/objects.ts';

export interface AgentOptions {
  readonly socket: string;
  readonly timeout: number;
}

/** What every verb that asks the agent takes. */
export function addAgentFlags(command: Command, timeoutText: '2s' | '10s' | '5m'): Command {
  return command
    .addOption(socketFlag())
    .addOption(durationFlag('--timeout <duration>', 'how long to wait for the agent', timeoutText));
}

export interface AgentRequest {
  readonly io: Io;
  readonly options: AgentOptions;
}

export function agentSocket({ io, options }: AgentRequest): string {
  return resolve(io.cwd, options.socket);
}

export function connect({ io, options }: AgentRequest): AgentClient {
  return connectAgent({ socket: agentSocket({ io, options }), timeoutMs: options.timeout, signal: io.signal });
}

/** Names that the agent knows of keys and MACs, and those of peers that are no objects of its yet, by public key. */
export function peerNames(objects: readonly ObjectView[], others: Readonly<Record<string, string>> = {}): PeerNames {
  const byKey = new Map(Object.entries(others));
  for (const { object, detail } of objects) {
    if (!object.startsWith('peer/')) continue;
    for (const key of [detail.publicKey, detail.nextPublicKey]) if (key !== undefined) byKey.set(key, nameOf(object));
  }
  return namesFrom(byKey);
}
