import { OmniError, type OmniErrorOptions } from '../errors.ts';
import type { Diagnostic } from '../manifest/model.ts';

/** The agent refused manifests: what it found, each with its place. */
export class ManifestsRefused extends OmniError {
  readonly diagnostics: readonly Diagnostic[];

  constructor(message: string, options: OmniErrorOptions, diagnostics: readonly Diagnostic[]) {
    super(message, options);
    this.diagnostics = diagnostics;
  }
}
