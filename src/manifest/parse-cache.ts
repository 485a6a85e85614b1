import { setImmediate } from 'node:timers/promises';
import { statement } from './diagnostic.ts';
import { type ParsedSection, parseSection } from './document.ts';
import { limits } from './limits.ts';
import type { ParsedFile } from './parsed-file.ts';
import { decode, type LocalFinding, type Section, sections, start } from './text.ts';

interface CachedSection {
  readonly text: string;
  readonly section: ParsedSection;
  /** Files in the cache that have it, counted as often as they do. */
  uses: number;
}

interface CachedFile {
  readonly file: ParsedFile;
  readonly sections: readonly CachedSection[];
  /** Paths of the set that have this content. */
  uses: number;
}

/** UTF-16 units parsed between two turns of the event loop: some milliseconds. */
const SLICE = 16 * 1024;

function findingsOf({ section }: CachedSection): number {
  return section.documents.reduce((sum, { findings }) => sum + findings.length, 0);
}

function placed(cached: readonly CachedSection[], parts: readonly Section[]): ParsedFile['sections'] {
  return cached.map(({ section }, at) => ({ section, line: parts[at]?.line ?? 0 }));
}

function countsOf(parsed: readonly CachedSection[]): ParsedFile['counts'] {
  let documents = 0;
  let findings = 0;
  for (const cached of parsed) {
    documents += cached.section.documents.length + cached.section.passed;
    findings += findingsOf(cached);
  }
  return { documents, findings };
}

/** A string of its own: a slice would keep the whole file that it was cut from in memory. */
function copied(text: string): string {
  return Buffer.from(text).toString();
}

/**
 * What texts were parsed into, findings included: of whole files by blob id, and of their documents by text. The
 * second makes a change in a file of ten thousand documents as cheap as one in a file of one.
 */
export class ParseCache {
  readonly #files = new Map<string, CachedFile>();
  readonly #sections = new Map<string, CachedSection>();
  /** Blobs that no path of the set has. */
  readonly #idle = new Set<string>();
  #fresh = 0;

  get(blob: string): ParsedFile | undefined {
    return this.#files.get(blob)?.file;
  }

  get size(): { readonly files: number; readonly sections: number } {
    return { files: this.#files.size, sections: this.#sections.size };
  }

  /** Notes why the content of a blob is not looked at. */
  refuse(blob: string, finding: LocalFinding): ParsedFile {
    return this.#put(blob, { sections: [], findings: [finding], counts: { documents: 0, findings: 1 } }, []);
  }

  /** Lets the event loop turn between slices of a large file. */
  async parse(blob: string, bytes: Uint8Array): Promise<ParsedFile> {
    const decoded = decode(bytes);
    if (!decoded.ok) return this.refuse(blob, decoded.finding);
    const parts = sections(decoded.text);
    if (parts.length > limits.documents) {
      return this.refuse(blob, { ...statement('too-many-documents', { limit: limits.documents }), at: start });
    }
    const cached: CachedSection[] = [];
    let found = 0;
    for (const { text } of parts) {
      const entry = this.#section(text);
      cached.push(entry);
      found += findingsOf(entry);
      if (found > limits.findings) return this.#cutOff(blob, cached, parts);
      if (this.#fresh >= SLICE) {
        this.#fresh = 0;
        await setImmediate();
      }
    }
    return this.#put(blob, { sections: placed(cached, parts), findings: [], counts: countsOf(cached) }, cached);
  }

  /** The rest of the file is not looked at. */
  #cutOff(blob: string, cached: readonly CachedSection[], parts: readonly Section[]): ParsedFile {
    const finding = { ...statement('too-many-findings', { limit: limits.findings }), at: start };
    return this.#put(blob, { sections: placed(cached, parts), findings: [finding], counts: countsOf(cached) }, cached);
  }

  /** One more path has this content, which is in the cache. */
  hold(blob: string): void {
    const cached = this.#files.get(blob);
    if (cached === undefined) throw new Error(`blob ${blob} is not in the cache`);
    cached.uses++;
    this.#idle.delete(blob);
  }

  /** One path less has it. */
  release(blob: string): void {
    const cached = this.#files.get(blob);
    if (cached === undefined) return;
    cached.uses--;
    if (cached.uses === 0) this.#idle.add(blob);
  }

  /** Forgets what no path has. */
  sweep(): void {
    for (const blob of this.#idle) {
      for (const section of this.#files.get(blob)?.sections ?? []) {
        section.uses--;
        if (section.uses === 0) this.#sections.delete(section.text);
      }
      this.#files.delete(blob);
    }
    this.#idle.clear();
  }

  #section(text: string): CachedSection {
    const known = this.#sections.get(text);
    if (known !== undefined) {
      known.uses++;
      return known;
    }
    this.#fresh += text.length;
    const own = copied(text);
    const cached = { text: own, section: parseSection(own), uses: 1 };
    this.#sections.set(cached.text, cached);
    return cached;
  }

  #put(blob: string, file: ParsedFile, parts: readonly CachedSection[]): ParsedFile {
    this.#files.set(blob, { file, sections: parts, uses: 0 });
    this.#idle.add(blob);
    return file;
  }
}
