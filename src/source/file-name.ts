import { hasControlCharacter, sourceInvalid } from './url.ts';

/** What file systems hold as one name (NAME_MAX, limits.h): more cannot be checked out anywhere. Bytes. */
const NAME_BYTES = 255;
/** All of it, below the source's folder. Bytes. */
const PATH_BYTES = 1024;
const SHOWN = 100;

/**
 * Refuses what a person could neither be shown nor mend. A skipped manifest would read as a deletion; so one such name
 * refuses the whole snapshot. `place` says where it stands, as in ` in main@sha1:…`. Throws `source-invalid`.
 */
export function checkFileName(path: string, place: string, fix: string): void {
  const problem = problemOf(path);
  if (problem !== undefined) throw sourceInvalid(`the file name "${shownName(path)}"${place} ${problem}`, fix);
}

function problemOf(path: string): string | undefined {
  if (hasControlCharacter(path)) return 'holds control characters';
  if (path.includes('\ufffd')) return 'is not UTF-8';
  const longest = Math.max(...path.split('/').map((part) => Buffer.byteLength(part)));
  if (longest > NAME_BYTES) return `is too long: ${longest} bytes, where file systems hold ${NAME_BYTES}`;
  const bytes = Buffer.byteLength(path);
  return bytes > PATH_BYTES ? `is too long: ${bytes} bytes, and at most ${PATH_BYTES} are read` : undefined;
}

/** For people: control characters written out, and what is long cut short. */
export function shownName(path: string): string {
  let shown = '';
  for (const character of path) {
    if (shown.length >= SHOWN) return `${shown}…`;
    shown += hasControlCharacter(character) ? writtenOut(character) : character;
  }
  return shown;
}

/** `\n`, `\u001b`. */
function writtenOut(character: string): string {
  const short = JSON.stringify(character).slice(1, -1);
  return short === character ? `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}` : short;
}
