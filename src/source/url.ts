import { ExitCode, OmniError } from '../errors.ts';

/** Where manifests come from, as `--source` names it. `url` and `path` went through this file's checks. */
export type SourceUrl =
  | { readonly kind: 'git'; readonly url: string; readonly display: string }
  | { readonly kind: 'directory'; readonly path: string; readonly display: string };

const SCHEME = /^([A-Za-z][A-Za-z0-9+.-]*):\/\//;
const GIT_SCHEMES = new Set(['https', 'http', 'ssh', 'git', 'file']);
/** git's rule for scp-like addresses: a colon before the first slash. */
const SCP_LIKE = /^(?:([^/:@]+)@)?([^/:@]+|\[[0-9A-Fa-f:.]+\]):([^:].*)$/;
/** Hosts and users reach ssh's command line: both must start with a letter or digit. */
const HOST = /^(?:[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+(?:%[A-Za-z0-9]+)?\])$/;
const USER = /^[A-Za-z0-9_][A-Za-z0-9._-]*$/;
const MAX_LENGTH = 2048;

export function sourceInvalid(message: string, fix: string): OmniError {
  return new OmniError(message, { code: 'source-invalid', class: 'stall', exitCode: ExitCode.source, fix });
}

/** C0, DEL and C1: nothing that we pass to git or print holds them. */
export function hasControlCharacter(text: string): boolean {
  for (const character of text) {
    const code = character.codePointAt(0) ?? 0;
    if (code < 0x20 || (code >= 0x7f && code < 0xa0)) return true;
  }
  return false;
}

/** For text out of commits, file names and git's own messages before a person sees it. */
export function printable(text: string): string {
  let result = '';
  for (const character of text) result += hasControlCharacter(character) ? ' ' : character;
  return result;
}

/** Strips user information from every URL in a text: it may hold a token. */
export function withoutCredentials(text: string): string {
  return text.replace(/([A-Za-z][A-Za-z0-9+.-]*:\/\/)[^/@\s'"]*@/g, '$1');
}

/**
 * A git URL (`https`, `http`, `ssh`, `git`, `file`, scp-like `user@host:path`) or else a directory.
 * Throws `source-invalid`, never with what might be a secret in the message.
 */
export function parseSourceUrl(text: string): SourceUrl {
  if (text === '') throw sourceInvalid('the source is empty', 'Name a git URL or a folder.');
  if (text.length > MAX_LENGTH) throw sourceInvalid('the source is longer than 2048 characters', 'Shorten it.');
  if (hasControlCharacter(text)) {
    throw sourceInvalid('the source holds control characters', 'Give the URL or folder on one line.');
  }
  if (text.startsWith('-')) {
    throw sourceInvalid('the source starts with "-"', 'Write a folder of that name as ./-name.');
  }
  if (/^[A-Za-z0-9+.-]+::/.test(text)) {
    throw sourceInvalid(
      'the source names a git remote helper ("x::y"), which runs commands',
      'Use an https, http, ssh, git or file URL.',
    );
  }
  const scheme = SCHEME.exec(text)?.[1];
  if (scheme !== undefined) return gitUrl(scheme.toLowerCase(), text);
  const scp = SCP_LIKE.exec(text);
  if (scp !== null) return scpLike(scp[1], scp[2] ?? '', scp[3] ?? '', text);
  return { kind: 'directory', path: text, display: text };
}

/** Name or address out of a checked git URL, without user, port and brackets; undefined for `file`. */
export function hostOf(url: string): string | undefined {
  if (url.startsWith('file:')) return undefined;
  const scheme = SCHEME.exec(url)?.[0];
  if (scheme === undefined) return SCP_LIKE.exec(url)?.[2]?.replace(/^\[|\]$/g, '');
  const [authority = ''] = url.slice(scheme.length).split('/', 1);
  const host = authority.slice(authority.lastIndexOf('@') + 1).replace(/:[0-9]{1,5}$/, '');
  return host.replace(/^\[|\]$/g, '');
}

function gitUrl(scheme: string, text: string): SourceUrl {
  if (!GIT_SCHEMES.has(scheme)) {
    throw sourceInvalid(`the source's scheme "${scheme}" is not supported`, 'Use https, http, ssh, git or file.');
  }
  const rest = text.slice(scheme.length + 3);
  const slash = rest.indexOf('/');
  const authority = slash < 0 ? rest : rest.slice(0, slash);
  const path = slash < 0 ? '' : rest.slice(slash);
  if (path === '' || path === '/') {
    throw sourceInvalid("the source's URL has no path", `Add the repository's path after the host.`);
  }
  if (/[?#\s\\]/.test(path)) {
    throw sourceInvalid(
      `the source's URL holds "?", "#", "\\" or a space`,
      "Give the repository's plain URL; a branch goes into --ref, a folder into --path.",
    );
  }
  if (scheme === 'file') {
    if (authority !== '' && authority !== 'localhost') {
      throw sourceInvalid('a file URL names a host', 'Write file:///path/to/repository.git.');
    }
    return { kind: 'git', url: `file://${path}`, display: `file://${path}` };
  }
  checkAuthority(scheme, authority);
  return { kind: 'git', url: `${scheme}://${authority}${path}`, display: `${scheme}://${authority}${path}` };
}

/** User information is refused but for ssh's user name: git's arguments are in the process list for all to read. */
function checkAuthority(scheme: string, authority: string): void {
  const at = authority.lastIndexOf('@');
  const user = at < 0 ? undefined : authority.slice(0, at);
  if (user !== undefined && (scheme !== 'ssh' || user.includes(':'))) {
    throw sourceInvalid(
      "the source's URL holds a user name or password, which every process of this host could read",
      scheme === 'ssh'
        ? 'Leave the password out and use an ssh key.'
        : 'Leave it out; put a token into a file, or use ssh with a deploy key.',
    );
  }
  if (user !== undefined && !USER.test(user)) {
    throw sourceInvalid("the user name in the source's URL is not valid", 'Write ssh://user@host/path.');
  }
  const match = /^(.*?)(?::([0-9]{1,5}))?$/.exec(authority.slice(at + 1));
  const host = match?.[1] ?? '';
  const port = match?.[2];
  if (!HOST.test(host) || (port !== undefined && (Number(port) < 1 || Number(port) > 65535))) {
    throw sourceInvalid("the host or port in the source's URL is not valid", `Write ${scheme}://host[:port]/path.`);
  }
}

function scpLike(user: string | undefined, host: string, path: string, text: string): SourceUrl {
  if ((user !== undefined && !USER.test(user)) || !HOST.test(host) || path.startsWith('-') || /[\s\\]/.test(path)) {
    throw sourceInvalid(
      'the source looks like user@host:path but its user, host or path is not valid',
      'Write git@host:path/to/repository.git, or ./ before a folder whose name holds a colon.',
    );
  }
  return { kind: 'git', url: text, display: text };
}

/** `main`, `v1.2`, `refs/heads/main`: the rules of git-check-ref-format(1), and no leading `-`. */
export function checkRef(ref: string): string {
  const parts = ref.split('/');
  const bad =
    ref === '' ||
    ref === '@' ||
    ref.length > 200 ||
    ref.startsWith('-') ||
    ref.endsWith('.') ||
    ref.includes('..') ||
    ref.includes('@{') ||
    hasControlCharacter(ref) ||
    /[ ~^:?*[\\]/.test(ref) ||
    parts.some((part) => part === '' || part.startsWith('.') || part.endsWith('.lock'));
  if (bad) {
    throw sourceInvalid(
      `"${printable(ref.slice(0, 80))}" is not a valid name for a branch or tag`,
      'Give a branch or tag as git branch and git tag print it.',
    );
  }
  if (ref.startsWith('refs/') && !/^refs\/(heads|tags)\/./.test(ref)) {
    throw sourceInvalid(`"${ref}" is neither a branch nor a tag`, 'Use refs/heads/NAME or refs/tags/NAME.');
  }
  return ref;
}

/** A revision for `at` and `--rev`: a sha, a tag, `main~1`, `HEAD^2`. One commit, so no range and no path. */
export function checkRev(rev: string): string {
  const bad =
    rev === '' ||
    rev.length > 250 ||
    rev.startsWith('-') ||
    rev.startsWith('^') ||
    rev.includes('..') ||
    hasControlCharacter(rev) ||
    /[\s:?*[\\]/.test(rev);
  if (bad) {
    throw sourceInvalid(
      `"${printable(rev.slice(0, 80))}" does not name one commit`,
      'Give a commit id, a branch, a tag, or one of them with ~N.',
    );
  }
  return rev;
}

/** Folder below the repository's root, `/`-separated; '' is the root. */
export function checkPath(path: string): string {
  const parts = path.split('/').filter((part) => part !== '' && part !== '.');
  if (path.startsWith('/') || path.startsWith('-') || path.length > 1024 || hasControlCharacter(path)) {
    throw sourceInvalid(
      `the path "${printable(path.slice(0, 80))}" is not a folder inside the repository`,
      'Give it relative to the root of the repository, like fleet/munich.',
    );
  }
  if (parts.includes('..')) {
    throw sourceInvalid('the path holds ".."', 'Give it relative to the root of the repository.');
  }
  return parts.join('/');
}
