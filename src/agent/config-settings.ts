import agentConfig from '../../schema/agent-config.json' with { type: 'json' };
import { OmniError } from '../errors.ts';
import { Findings } from '../manifest/findings.ts';
import type { AgentConfigDocument } from '../manifest/generated.ts';
import type { Diagnostic } from '../manifest/model.ts';
import { durationMs } from '../manifest/values.ts';
import { parsePruneLimit } from '../reconcile/guards.ts';
import { parseRemote } from '../source/git-remotes.ts';
import type { VerifyOptions } from '../source/git-verify.ts';
import { checkPath, checkRef } from '../source/url.ts';
import type { BusyHook } from './busy.ts';
import type { AgentConfig, SourceConfig } from './config.ts';
import { placed, readDocument } from './config-document.ts';
import { parseReceiveCpus } from './receive-cpus.ts';
import { isTimeZone, type Window } from './windows.ts';

/** What a configuration file says; what it does not say is absent. */
export type AgentSettings = Partial<
  Omit<AgentConfig, 'objects' | 'sandbox' | 'teardown' | 'version' | 'limits' | 'writeLog'>
>;

export type AgentSettingsResult =
  | { readonly ok: true; readonly settings: AgentSettings }
  | { readonly ok: false; readonly diagnostics: readonly Diagnostic[] };

type Spec = AgentConfigDocument['spec'];
type SourceSpec = NonNullable<Spec['source']>;
type RolloutSpec = NonNullable<Spec['rollout']>;

const { rollout, source } = agentConfig.properties.spec.properties;
const webhookDefaults = source.properties.webhook.properties;
const windowDefaults = rollout.properties.windows.items.properties;
const busyDefaults = rollout.properties.busy.properties;
/** As `Date` counts them. */
const DAYS = ['Sun', 'Mon', 'Tue', 'Wed', 'Thu', 'Fri', 'Sat'];

/** Reads an AgentConfig; all that is wrong with it at once. `file` is what diagnostics call it. Never throws. */
export function readSettings(bytes: Uint8Array, file: string): AgentSettingsResult {
  const read = readDocument(bytes);
  if (!read.ok) return { ok: false, diagnostics: placed(read.findings, file) };
  const findings = new Findings(read.at);
  const { source = {}, rollout: gates = {}, node = {}, control = {}, log = {} } = read.document.spec;
  const settings: AgentSettings = {
    ...sourceSettings(findings, source),
    ...rolloutSettings(findings, gates),
    ...given('underlay', node.underlay),
    ...given('xdpMode', node.xdpMode),
    ...given('receiveCpus', node.receiveCpus === undefined ? undefined : parseReceiveCpus(String(node.receiveCpus))),
    ...given('identity', node.identity),
    ...given('pskFile', node.pskFile),
    ...given('stateDir', node.stateDir),
    ...given('bpffs', node.bpffs),
    ...given('socket', control.socket),
    ...given('metrics', control.metrics),
    ...given('logFormat', log.format),
    ...given('logLevel', log.level),
  };
  return findings.all.length === 0 ? { ok: true, settings } : { ok: false, diagnostics: placed(findings.all, file) };
}

/** To be spread: `{}` where there is no value. */
function given<K extends keyof AgentSettings>(key: K, value: AgentSettings[K]): AgentSettings {
  const settings: { -readonly [N in keyof AgentSettings]: AgentSettings[N] } = {};
  if (value !== undefined) settings[key] = value;
  return settings;
}

// --- source ------------------------------------------------------------------------------------------------------

const SOURCE = '/spec/source';

function sourceSettings(findings: Findings, spec: SourceSpec): AgentSettings {
  const { ref, path, interval, verify, webhook } = spec;
  const source = sourceOf(findings, spec);
  if (ref !== undefined) checked(findings, `${SOURCE}/ref`, 'source-invalid', () => checkRef(ref));
  if (path !== undefined) checked(findings, `${SOURCE}/path`, 'source-invalid', () => checkPath(path));
  if (source?.kind === 'directory') {
    if (asksForSignatures(verify)) findings.add(`${SOURCE}/verify`, 'verify-directory', {});
    if (webhook !== undefined) findings.add(`${SOURCE}/webhook`, 'webhook-directory', {});
  }
  return {
    ...given('source', source),
    ...given('ref', ref),
    ...given('path', path),
    ...(interval === undefined ? {} : { intervalMs: durationMs(interval) }),
    ...(verify === undefined ? {} : { verify: verifyOf(findings, verify) }),
    ...given('insecureSource', spec.insecure),
    ...given('webhook', webhook && { ...webhook, listen: webhook.listen ?? webhookDefaults.listen.default }),
  };
}

function sourceOf(findings: Findings, { remotes, directory }: SourceSpec): SourceConfig | undefined {
  if (remotes !== undefined && directory !== undefined) {
    const advice = 'Remove `directory` to follow git, or `remotes` to follow the folder.';
    findings.add(SOURCE, 'config-either', {
      where: 'spec.source',
      count: 2,
      choices: '`remotes` and `directory`',
      advice,
    });
  }
  const urls = remotes?.map(({ url }) => url) ?? [];
  for (const [at, remote] of (remotes ?? []).entries()) {
    const here = `${SOURCE}/remotes/${at}`;
    checked(findings, here, 'remote-invalid', () => parseRemote(remote));
    const first = urls.indexOf(remote.url);
    if (first < at) findings.add(here, 'remote-duplicate', {}, `${SOURCE}/remotes/${first}`);
  }
  if (remotes !== undefined) return { kind: 'git', remotes };
  return directory === undefined ? undefined : { kind: 'directory', path: directory };
}

/** What a check of the source's throws is a finding here. */
function checked(
  findings: Findings,
  path: string,
  rule: 'remote-invalid' | 'source-invalid',
  check: () => unknown,
): void {
  try {
    check();
  } catch (error) {
    if (!(error instanceof OmniError)) throw error;
    findings.add(path, rule, { problem: error.message, advice: error.fix ?? '' });
  }
}

type VerifySpec = NonNullable<SourceSpec['verify']>;

function asksForSignatures(verify: VerifySpec | undefined): boolean {
  return verify !== undefined && ((verify.commits ?? 'off') !== 'off' || verify.tag === true);
}

function verifyOf(findings: Findings, verify: VerifySpec): VerifyOptions {
  const here = `${SOURCE}/verify`;
  const keys = verify.allowedSignersFile ?? verify.openpgpKeysFile;
  const asked = asksForSignatures(verify);
  if (asked && keys === undefined) findings.add(here, 'verify-keys', {});
  if (!asked && (keys ?? verify.revokedKeysFile) !== undefined) findings.add(here, 'verify-off', {});
  return { ...verify, commits: verify.commits ?? 'off', tag: verify.tag ?? false };
}

// --- rollout -----------------------------------------------------------------------------------------------------

const ROLLOUT = '/spec/rollout';

function rolloutSettings(findings: Findings, { pruneLimit, windows, busy }: RolloutSpec): AgentSettings {
  return {
    ...(pruneLimit === undefined ? {} : { pruneLimit: parsePruneLimit(String(pruneLimit)) }),
    ...given(
      'windows',
      windows?.map((window, at) => windowOf(findings, window, `${ROLLOUT}/windows/${at}`)),
    ),
    ...given('busy', busy === undefined ? undefined : busyOf(findings, busy)),
  };
}

type WindowSpec = NonNullable<RolloutSpec['windows']>[number];

function windowOf(findings: Findings, spec: WindowSpec, path: string): Window {
  const timeZone = spec.timeZone ?? windowDefaults.timeZone.default;
  if (!isTimeZone(timeZone)) findings.add(`${path}/timeZone`, 'time-zone-unknown', { value: timeZone });
  if (spec.from === spec.to) findings.add(`${path}/to`, 'window-empty', { time: spec.to });
  const days = spec.days?.map((day) => DAYS.indexOf(day));
  return { from: minutesOf(spec.from), to: minutesOf(spec.to), timeZone, ...(days === undefined ? {} : { days }) };
}

/** Since midnight. `text` went through the schema: `22:00`. */
function minutesOf(text: string): number {
  const [hours = 0, minutes = 0] = text.split(':').map(Number);
  return hours * 60 + minutes;
}

type BusySpec = NonNullable<RolloutSpec['busy']>;

function busyOf(findings: Findings, spec: BusySpec): BusyHook | undefined {
  const { command, socket } = spec;
  const here = `${ROLLOUT}/busy`;
  const common = {
    timeoutMs: durationMs(spec.timeout ?? busyDefaults.timeout.default),
    onError: spec.onError ?? (busyDefaults.onError.default === 'free' ? 'free' : 'busy'),
  } as const;
  const [program] = command ?? [];
  if (program !== undefined && !program.startsWith('/')) {
    findings.add(`${here}/command/0`, 'path-not-absolute', { where: 'spec.rollout.busy.command[0]' });
  }
  if ((command === undefined) === (socket === undefined)) {
    const count = command === undefined ? 0 : 2;
    const advice = 'Name a `command` that is run, or a `socket` that is asked.';
    findings.add(here, 'config-either', {
      where: 'spec.rollout.busy',
      count,
      choices: '`command` and `socket`',
      advice,
    });
  }
  if (command !== undefined) return { kind: 'command', command, ...common };
  return socket === undefined ? undefined : { kind: 'socket', path: socket, ...common };
}
