import type { Host } from './lab.ts';

/** Datagrams of a host's UDP sockets so far. What the data path seals and opens is not among them: no socket sees it. */
export interface UdpCounters {
  /** For a socket: taken, or lost for want of room in it. */
  readonly received: number;
  /** For a port that nobody has. */
  readonly noPort: number;
  readonly sent: number;
}

/** From the Udp lines (IPv4) of the namespace's /proc/net/snmp. */
export async function udpCounters(host: Host): Promise<UdpCounters> {
  const lines = (await host.must(['cat', '/proc/net/snmp'])).split('\n').filter((line) => line.startsWith('Udp: '));
  const [names = [], values = []] = lines.map((line) => line.split(' '));
  const count = (name: string) => Number(values[names.indexOf(name)]);
  return { received: count('InDatagrams') + count('InErrors'), noPort: count('NoPorts'), sent: count('OutDatagrams') };
}
