import { compareDiagnostics, statement } from '../manifest/diagnostic.ts';
import type { AgentConfigDocument } from '../manifest/generated.ts';
import { positionOf } from '../manifest/item.ts';
import type { Diagnostic } from '../manifest/model.ts';
import { API_VERSION, validate } from '../manifest/schema.ts';
import { described, schemaFindings } from '../manifest/schema-errors.ts';
import { decode, type LocalFinding, start } from '../manifest/text.ts';
import { composeYaml, type Plain, plain, type Spots, type YamlDocument } from '../manifest/yaml.ts';

const KIND = 'AgentConfig';

export type ConfigDocument =
  | { readonly ok: true; readonly document: AgentConfigDocument; readonly at: Spots }
  | { readonly ok: false; readonly findings: readonly LocalFinding[] };

/** A file's bytes as the document that its schema describes; else everything that is wrong with it. Never throws. */
export function readDocument(bytes: Uint8Array): ConfigDocument {
  const decoded = decode(bytes);
  if (!decoded.ok) return { ok: false, findings: [decoded.finding] };
  const documents = composeYaml(decoded.text).filter((each) => each.syntax.length > 0 || each.contents !== null);
  const [first] = documents;
  if (documents.length !== 1 || first === undefined) {
    return { ok: false, findings: [{ ...statement('config-count', { count: documents.length }), at: start }] };
  }
  return first.syntax.length > 0 ? { ok: false, findings: first.syntax } : readOne(first);
}

function readOne(composed: YamlDocument): ConfigDocument {
  const read = plain(composed);
  const strange = strangers(read);
  if (strange.length > 0) return { ok: false, findings: strange };
  // Behind an alias or a merge key there is no value to check.
  if (!read.whole) return { ok: false, findings: read.findings };
  const validated = validate(KIND, read.value);
  if (!validated.ok)
    return { ok: false, findings: [...read.findings, ...schemaFindings(validated.errors, KIND, read)] };
  if (read.findings.length > 0) return { ok: false, findings: read.findings };
  return { ok: true, document: validated.document, at: read.valueAt };
}

/** Says of a document that is no AgentConfig what it is, and nothing of its fields. */
function strangers({ value, valueAt, keyAt }: Plain): readonly LocalFinding[] {
  const at = valueAt[''] ?? start;
  const kind = (actual: string): LocalFinding[] => [{ ...statement('config-kind', { actual }), at }];
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return kind(described(value));
  const fields = new Map<string, unknown>(Object.entries(value));
  if (fields.get('kind') === KIND && fields.get('apiVersion') === API_VERSION) return [];
  const flags = [...fields.keys()].flatMap((key) => {
    const setting = SETTING_OF_FLAG.get(key);
    return setting === undefined ? [] : [{ ...statement('config-flag', { key, setting }), at: keyAt[`/${key}`] ?? at }];
  });
  if (flags.length > 0) return flags;
  const [apiVersion, name] = ['apiVersion', 'kind'].map((key) => fields.get(key) ?? 'none');
  return kind(`of apiVersion ${String(apiVersion)} and kind ${String(name)}`);
}

/** Version 0.1 had the flags' names for keys. */
const SETTING_OF_FLAG: ReadonlyMap<string, string> = new Map([
  ['source', '`spec.source.remotes: [{ url: … }]` or `spec.source.directory`'],
  ['ref', '`spec.source.ref`'],
  ['path', '`spec.source.path`'],
  ['interval', '`spec.source.interval`'],
  ['underlay', '`spec.node.underlay`'],
  ['xdp-mode', '`spec.node.xdpMode`'],
  ['identity', '`spec.node.identity`'],
  ['psk-file', '`spec.node.pskFile`'],
  ['state-dir', '`spec.node.stateDir`'],
  ['bpffs', '`spec.node.bpffs`'],
  ['socket', '`spec.control.socket`'],
  ['metrics', '`spec.control.metrics`'],
  ['log-format', '`spec.log.format`'],
  ['log-level', '`spec.log.level`'],
]);

/** Findings of a file as people read them, in the order of its lines. */
export function placed(findings: readonly LocalFinding[], file: string): Diagnostic[] {
  const diagnostics = findings.map(({ at, related, ...said }): Diagnostic => {
    const diagnostic = { ...said, position: positionOf(file, 0, at) };
    return related === undefined ? diagnostic : { ...diagnostic, related: positionOf(file, 0, related) };
  });
  return diagnostics.sort(compareDiagnostics);
}
