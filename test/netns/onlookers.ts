import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import type { Host } from '../../lab/lab.ts';
import { pingArguments } from '../../lab/ping.ts';
import { type Background, until } from '../../lab/shell.ts';

/**
 * A hundred pings a second, from the first answer until one that came after `lost` was asked for. Every sequence number
 * before the last answer counts; the one that is under way when ping is stopped does not.
 */
export async function watchPath(from: Host, address: string): Promise<{ lost(): Promise<number> }> {
  const traffic: Background = from.background(pingArguments(address, { count: 100_000, intervalS: 0.01, waitS: 1 }));
  const answers = () => [...traffic.text.matchAll(/icmp_seq=(\d+) ttl=/g)].map((match) => Number(match[1]));
  const answered = (more: number) => until(`${from.name} reaches ${address}`, () => answers().length > more);
  await answered(0);
  return {
    async lost() {
      await answered(answers().length);
      await traffic.stop('SIGINT');
      const heard = new Set(answers());
      return Math.max(...heard) - heard.size;
    },
  };
}

/** Most resident memory, MiB, of an agent and of any git that runs in its namespace. */
interface Peaks {
  readonly agent: number;
  readonly git: number;
}

const SAMPLE_MS = 20;

/** Looks at the agent and its children every 20 ms until `end`. The kernel keeps each one's peak (VmHWM, proc(5)). */
export function watchMemory(pid: number): { end(): Peaks } {
  const namespace = namespaceOf(pid);
  let git = 0;
  const look = () => {
    for (const name of readdirSync('/proc')) {
      if (!/^\d+$/.test(name) || !(textOf(`/proc/${name}/comm`) ?? '').startsWith('git')) continue;
      if (namespaceOf(name) === namespace) git = Math.max(git, peakMib(name));
    }
  };
  const timer = setInterval(look, SAMPLE_MS);
  return {
    end() {
      clearInterval(timer);
      return { agent: peakMib(pid), git };
    },
  };
}

function peakMib(pid: number | string): number {
  return Number(/^VmHWM:\s+(\d+) kB/m.exec(textOf(`/proc/${pid}/status`) ?? '')?.[1] ?? 0) / 1024;
}

function namespaceOf(pid: number | string): string | undefined {
  return ifThere(() => readlinkSync(`/proc/${pid}/ns/net`));
}

function textOf(path: string): string | undefined {
  return ifThere(() => readFileSync(path, 'utf8'));
}

/** A process may end between two looks. */
function ifThere<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch {
    return undefined;
  }
}
