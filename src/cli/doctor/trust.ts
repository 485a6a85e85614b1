import { join } from 'node:path';
import type { AgentSettings } from '../../agent/config-settings.ts';
import { ManifestsRefused } from '../../agent/refused.ts';
import { isLoopback } from '../../agent/webhook.ts';
import { OmniError } from '../../errors.ts';
import { renderDiagnostic } from '../../manifest/diagnostic.ts';
import { isUnauthenticated } from '../../source/git-remotes.ts';
import { type Finding, failure, ok, unknown, warning } from './finding.ts';
import type { AgentFacts, Host } from './host.ts';

export interface TrustQuestion {
  /** Of the agent's configuration; absent is fine. */
  readonly config: string;
  /** The agent that runs: what it follows is what counts. */
  readonly agent: AgentFacts | undefined;
}

/** Who can tell this node what to do, and what stands between git and the node's key. */
export async function trustFindings(host: Host, question: TrustQuestion): Promise<readonly Finding[]> {
  return [await sandboxFinding(host), ...(await configFindings(host, question))];
}

async function sandboxFinding(host: Host): Promise<Finding> {
  try {
    if (await host.sandboxHidesFiles())
      return ok('sandbox', "git runs in a sandbox that keeps this node's keys from it");
  } catch (error) {
    if (!(error instanceof OmniError)) throw error;
    return failure('sandbox', error.message, error.fix ?? 'Run `npm run build`.');
  }
  return warning(
    'sandbox',
    "the kernel has no Landlock: git, which reads what strangers send, could read this node's key",
    'Boot Linux 5.13 or later with CONFIG_SECURITY_LANDLOCK, and landlock in its lsm= list.',
  );
}

async function configFindings(host: Host, { config, agent }: TrustQuestion): Promise<readonly Finding[]> {
  let settings: AgentSettings;
  try {
    settings = await host.settings(config);
  } catch (error) {
    if (!(error instanceof OmniError)) throw error;
    return [...sourceWarnings(agent?.sourceWarnings ?? []), configFinding(host, error)];
  }
  const { webhook } = settings;
  return [
    ...(agent === undefined ? await sourceFindings(host, settings) : sourceWarnings(agent.sourceWarnings)),
    ...(webhook === undefined || isLoopback(webhook.listen)
      ? []
      : [
          warning(
            'webhook',
            `the webhook listens on ${webhook.listen}, plain HTTP: who is on the path reads GitLab's token`,
            'Listen on 127.0.0.1, behind a proxy that does TLS, unless nobody else is on that network.',
          ),
        ]),
  ];
}

function configFinding(host: Host, error: OmniError): Finding {
  const [first] = error instanceof ManifestsRefused ? error.diagnostics : [];
  const message = first === undefined ? error.message : `${error.message}: ${renderDiagnostic(first).split('\n')[0]}`;
  const fix = error.fix ?? 'Mend the file.';
  if (/EACCES/.test(error.message) && !host.isRoot) return unknown('config', message, 'Run `sudo omni doctor`.');
  return failure('config', message, fix);
}

function sourceWarnings(warnings: readonly string[]): readonly Finding[] {
  const fix = 'Use https or ssh, or signatures (spec.source.verify); of a folder take the right to write from others.';
  return warnings.map((text) => warning('source', text, fix));
}

/** Of a configuration that no agent runs with yet. */
async function sourceFindings(host: Host, settings: AgentSettings): Promise<readonly Finding[]> {
  const { source, verify, insecureSource, path = '' } = settings;
  if (source?.kind === 'directory') {
    const exposure = await host.exposureOf(join(source.path, path));
    return exposure === undefined ? [] : sourceWarnings([`the source can be changed by others: ${exposure}`]);
  }
  if (source === undefined || (verify !== undefined && (verify.commits !== 'off' || verify.tag))) return [];
  const open = source.remotes.filter(({ url }) => isUnauthenticated(url));
  const messages = open.map(({ url }) => `${url} is followed without authentication: whoever is on the path decides`);
  if (insecureSource === true) return sourceWarnings(messages);
  return messages.map((message) =>
    failure(
      'source',
      `${message}. The agent refuses to start with it`,
      'Use https or ssh, or ask for signatures (spec.source.verify), or say spec.source.insecure: true.',
    ),
  );
}
