import { ExitCode, OmniError } from '../errors.ts';

/** Bounds on what a source may cost this node. Bytes and milliseconds. */
export interface SourceLimits {
  /** One manifest. */
  readonly fileBytes: number;
  /** Manifests in one snapshot. */
  readonly files: number;
  /** A repository's whole cache, history included; of a directory, the sum of its manifests. */
  readonly totalBytes: number;
  /** Memory of any one git process: what a remote sends may be made to unpack without end. */
  readonly memoryBytes: number;
  /** Asking the remote what its ref points at. */
  readonly pollTimeoutMs: number;
  /** Transferring what changed. */
  readonly fetchTimeoutMs: number;
}

export const defaultLimits: SourceLimits = {
  fileBytes: 4 * 1024 * 1024,
  files: 100_000,
  totalBytes: 256 * 1024 * 1024,
  memoryBytes: 512 * 1024 * 1024,
  pollTimeoutMs: 10_000,
  fetchTimeoutMs: 120_000,
};

export function tooLarge(message: string, fix: string): OmniError {
  return new OmniError(message, { code: 'source-too-large', class: 'stall', exitCode: ExitCode.source, fix });
}

export function fileTooLarge(path: string, size: number, limit: number): OmniError {
  return tooLarge(
    `${path} has ${mebibytes(size)} MiB; the limit for a manifest is ${mebibytes(limit)} MiB`,
    'Split the file, or move what is no manifest out of this folder.',
  );
}

export function tooManyFiles(limit: number): OmniError {
  return tooLarge(
    `the source holds more than ${limit} manifest files`,
    'Point --path at the folder that holds the fleet, or put several documents into one file.',
  );
}

export function mebibytes(bytes: number): string {
  return (bytes / (1024 * 1024)).toFixed(1);
}
