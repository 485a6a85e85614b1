import { mkdir, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { clusterDocument, makeIdentity, robotDocuments } from '../../../lab/fleet.ts';
import { type Host, Lab, omniBinary } from '../../../lab/lab.ts';
import type { AgentReport, CommandReport } from '../report.ts';

/** Ends an agent that did not refuse to start. */
const AGENT_LIFE_S = 90;

export async function runDoctor(): Promise<CommandReport> {
  const lab = await Lab.open({ name: 'okd', hosts: ['robot-1', 'robot-2'], direct: true });
  try {
    const host = lab.host('robot-1');
    return await host.omni(['doctor', '--underlay', 'eth0', '--bpffs', join(host.folder, 'bpf'), '--output', 'json']);
  } finally {
    await lab.close();
  }
}

/** `omni agent` with a fleet that has all an agent needs to make a link, and what the node was like before and after. */
export async function runAgent(): Promise<AgentReport> {
  const lab = await Lab.open({ name: 'oka', hosts: ['robot-1', 'robot-2'], direct: true });
  try {
    const host = lab.host('robot-1');
    const fleet = join(lab.folder, 'fleet');
    await mkdir(fleet);
    await makeIdentity(host);
    await writeFile(join(fleet, 'warehouse.yaml'), clusterDocument());
    await writeFile(join(fleet, 'robot-1.yaml'), await robotDocuments(host, ['10.77.0.1']));
    const before = await inventory(host);
    const argv = ['timeout', String(AGENT_LIFE_S), omniBinary, 'agent', ...host.agentArguments(), '--source', fleet];
    const agent = await host.exec(argv, { timeoutMs: 2_000 * AGENT_LIFE_S });
    const after = await inventory(host);
    return { ...agent, changed: [...before, ...after].filter((line) => before.has(line) !== after.has(line)) };
  } finally {
    await lab.close();
  }
}

/** What an agent makes on a node, a line each: links with their programs, addresses, routes, filters, pins, files. */
async function inventory(host: Host): Promise<ReadonlySet<string>> {
  const show = async (...argv: string[]) => (await host.must(['ip', '-o', ...argv])).split('\n');
  const files = await readdir(host.folder, { recursive: true });
  return new Set([
    ...(await show('link')),
    ...(await show('address')),
    ...(await show('route', 'show', 'table', 'all')),
    ...files,
  ]);
}
