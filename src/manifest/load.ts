import { compareDiagnostics, statement, wholeSet } from './diagnostic.ts';
import { emptyFleet, nextFleet, refsOf } from './fleet.ts';
import type { Derivation } from './fleet-index.ts';
import { type ChangedFile, FleetState } from './fleet-state.ts';
import { macOf, peerIdOf } from './keys.ts';
import { limits } from './limits.ts';
import type { Diagnostic, Fleet, FleetObject, FleetReader, FleetResult, ManifestFile, ObjectRef } from './model.ts';
import { ParseCache } from './parse-cache.ts';
import { ownDiagnostics, type ParsedFile } from './parsed-file.ts';
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

function plural(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`;
}

function tooMany(rule: 'too-many-documents' | 'too-many-findings'): Diagnostic {
  const limit = rule === 'too-many-documents' ? limits.documents : limits.findings;
  return { ...statement(rule, { limit }), position: wholeSet };
}

function outOfBounds(files: readonly ManifestFile[]): Diagnostic | undefined {
  if (files.length === 0) return { ...statement('empty-set', {}), position: wholeSet };
  let bytes = 0;
  for (const { size } of files) if (size <= limits.fileBytes) bytes += size;
  if (bytes <= limits.setBytes) return undefined;
  return { ...statement('set-too-large', { bytes, limit: limits.setBytes }), position: wholeSet };
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
    const result = this.#turn.then(() => this.#read(files));
    // A failed read is its caller's; the next one starts all the same.
    this.#turn = result.catch(() => undefined);
    return result;
  }

  async #read(files: readonly ManifestFile[]): Promise<FleetResult> {
    const refused = outOfBounds(files);
    if (refused !== undefined) return failure([refused]);
    if (!this.#state.complete) this.#startAgain();
    const { changed, gone } = this.#state.difference(files);
    try {
      const parsed = await this.#parse(changed);
      return 'diagnostics' in parsed ? failure(parsed.diagnostics) : this.#update(parsed.files, gone);
    } finally {
      this.#cache.sweep();
    }
  }

  #startAgain(): void {
    for (const blob of this.#state.blobs()) this.#cache.release(blob);
    this.#state = new FleetState(this.#derivation, refsOf(this.#fleet ?? emptyFleet));
  }

  /** Stops early where there is more to say than anybody reads. */
  async #parse(files: readonly ManifestFile[]): Promise<{ files: ChangedFile[] } | { diagnostics: Diagnostic[] }> {
    const parsed: ChangedFile[] = [];
    const diagnostics: Diagnostic[] = [];
    let documents = 0;
    for (let from = 0; from < files.length; from += limits.concurrentReads) {
      const batch = files.slice(from, from + limits.concurrentReads);
      const contents = await Promise.all(batch.map((file) => this.#content(file)));
      for (const [at, file] of batch.entries()) {
        const read = await this.#parseOne(file, contents[at]);
        parsed.push({ file, parsed: read });
        documents += read.counts.documents;
        for (const diagnostic of ownDiagnostics(file.path, read)) diagnostics.push(diagnostic);
      }
      if (documents > limits.documents) return { diagnostics: [tooMany('too-many-documents')] };
      if (diagnostics.length > limits.findings) {
        const shown = diagnostics.sort(compareDiagnostics).slice(0, limits.findings);
        return { diagnostics: [...shown, tooMany('too-many-findings')] };
      }
    }
    return { files: parsed };
  }

  /** Undefined where it is not needed. */
  async #content(file: ManifestFile): Promise<Uint8Array | undefined> {
    const needed = file.size <= limits.fileBytes && this.#cache.get(file.blob) === undefined;
    return needed ? file.read() : undefined;
  }

  async #parseOne(file: ManifestFile, content: Uint8Array | undefined): Promise<ParsedFile> {
    const known = this.#cache.get(file.blob);
    if (known !== undefined) return known;
    if (content === undefined) return this.#cache.refuse(file.blob, tooLarge(file.size));
    return this.#cache.parse(file.blob, content);
  }

  #update(changed: readonly ChangedFile[], gone: readonly string[]): FleetResult {
    const before = [...changed.map(({ file }) => file.path), ...gone].map((path) => this.#state.blobOf(path));
    for (const { file } of changed) this.#cache.hold(file.blob);
    for (const blob of before) if (blob !== undefined) this.#cache.release(blob);
    this.#state.update(changed, gone);
    const diagnostics = this.#state.diagnostics();
    if (diagnostics.some(({ severity }) => severity === 'error')) return failure(diagnostics);
    if (this.#state.counts.documents > limits.documents) return failure([tooMany('too-many-documents')]);
    if (this.#state.counts.objects === 0) return failure([...diagnostics, this.#noObjects()]);
    return this.#success(diagnostics);
  }

  #success(diagnostics: readonly Diagnostic[]): FleetResult {
    const before = this.#fleet;
    const { fleet, changed } = nextFleet(before ?? emptyFleet, this.#state.touched, (ref) => this.#find(ref));
    this.#state.settle();
    this.#fleet = fleet;
    return { ok: true, fleet, diagnostics, changed: before === undefined ? 'all' : changed };
  }

  #noObjects(): Diagnostic {
    const { documents, files } = this.#state.counts;
    const counts = { documents: plural(documents, 'document'), files: plural(files, 'file') };
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
