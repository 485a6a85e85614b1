import { join } from 'node:path';
import { type Host, omniBinary } from '../lab/lab.ts';
import { parsePing, pingArguments } from '../lab/ping.ts';
import { type Background, must, until } from '../lab/shell.ts';
import type { Progress } from './progress.ts';
import { epochSeconds, type Stage, vip, warehouse } from './stage.ts';

/** 1,490 bytes of a frame, and what sealing adds, are more than the underlay's 1,500. */
const TOO_LARGE_MTU = 1490;
/** IPv4 and ICMP, bytes. */
const PING_HEADERS = 28;
const NEW_ADDRESS = '10.77.0.22';
const VERDICT_TIMEOUT_MS = 20_000;

/**
 * A commit that is valid, that `omni diff` sees nothing wrong with, and that the robots take back by themselves, while a
 * ping goes on between them; then one that is good.
 */
export class BadCommit {
  readonly #stage: Stage;
  readonly #progress: Progress;
  readonly #host: Host;
  #traffic: Background | undefined;

  constructor(stage: Stage, progress: Progress) {
    this.#stage = stage;
    this.#progress = progress;
    this.#host = stage.lab.host('robot-1');
  }

  async isTakenBack(): Promise<string> {
    const { fleet } = this.#stage;
    const before = await this.#mtu();
    // The largest packets that fit: what worked before is not to notice.
    const ping = pingArguments(vip('robot-2'), { count: 100_000, intervalS: 0.01, size: before - PING_HEADERS });
    this.#traffic = this.#host.background(ping);
    await fleet.write('warehouse.yaml', warehouse(`  mtu: ${TOO_LARGE_MTU}\n`));
    await fleet.commit(`fleet: an MTU of ${TOO_LARGE_MTU}`);
    this.#quote(
      'git show --format= -U0 | tail -1',
      (await fleet.git('show', '--format=', '-U0')).trimEnd().split('\n').at(-1),
    );
    this.#quote('omni validate -f fleet', await must([omniBinary, 'validate', '-f', join(fleet.checkout, 'fleet')]));

    const pushed = epochSeconds();
    await fleet.push();
    const bad = (await fleet.git('rev-parse', 'HEAD')).trim();
    const verdict = this.#wait(bad);
    const trial = await until('the commit is on trial', () => this.#statusLine(/^On trial: .*$/m));
    const during = await until('omni0 has the MTU of the commit', async () => {
      const mtu = await this.#mtu();
      return mtu === TOO_LARGE_MTU ? mtu : undefined;
    });
    this.#quote('omni status', trial);
    const { status, stderr } = await verdict;
    const seconds = epochSeconds() - pushed;
    if (status !== 5) throw new Error(`omni wait exited ${status} instead of 5: ${stderr}`);
    this.#quote(`omni wait --for=revision=${bad.slice(0, 8)}; echo $?`, `${stderr.trimEnd()}\n${status}`);
    this.#quote('omni history', (await this.#host.mustOmni(['history'])).split('\n').slice(0, 3).join('\n'));
    const after = await this.#mtu();
    if (during !== TOO_LARGE_MTU || after !== before) throw new Error(`MTUs ${before}, ${during}, ${after}`);
    return `rolled back ${seconds.toFixed(1)} s after git push, by the robots alone: omni0's MTU ${before} → ${during} → ${after}`;
  }

  async isFollowedByAGoodOne(): Promise<string> {
    const { fleet } = this.#stage;
    await fleet.write('warehouse.yaml', warehouse());
    await fleet.write(
      'robot-2-tool.yaml',
      `apiVersion: omni.io/v1alpha1\nkind: VIP\nmetadata: { name: robot-2-tool }\nspec: { cluster: warehouse, address: ${NEW_ADDRESS}, peer: robot-2 }\n`,
    );
    await fleet.commit('fleet: the MTU as it was; an address for the tool of robot-2');
    const pushed = epochSeconds();
    await fleet.push();
    const good = (await fleet.git('rev-parse', 'HEAD')).trim();
    const { status, stderr } = await this.#wait(good);
    if (status !== 0) throw new Error(`omni wait exited ${status}: ${stderr}`);
    const seconds = epochSeconds() - pushed;
    const why = (await this.#host.mustOmni(['why', NEW_ADDRESS])).split('\n');
    const declared = why.findIndex((line) => line.includes('robot-2-tool.yaml:'));
    // Its place, and below it the commit.
    this.#quote(`omni why ${NEW_ADDRESS}`, why.slice(declared, declared + 2).join('\n'));
    const { sent, received } = await this.#endTraffic();
    if (received !== sent) throw new Error(`${sent - received} of ${sent} pings between the robots were lost`);
    return `trusted ${seconds.toFixed(1)} s after git push; robot-1 pinged robot-2 all along, full-size: ${sent} sent, ${sent - received} lost`;
  }

  async end(): Promise<void> {
    await this.#traffic?.stop('SIGINT');
  }

  #quote(command: string, output = ''): void {
    this.#progress.quote(`$ ${command}\n${output}`);
  }

  async #endTraffic(): Promise<{ readonly sent: number; readonly received: number }> {
    const traffic = this.#traffic;
    if (traffic === undefined) throw new Error('no ping was started');
    await traffic.stop('SIGINT');
    const report = parsePing(traffic.text);
    if (report.sent === 0) throw new Error(`ping did not report: ${traffic.text.slice(-300)}`);
    return report;
  }

  #wait(revision: string): ReturnType<Host['omni']> {
    return this.#host.omni(['wait', `--for=revision=${revision}`, '--timeout', '20s'], {
      timeoutMs: VERDICT_TIMEOUT_MS + 5_000,
    });
  }

  async #statusLine(pattern: RegExp): Promise<string | undefined> {
    return pattern.exec((await this.#host.omni(['status'])).stdout)?.[0];
  }

  async #mtu(): Promise<number> {
    const text = await this.#host.must(['ip', 'link', 'show', 'omni0']);
    return Number(/ mtu (\d+)/.exec(text)?.[1]);
  }
}
