import { hash } from 'node:crypto';
import { setImmediate } from 'node:timers/promises';
import { statement } from './diagnostic.ts';
import { type ParsedSection, parseSection } from './document.ts';
import type { ParsedFile } from './fleet-state.ts';
import { limits } from './limits.ts';
import { decode, type LocalFinding, sections, start } from './text.ts';

interface CachedSection {
  readonly section: ParsedSection;
  /** Files in the cache that have it, counted as often as they do. */
  uses: number;
}

interface CachedFile {
  readonly file: ParsedFile;
  readonly sections: readonly string[];
}

/** Sections parsed between two turns of the event loop: some milliseconds. */
const SLICE = 64;

function unreadable(finding: LocalFinding): CachedFile {
  return { file: { sections: [], findings: [finding] }, sections: [] };
}

/**
 * What texts were parsed into, findings included: of whole files by blob id, and of their documents by text. The
 * second makes a change in a file of ten thousand documents as cheap as one in a file of one.
 */
export class ParseCache {
  readonly #files = new Map<string, CachedFile>();
  readonly #sections = new Map<string, CachedSection>();
  #fresh = 0;

  get(blob: string): ParsedFile | undefined {
    return this.#files.get(blob)?.file;
  }

  get size(): { readonly files: number; readonly sections: number } {
    return { files: this.#files.size, sections: this.#sections.size };
  }

  /** Notes why the content of a blob is not looked at. */
  refuse(blob: string, finding: LocalFinding): ParsedFile {
    return this.#put(blob, unreadable(finding));
  }

  /** Lets the event loop turn between slices of a large file. */
  async parse(blob: string, bytes: Uint8Array): Promise<ParsedFile> {
    const decoded = decode(bytes);
    if (!decoded.ok) return this.refuse(blob, decoded.finding);
    const parts = sections(decoded.text);
    if (parts.length > limits.documents) {
      return this.refuse(blob, { ...statement('too-many-documents', { limit: limits.documents }), at: start });
    }
    const keys: string[] = [];
    const parsed: { section: ParsedSection; line: number }[] = [];
    for (const { text, line } of parts) {
      const key = hash('sha256', text, 'base64');
      keys.push(key);
      parsed.push({ section: this.#section(key, text), line });
      if (this.#fresh >= SLICE) {
        this.#fresh = 0;
        await setImmediate();
      }
    }
    return this.#put(blob, { file: { sections: parsed, findings: [] }, sections: keys });
  }

  #section(key: string, text: string): ParsedSection {
    const cached = this.#sections.get(key);
    if (cached !== undefined) {
      cached.uses++;
      return cached.section;
    }
    this.#fresh++;
    const section = parseSection(text);
    this.#sections.set(key, { section, uses: 1 });
    return section;
  }

  #put(blob: string, file: CachedFile): ParsedFile {
    this.#drop(blob);
    this.#files.set(blob, file);
    return file.file;
  }

  #drop(blob: string): void {
    for (const key of this.#files.get(blob)?.sections ?? []) {
      const cached = this.#sections.get(key);
      if (cached === undefined) continue;
      cached.uses--;
      if (cached.uses === 0) this.#sections.delete(key);
    }
    this.#files.delete(blob);
  }

  /** Forgets what is in none of these blobs. */
  retain(blobs: ReadonlySet<string>): void {
    for (const blob of this.#files.keys()) if (!blobs.has(blob)) this.#drop(blob);
  }
}
