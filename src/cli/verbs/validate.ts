import { Command } from 'commander';
import { ExitCode } from '../../errors.ts';
import { renderDiagnostic } from '../../manifest/diagnostic.ts';
import type { Diagnostic, FleetResult } from '../../manifest/model.ts';
import { readFiles } from '../manifests.ts';
import { addManifestFlags, type ManifestOptions, outputFlag } from '../options.ts';
import type { OutputFormat } from '../output.ts';
import { plural } from '../text.ts';
import { type Cli, handleVerb, type Invocation } from '../verb.ts';
import { objectRefs } from '../views/fleet.ts';

interface ValidateOptions extends ManifestOptions {
  readonly output: Extract<OutputFormat, 'table' | 'json' | 'yaml' | 'name'>;
}

export function validateCommand(cli: Cli): Command {
  const command = new Command('validate')
    .summary('Check manifests: all errors at once')
    .description(
      'Checks manifests as an agent would and names all errors at once, with file:line:column. Needs no agent and no root.',
    );
  addManifestFlags(command).addOption(outputFlag(['table', 'json', 'yaml', 'name']));
  return handleVerb<ValidateOptions>(cli, command, validate);
}

async function validate(invocation: Invocation<ValidateOptions>): Promise<number> {
  const { io, options, out } = invocation;
  const { result: read } = await readFiles(invocation);
  const result = await withSealingGaps(read);
  const { output } = options;
  if (output === 'json' || output === 'yaml') {
    const { diagnostics } = result;
    out.document(output, 'ValidationReport', { valid: result.ok, objects: countObjects(result), diagnostics });
  } else {
    for (const diagnostic of result.diagnostics) io.stderr.write(`${out.style.encode(renderDiagnostic(diagnostic))}\n`);
    if (result.ok && output === 'name') for (const ref of objectRefs(result.fleet)) out.write(`${ref}\n`);
    if (output === 'table') out.write(`${summary(result)}\n`);
  }
  return result.ok ? ExitCode.ok : ExitCode.usage;
}

/** A sealed key that does not fit the members is worth a warning: a node that cannot open it is cut off sooner or later. */
async function withSealingGaps(result: FleetResult): Promise<FleetResult> {
  if (!result.ok || ![...result.fleet.clusters.values()].some(({ psk, nextPsk }) => psk ?? nextPsk)) return result;
  // Loaded when called: most fleets have nothing sealed.
  const { sealingGaps } = await import('../../secrets/census.ts');
  const warnings = sealingGaps(result.fleet).map(
    ({ message, fix, position }): Diagnostic => ({
      severity: 'warning',
      rule: 'secret-not-sealed-for-all',
      message,
      fix,
      position,
    }),
  );
  return { ...result, diagnostics: [...result.diagnostics, ...warnings] };
}

function countObjects(result: FleetResult): number {
  return result.ok ? result.fleet.clusters.size + result.fleet.peers.size + result.fleet.vips.size : 0;
}

function summary(result: FleetResult): string {
  const count = (severity: string): number => result.diagnostics.filter((one) => one.severity === severity).length;
  const warnings = count('warning') > 0 ? `, ${plural(count('warning'), 'warning')}` : '';
  if (!result.ok) return `invalid: ${plural(count('error'), 'error')}${warnings}`;
  return `${plural(countObjects(result), 'object')} valid${warnings}`;
}
