import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { clusterDocument, makeIdentity, robotDocuments } from '../../lab/fleet.ts';
import { type Host, Lab } from '../../lab/lab.ts';
import { ping } from '../../lab/ping.ts';
import { until } from '../../lab/shell.ts';

/** One that receives, and those that send to it: on a bridge, one receive queue each. */
export interface Fleet {
  readonly lab: Lab;
  readonly receiver: Host;
  readonly senders: readonly Host[];
}

const RECEIVER = 'r';
const SENDERS = ['a', 'b', 'c', 'd'];
export const RECEIVER_VIP = '10.77.0.1';

export async function openFleet(): Promise<Fleet> {
  const lab = await Lab.open({ name: 'omnic', hosts: [RECEIVER, ...SENDERS] });
  const fleet = { lab, receiver: lab.host(RECEIVER), senders: SENDERS.map((name) => lab.host(name)) };
  try {
    const folder = join(lab.folder, 'fleet');
    await mkdir(folder);
    await writeFile(join(folder, 'cluster.yaml'), clusterDocument({ name: 'cores', subnets: ['10.77.0.0/16'] }));
    for (const [at, host] of [fleet.receiver, ...fleet.senders].entries()) {
      await makeIdentity(host);
      await writeFile(join(folder, `${host.name}.yaml`), await robotDocuments(host, [`10.77.0.${at + 1}`], 'cores'));
      startAgent(fleet, host, 'auto');
    }
    for (const sender of fleet.senders) await reach(sender);
    return fleet;
  } catch (error) {
    await lab.close();
    throw error;
  }
}

function startAgent({ lab }: Fleet, host: Host, receiveCpus: 'auto' | 'none'): void {
  host.startAgent(['--source', join(lab.folder, 'fleet'), '--log-level', 'warn', '--receive-cpus', receiveCpus]);
}

/** The receiver's agent is started anew, and takes over what runs. */
export async function receiveOn(fleet: Fleet, receiveCpus: 'auto' | 'none'): Promise<void> {
  await fleet.receiver.stopAgent();
  startAgent(fleet, fleet.receiver, receiveCpus);
  await until('the receiver is ready', async () => (await fleet.receiver.omni(['status'])).status === 0, 30_000);
  for (const sender of fleet.senders) await reach(sender);
}

async function reach(sender: Host): Promise<void> {
  const answered = async () => (await ping(sender, RECEIVER_VIP, { waitS: 1 })).received === 1;
  await until(`${sender.name} reaches the receiver`, answered, 30_000);
}
