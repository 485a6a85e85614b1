import { mkdir, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { Host, Lab } from './lab.ts';
import { must, until } from './shell.ts';

/** The operator's side of a lab: a checkout of the fleet's repository, commits and pushes. */
export class FleetRepository {
  readonly url: string;
  readonly checkout: string;

  private constructor(url: string, checkout: string) {
    this.url = url;
    this.checkout = checkout;
  }

  static async create(lab: Lab, name = 'fleet'): Promise<FleetRepository> {
    const { url, bare } = await lab.serveGit(name);
    const checkout = join(lab.folder, 'operator', name);
    await mkdir(dirname(checkout), { recursive: true });
    await must(['git', 'clone', '--quiet', bare, checkout]);
    await mkdir(join(checkout, 'fleet'));
    return new FleetRepository(url, checkout);
  }

  git(...argv: string[]): Promise<string> {
    return must([
      'git',
      '-C',
      this.checkout,
      '-c',
      'user.name=operator',
      '-c',
      'user.email=operator@example.com',
      ...argv,
    ]);
  }

  /** Writes a file below `fleet/`. */
  write(name: string, text: string): Promise<void> {
    return writeFile(join(this.checkout, 'fleet', name), text);
  }
  remove(name: string): Promise<void> {
    return rm(join(this.checkout, 'fleet', name));
  }

  async commit(message: string): Promise<void> {
    await this.git('add', '-A');
    await this.git('commit', '--quiet', '-m', message);
  }
  async push(): Promise<void> {
    await this.git('push', '--quiet', 'origin', 'HEAD:main');
  }
  async commitAndPush(message: string): Promise<void> {
    await this.commit(message);
    await this.push();
  }
}

export interface ClusterOptions {
  readonly name?: string;
  readonly subnets?: readonly string[];
  /** More lines below `spec:`, indented by two. */
  readonly spec?: string;
}

export function clusterDocument(options: ClusterOptions = {}): string {
  const subnets = (options.subnets ?? ['10.77.0.0/16', 'fd77::/64']).map((subnet) => `"${subnet}"`).join(', ');
  const spec = options.spec === undefined ? '' : `${options.spec.trimEnd()}\n`;
  return `apiVersion: omni.io/v1alpha1\nkind: Cluster\nmetadata: { name: ${options.name ?? 'warehouse'} }\nspec:\n  subnets: [${subnets}]\n${spec}`;
}

/** Makes the robot's identity, by `omni init` on the robot. */
export function makeIdentity(host: Host): Promise<string> {
  return host.mustOmni(['init']);
}

/** The Peer and VIP documents of a robot that has an identity, as `omni init --existing` prints them on it. */
export function robotDocuments(host: Host, vips: readonly string[], cluster = 'warehouse'): Promise<string> {
  const endpoint = `${host.address}:51820`;
  const argv = ['--name', host.name, '--cluster', cluster, '--address', vips.join(','), '--endpoint', endpoint];
  return host.mustOmni(['init', '--existing', ...argv]);
}

/** Waits until the host's agent is Ready at the checkout's HEAD, or at any revision. */
export function ready(host: Host, timeoutMs = 30_000): Promise<unknown> {
  return until(
    `${host.name} is Ready`,
    async () => {
      if (host.agent?.running === false) throw new Error(`the agent of ${host.name} ended:\n${host.agent.text}`);
      return (await host.omni(['status'])).status === 0;
    },
    timeoutMs,
    50,
  );
}
