import { resolve } from 'node:path';
import { Command, InvalidArgumentError } from 'commander';
import { ExitCode } from '../../errors.ts';
import type { Finding } from '../doctor/finding.ts';
import { type Host, thisHost } from '../doctor/host.ts';
import { kernelFindings } from '../doctor/kernel.ts';
import { machineFindings } from '../doctor/machine.ts';
import { networkFindings } from '../doctor/network.ts';
import { trustFindings } from '../doctor/trust.ts';
import { addIdentityFlags, Flag, type IdentityOptions, identityPath, outputFlag, socketFlag } from '../options.ts';
import type { OutputFormat, Printer } from '../output.ts';
import type { Style, Tone } from '../style.ts';
import { plural, wrap } from '../text.ts';
import { type Cli, handleVerb } from '../verb.ts';

interface DoctorOptions extends IdentityOptions {
  readonly output: Extract<OutputFormat, 'table' | 'json' | 'yaml'>;
  readonly config: string;
  readonly bpffs: string;
  readonly underlay?: string;
  readonly port: number;
  readonly socket: string;
}

export function doctorCommand(cli: Cli, host: () => Host = thisHost): Command {
  const command = new Command('doctor')
    .summary('Check this machine and its kernel')
    .description(
      'Says what this machine and its kernel can and cannot do for an agent, and what to do about it. Needs no root, but sees more with it.',
    );
  command
    .addOption(
      new Flag('--config <file>', "the agent's configuration", { default: '/etc/omni/agent.yaml', completes: 'path' }),
    )
    .addOption(
      new Flag('--bpffs <dir>', 'where the agent pins maps and programs', {
        default: '/sys/fs/bpf',
        completes: 'directory',
      }),
    )
    .addOption(new Flag('--underlay <interfaces>', 'comma-separated; default: those with a default route'))
    .addOption(new Flag('--port <port>', "the cluster's UDP port", { default: 51820, parse: parsePort }));
  addIdentityFlags(command)
    .addOption(socketFlag())
    .addOption(outputFlag(['table', 'json', 'yaml']));
  return handleVerb<DoctorOptions>(cli, command, async ({ io, options, out }) => {
    const findings = await examine(host(), options, { cwd: io.cwd, nowMs: io.now() });
    const failed = findings.some(({ status }) => status === 'failure');
    if (options.output === 'table') writeFindings(out, findings);
    else out.document(options.output, 'DoctorReport', { healthy: !failed, findings });
    return failed ? ExitCode.failed : ExitCode.ok;
  });
}

async function examine(
  host: Host,
  options: DoctorOptions,
  { cwd, nowMs }: { readonly cwd: string; readonly nowMs: number },
): Promise<readonly Finding[]> {
  const agent = await host.agentAt(resolve(cwd, options.socket));
  const underlay = options.underlay?.split(',').map((name) => name.trim());
  const stateDir = resolve(cwd, options.stateDir);
  const identity = resolve(cwd, identityPath(options));
  const [machine, kernel, network, trust] = await Promise.all([
    machineFindings(host, { stateDir, identity, nowMs }),
    kernelFindings(host, resolve(cwd, options.bpffs)),
    networkFindings(host, { underlay, port: options.port, agentPid: agent?.pid }),
    trustFindings(host, { config: resolve(cwd, options.config), agent }),
  ]);
  return [...kernel, ...network, ...machine, ...trust];
}

const INDENT = 4;
const LINE = 80;

function writeFindings(out: Printer, findings: readonly Finding[]): void {
  const { style } = out;
  const room = Math.max(40, (out.width ?? LINE) - INDENT);
  for (const { status, message, fix } of findings) {
    const lines = wrap(message, room);
    out.write(`${mark(status, style)} ${lines.join(`\n  `)}\n`);
    if (fix !== undefined) out.write(`    fix: ${wrap(fix, room - 5).join('\n         ')}\n`);
  }
  out.write(`\n${verdict(findings)}\n`);
}

function mark(status: Finding['status'], style: Style): string {
  const { ok, warn, fail } = style.symbols;
  const marks: Readonly<Record<Finding['status'], readonly [Tone, string]>> = {
    ok: ['good', ok],
    warning: ['warn', warn],
    failure: ['bad', fail],
    unknown: ['dim', '?'],
  };
  return style.paint(...marks[status]);
}

function verdict(findings: readonly Finding[]): string {
  const count = (status: Finding['status']): number => findings.filter((finding) => finding.status === status).length;
  const failures = count('failure');
  const parts = [
    failures === 0 ? 'Nothing stands in the way' : `${plural(failures, 'thing stands', 'things stand')} in the way`,
    ...(count('warning') > 0 ? [plural(count('warning'), 'warning')] : []),
    ...(count('unknown') > 0 ? [`${count('unknown')} not checked`] : []),
  ];
  return `${parts.join(', ')}.`;
}

function parsePort(text: string): number {
  const port = Number(text);
  if (!/^[1-9]\d{0,4}$/.test(text) || port > 65_535)
    throw new InvalidArgumentError('A port is a number from 1 to 65535.');
  return port;
}
