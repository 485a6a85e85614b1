import { OmniError } from '../errors.ts';
import type { ObjectReader } from './git-objects.ts';
import { type GitContext, runGit } from './git-process.ts';
import { revisionOf } from './git-snapshot.ts';
import type { LineOrigin } from './source.ts';
import { hasControlCharacter } from './url.ts';

const TIMEOUT_MS = 10_000;
const OUTPUT_BYTES = 1024 * 1024;
const REMEMBERED = 256;

/** Which commit wrote a document last; answers are kept, for a commit's past does not change. */
export class Blamer {
  readonly #answers = new Map<string, LineOrigin>();

  /** `path`: below the repository's root; `line`, from 1, is where the document begins. Undefined: not in the cache, no such line, or took too long. */
  async origin(
    cache: { readonly context: GitContext; readonly objects: ObjectReader },
    at: { readonly commit: string; readonly path: string; readonly line: number },
    signal: AbortSignal,
  ): Promise<LineOrigin | undefined> {
    const { commit, path, line } = at;
    if (!/^[0-9a-f]{40}$/.test(commit) || !Number.isSafeInteger(line) || line < 1 || hasControlCharacter(path)) {
      return undefined;
    }
    const key = `${commit}:${line}:${path}`;
    const known = this.#answers.get(key);
    if (known !== undefined) {
      this.#answers.delete(key); // and in again: the least recently asked goes first
      this.#answers.set(key, known);
      return known;
    }
    try {
      const answer = await blame(cache, at, signal);
      if (answer === undefined) return undefined;
      const [oldest] = this.#answers.keys();
      if (this.#answers.size >= REMEMBERED && oldest !== undefined) this.#answers.delete(oldest);
      this.#answers.set(key, answer);
      return answer;
    } catch (error) {
      signal.throwIfAborted();
      if (error instanceof OmniError) return undefined;
      throw error;
    }
  }
}

/** The newest commit that touched a line of the document; what a person wants to know of it, it says itself. */
async function blame(
  { context, objects }: { readonly context: GitContext; readonly objects: ObjectReader },
  { commit, path, line }: { readonly commit: string; readonly path: string; readonly line: number },
  signal: AbortSignal,
): Promise<LineOrigin | undefined> {
  const file = await objects.read(`${commit}:${path}`);
  const end = file?.type === 'blob' ? lastLine(file.data.toString('utf8'), line) : undefined;
  if (end === undefined) return undefined;
  const id = await runGit(context, {
    args: ['log', '-1', '-s', '--format=%H', `-L${line},${end}:${path}`, commit],
    timeoutMs: TIMEOUT_MS,
    maxOutputBytes: OUTPUT_BYTES,
    signal,
  });
  const object = /^[0-9a-f]{40}\s*$/.test(id) ? await objects.read(id.trim()) : undefined;
  if (object?.type !== 'commit') return undefined;
  const { subject = '', author = '', time = '' } = revisionOf(object, '');
  return { id: object.id, subject, author, time };
}

/** Of the document that begins at `line`: the line ahead of the next marker (YAML 1.2.2, 9.1.2), or the file's last. */
function lastLine(text: string, line: number): number | undefined {
  const lines = text.replace(/\n$/, '').split('\n');
  if (line > lines.length) return undefined;
  const marker = lines.findIndex((each, at) => at >= line && /^(?:---|\.\.\.)(?:\s|$)/.test(each));
  return marker === -1 ? lines.length : marker;
}
