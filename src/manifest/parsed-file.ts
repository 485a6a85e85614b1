import type { ParsedSection } from './document.ts';
import { positionOf } from './item.ts';
import type { Diagnostic } from './model.ts';
import type { LocalFinding } from './text.ts';

/** What a file's content became; equal content is the same value. */
export interface ParsedFile {
  readonly sections: readonly { readonly section: ParsedSection; readonly line: number }[];
  /** Why the file could not be read at all. */
  readonly findings: readonly LocalFinding[];
  /** Everybody's, and findings of any kind: of the file and of its documents. */
  readonly counts: { readonly documents: number; readonly findings: number };
}

function placed(file: string, line: number, { at, related, ...said }: LocalFinding): Diagnostic {
  const diagnostic = { ...said, position: positionOf(file, line, at) };
  return related === undefined ? diagnostic : { ...diagnostic, related: positionOf(file, line, related) };
}

/** What is wrong with one file on its own. */
export function ownDiagnostics(file: string, parsed: ParsedFile): Diagnostic[] {
  if (parsed.counts.findings === 0) return [];
  const whole = parsed.findings.map((finding) => placed(file, 0, finding));
  const each = parsed.sections.flatMap(({ section, line }) =>
    section.documents.flatMap((document) => document.findings.map((finding) => placed(file, line, finding))),
  );
  return [...whole, ...each];
}
