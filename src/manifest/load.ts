import { compareDiagnostics, statement, wholeSet } from './diagnostic.ts';
import { emptyFleet, nextFleet, refsOf } from './fleet.ts';
import type { Derivation } from './fleet-index.ts';
import { documentsOf, FleetState, ownDiagnostics, type ParsedFile } from './fleet-state.ts';
import { macOf, peerIdOf } from './keys.ts';
import { limits } from './limits.ts';
import type { Diagnostic, Fleet, FleetObject, FleetReader, FleetResult, ManifestFile, ObjectRef } from './model.ts';
import { ParseCache } from './parse-cache.ts';
import { tooLarge } from './text.ts';

export { filesFromPaths, filesFromTexts } from './files.ts';

/**
 * 1. bounds: of the set, before anything is read
 * 2. parse:  files whose blob is not in the cache
 * 3. update: index and checks, by the difference to the set before
 * 4. fleet:  the difference applied to the fleet before
 */

function failure(diagnostics: readonly Diagnostic[]): FleetResult {
  return { ok: false, diagnostics };
}

function byPath(files: readonly ManifestFile[]): Map<string, ManifestFile> {
  const sorted = [...files].sort((a, b) => (a.path < b.path ? -1 : a.path > b.path ? 1 : 0));
  return new Map(sorted.map((file) => [file.path, file]));
}

function plural(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`;
}

class Reader implements FleetReader {
  readonly #derivation: Derivation;
  readonly #cache = new ParseCache();
  #state: FleetState;
  #fleet: Fleet | undefined;
  #turn: Promise<unknown> = Promise.resolve();

  constructor(derivation: Derivation) {
    this.#derivation = derivation;
    this.#state = new FleetState(derivation, []);
  }

  /** One at a time: a second call waits for the first. */
  read(files: readonly ManifestFile[]): Promise<FleetResult> {
    const result = this.#turn.then(() => this.#read(byPath(files)));
    // A failed read is its caller's; the next one starts all the same.
    this.#turn = result.catch(() => undefined);
    return result;
  }

  async #read(files: ReadonlyMap<string, ManifestFile>): Promise<FleetResult> {
    const refused = this.#outOfBounds(files);
    if (refused !== undefined) return failure([refused]);
    const parsed = await this.#parse(files);
    this.#cache.retain(new Set(Array.from(files.values(), ({ blob }) => blob)));
    return 'diagnostics' in parsed ? failure(parsed.diagnostics) : this.#update(parsed.files);
  }

  #outOfBounds(files: ReadonlyMap<string, ManifestFile>): Diagnostic | undefined {
    if (files.size === 0) return { ...statement('empty-set', {}), position: wholeSet };
    let bytes = 0;
    for (const { size } of files.values()) if (size <= limits.fileBytes) bytes += size;
    if (bytes <= limits.setBytes) return undefined;
    return { ...statement('set-too-large', { bytes, limit: limits.setBytes }), position: wholeSet };
  }

  /** Stops early where there are more findings than anybody reads. */
  async #parse(
    files: ReadonlyMap<string, ManifestFile>,
  ): Promise<{ files: ReadonlyMap<string, ParsedFile> } | { diagnostics: Diagnostic[] }> {
    const parsed = new Map<string, ParsedFile>();
    const diagnostics: Diagnostic[] = [];
    let documents = 0;
    const all = [...files.values()];
    for (let from = 0; from < all.length; from += limits.concurrentReads) {
      const batch = all.slice(from, from + limits.concurrentReads);
      const known = batch.map((file) => this.#cache.get(file.blob));
      const contents = known.every((each) => each !== undefined) ? [] : await this.#contents(batch);
      for (const [at, file] of batch.entries()) {
        const content = contents[at];
        const read = this.#cache.get(file.blob) ?? (await this.#parseOne(file, content ?? new Uint8Array()));
        parsed.set(file.path, read);
        documents += documentsOf(read);
        for (const diagnostic of ownDiagnostics(file.path, read)) diagnostics.push(diagnostic);
      }
      if (documents > limits.documents) return { diagnostics: [this.#tooMany('too-many-documents', limits.documents)] };
      if (diagnostics.length > limits.findings) {
        const shown = diagnostics.sort(compareDiagnostics).slice(0, limits.findings);
        return { diagnostics: [...shown, this.#tooMany('too-many-findings', limits.findings)] };
      }
    }
    return { files: parsed };
  }

  #tooMany(rule: 'too-many-documents' | 'too-many-findings', limit: number): Diagnostic {
    return { ...statement(rule, { limit }), position: wholeSet };
  }

  /** Content of those files of a batch that have to be read, by their index in it. */
  #contents(batch: readonly ManifestFile[]): Promise<(Uint8Array | undefined)[]> {
    return Promise.all(
      batch.map(async (file) => {
        const needed = this.#cache.get(file.blob) === undefined && file.size <= limits.fileBytes;
        return needed ? file.read() : undefined;
      }),
    );
  }

  async #parseOne(file: ManifestFile, content: Uint8Array): Promise<ParsedFile> {
    if (file.size > limits.fileBytes) return this.#cache.refuse(file.blob, tooLarge(file.size));
    return this.#cache.parse(file.blob, content);
  }

  #update(files: ReadonlyMap<string, ParsedFile>): FleetResult {
    if (!this.#state.complete) this.#state = new FleetState(this.#derivation, refsOf(this.#fleet ?? emptyFleet));
    this.#state.update(files);
    const diagnostics = this.#state.diagnostics();
    if (diagnostics.some(({ severity }) => severity === 'error')) return failure(diagnostics);
    if (this.#state.size === 0) return failure([...diagnostics, this.#noObjects(files)]);
    const before = this.#fleet;
    const { fleet, changed } = nextFleet(before ?? emptyFleet, this.#state.touched, (ref) => this.#find(ref));
    this.#state.settle();
    this.#fleet = fleet;
    return { ok: true, fleet, diagnostics, changed: before === undefined ? 'all' : changed };
  }

  #noObjects(files: ReadonlyMap<string, ParsedFile>): Diagnostic {
    let documents = 0;
    for (const file of files.values()) documents += documentsOf(file);
    const counts = { documents: plural(documents, 'document'), files: plural(files.size, 'file') };
    return { ...statement('no-objects', counts), position: wholeSet };
  }

  /** There is one at most: duplicates are errors. */
  #find(ref: ObjectRef): FleetObject | undefined {
    for (const item of this.#state.index.byRef.get(ref)) return item.object;
    return undefined;
  }
}

/** A reader with nothing in its cache. `derivation` is a parameter for the tests alone. */
export function createFleetReader(derivation: Derivation = { macOf, peerIdOf }): FleetReader {
  return new Reader(derivation);
}
