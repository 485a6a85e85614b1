import { CheckRun } from './check-run.ts';
import { checks } from './checks.ts';
import { compareDiagnostics, statement, wholeSet } from './diagnostic.ts';
import type { ParsedDocument } from './document.ts';
import { type Derivation, FleetIndex, type SubjectKind, subjectKinds } from './fleet-index.ts';
import { Item } from './item.ts';
import { limits } from './limits.ts';
import type { Diagnostic, ManifestFile, ObjectRef } from './model.ts';
import { ownDiagnostics, type ParsedFile } from './parsed-file.ts';

/** A file that is new or has other content than before. */
export interface ChangedFile {
  readonly file: ManifestFile;
  readonly parsed: ParsedFile;
}

export interface Difference {
  readonly changed: readonly ManifestFile[];
  readonly gone: readonly string[];
}

interface FileEntry {
  readonly blob: string;
  readonly parsed: ParsedFile;
  readonly items: readonly Item[];
  /** The last listing that had it. */
  listing: number;
}

/**
 * The set as it was read last: its files, who refers to what, and what is wrong. `update` costs in proportion to the
 * files that changed and to what was and is wrong.
 */
export class FleetState {
  readonly index: FleetIndex;
  readonly #files = new Map<string, FileEntry>();
  /** Diagnostics of single files, by path; and of checks, by subject. */
  readonly #own = new Map<string, readonly Diagnostic[]>();
  readonly #cross = new Map<SubjectKind, Map<string, readonly Diagnostic[]>>(
    subjectKinds.map((kind) => [kind, new Map()]),
  );
  #touched = new Set<ObjectRef>();
  #complete = true;
  #objects = 0;
  #documents = 0;
  #listing = 0;

  constructor(derivation: Derivation, touched: Iterable<ObjectRef>) {
    this.index = new FleetIndex(derivation);
    this.#touched = new Set(touched);
  }

  /** False once there were more findings than are kept: start again with a new state. */
  get complete(): boolean {
    return this.#complete;
  }

  /** Objects that may differ from when `settle` was called last. */
  get touched(): ReadonlySet<ObjectRef> {
    return this.#touched;
  }

  get counts(): { readonly files: number; readonly documents: number; readonly objects: number } {
    return { files: this.#files.size, documents: this.#documents, objects: this.#objects };
  }

  settle(): void {
    this.#touched = new Set();
  }

  /** How a list of files differs from the last update's. The only work that is done for every file of a set. */
  difference(files: readonly ManifestFile[]): Difference {
    const changed = new Map<string, ManifestFile>();
    const listing = ++this.#listing;
    let kept = 0;
    for (const file of files) {
      const entry = this.#files.get(file.path);
      if (entry?.blob !== file.blob) changed.set(file.path, file);
      if (entry === undefined || entry.listing === listing) continue;
      entry.listing = listing;
      kept++;
    }
    const gone: string[] = [];
    if (kept < this.#files.size) {
      for (const [path, entry] of this.#files) if (entry.listing !== listing) gone.push(path);
    }
    return { changed: [...changed.values()], gone };
  }

  blobOf(path: string): string | undefined {
    return this.#files.get(path)?.blob;
  }

  blobs(): string[] {
    return Array.from(this.#files.values(), ({ blob }) => blob);
  }

  update(changed: readonly ChangedFile[], gone: readonly string[]): void {
    for (const path of gone) {
      const entry = this.#files.get(path);
      for (const item of entry?.items ?? []) this.#remove(item);
      this.#documents -= entry?.parsed.counts.documents ?? 0;
      this.#files.delete(path);
      this.#own.delete(path);
    }
    for (const { file, parsed } of changed) this.#replaceFile(file, parsed);
    if (changed.length > 0 || gone.length > 0) this.#check();
  }

  #replaceFile({ path, blob }: ManifestFile, parsed: ParsedFile): void {
    const before = this.#files.get(path);
    const items = this.#replace(path, before?.items ?? [], parsed);
    this.#files.set(path, { blob, parsed, items, listing: this.#listing });
    this.#documents += parsed.counts.documents - (before?.parsed.counts.documents ?? 0);
    if (parsed.counts.findings > 0) this.#own.set(path, ownDiagnostics(path, parsed));
    else this.#own.delete(path);
  }

  diagnostics(): Diagnostic[] {
    const all = [...this.#own.values()].flat();
    for (const found of this.#cross.values()) {
      for (const diagnostics of found.values()) for (const diagnostic of diagnostics) all.push(diagnostic);
    }
    all.sort(compareDiagnostics);
    if (this.#complete && all.length <= limits.findings) return all;
    return [
      ...all.slice(0, limits.findings),
      { ...statement('too-many-findings', { limit: limits.findings }), position: wholeSet },
    ];
  }

  /** Documents that stayed keep their item, wherever in the file they are now. */
  #replace(path: string, before: readonly Item[], parsed: ParsedFile): Item[] {
    const left = new Map<ParsedDocument, Item[]>();
    for (const item of before) {
      const same = left.get(item.document);
      if (same === undefined) left.set(item.document, [item]);
      else same.push(item);
    }
    const added: Item[] = [];
    const items = parsed.sections.flatMap(({ section, line }) =>
      section.documents.flatMap((document) => {
        const { kind, name } = document;
        if (kind === undefined || name === undefined) return [];
        const kept = left.get(document)?.shift();
        if (kept !== undefined) return [this.#move(kept, line)];
        const item = new Item(kind, name, document, path, line);
        added.push(item);
        return [item];
      }),
    );
    for (const gone of left.values()) for (const item of gone) this.#remove(item);
    for (const item of added) this.#add(item);
    return items;
  }

  #move(item: Item, line: number): Item {
    if (item.line === line) return item;
    item.moveTo(line);
    this.#touched.add(item.ref);
    return item;
  }

  #add(item: Item): void {
    this.index.add(item);
    this.#objects++;
    this.#touched.add(item.ref);
  }

  #remove(item: Item): void {
    this.index.remove(item);
    this.#objects--;
    this.#touched.add(item.ref);
  }

  /** What was wrong is looked at again too: positions and suggestions depend on more than the subject itself. */
  #check(): void {
    for (const [kind, found] of this.#cross) for (const key of found.keys()) this.index.mark(kind, key);
    const run = new CheckRun(this.index);
    let count = 0;
    for (const [kind, keys] of this.index.takeDirty()) {
      for (const key of keys) {
        const diagnostics = count > limits.findings ? [] : checks[kind](run, key);
        count += diagnostics.length;
        if (diagnostics.length > 0) this.#cross.get(kind)?.set(key, diagnostics);
        else this.#cross.get(kind)?.delete(key);
      }
    }
    this.#complete = count <= limits.findings;
  }
}
