import { execFile } from 'node:child_process';
import type { IpAddress } from '../../manifest/model.ts';
import { Unmet } from './unmet.ts';

export interface PingProbe {
  readonly address: IpAddress;
  readonly timeoutMs: number;
}

/** `ping`'s exit status for "no reply"; every other one is a usage or system error. */
const NO_REPLY = 1;

/** One ICMP or ICMPv6 echo request by the system's `ping`, which may send them without being root. */
export function probePing({ address, timeoutMs }: PingProbe, signal: AbortSignal, program = 'ping'): Promise<void> {
  const seconds = String(Math.max(1, Math.ceil(timeoutMs / 1_000)));
  const parameters = ['-n', '-c', '1', '-W', seconds, address];
  return new Promise((resolve, reject) => {
    execFile(program, parameters, { signal, killSignal: 'SIGKILL' }, (error, _stdout, stderr) => {
      if (error === null) resolve();
      else if (error.code === 'ENOENT') reject(new Unmet('there is no program `ping` here: install iputils-ping'));
      else if (error.code === NO_REPLY) reject(new Unmet(`${address} does not answer to ping`));
      else reject(signal.aborted ? error : new Unmet(`ping failed: ${stderr.trim().split('\n')[0] || error.message}`));
    });
  });
}
