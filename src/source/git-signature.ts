import { createHash } from 'node:crypto';
import type { GitEnd } from './git-process.ts';
import type { Signature } from './source.ts';
import { printable } from './url.ts';

/** A signature as an object carries it: claimed, not verified. */
export interface Claim {
  readonly format: 'ssh' | 'openpgp' | 'x509' | 'unknown';
  /** `SHA256:…` of an ssh signature's key. Nothing is known of an OpenPGP key before gpg looked. */
  readonly key?: string;
}

/** What git and its helpers made of a claim. */
export type Verdict =
  | { readonly kind: 'good'; readonly signature: Signature }
  /** Nobody that this node knows. */
  | { readonly kind: 'unknown'; readonly key: string }
  | { readonly kind: 'bad'; readonly key: string; readonly reason: string };

const FORMATS: readonly [RegExp, Claim['format']][] = [
  [/^-----BEGIN SSH SIGNATURE-----$/m, 'ssh'],
  [/^-----BEGIN PGP (?:SIGNATURE|MESSAGE)-----$/m, 'openpgp'],
  [/^-----BEGIN SIGNED MESSAGE-----$/m, 'x509'],
];

/**
 * The signature that a commit (header `gpgsig`, gitformat-signature(5)) or tag (end of the message) carries, for choosing
 * words and tools. git itself decides what is signed and verifies it. Undefined: none.
 */
export function claimOf(object: { readonly type: string; readonly data: Buffer }): Claim | undefined {
  const text = object.data.toString('latin1');
  const blank = text.indexOf('\n\n');
  const armor = object.type === 'commit' ? header(text.slice(0, blank < 0 ? undefined : blank)) : text.slice(blank + 2);
  if (armor === undefined) return undefined;
  const [, format] = FORMATS.find(([pattern]) => pattern.test(armor)) ?? [];
  if (format === undefined) return object.type === 'commit' ? { format: 'unknown' } : undefined;
  const key = format === 'ssh' ? sshKey(armor) : undefined;
  return key === undefined ? { format } : { format, key };
}

const NOT_OVER_THIS = 'it does not belong to what it is attached to';

/** The value of `gpgsig`, its continuation lines unfolded. */
function header(headers: string): string | undefined {
  const match = /(?:^|\n)gpgsig (.*(?:\n .*)*)/.exec(headers);
  return match?.[1]?.replaceAll('\n ', '\n');
}

/** Fingerprint of the key inside an armored signature: "SSHSIG", u32 version, string publickey (PROTOCOL.sshsig). */
function sshKey(armor: string): string | undefined {
  const body = /-----BEGIN SSH SIGNATURE-----\n([A-Za-z0-9+/=\n]+)-----END/.exec(armor)?.[1];
  const blob = Buffer.from(body ?? '', 'base64');
  if (blob.length < 14 || blob.toString('latin1', 0, 6) !== 'SSHSIG') return undefined;
  const end = 14 + blob.readUInt32BE(10);
  return end <= blob.length ? sshFingerprint(blob.subarray(14, end)) : undefined;
}

/** As ssh-keygen -l prints it. */
function sshFingerprint(publicKey: Uint8Array): string {
  return `SHA256:${createHash('sha256').update(publicKey).digest('base64').replace(/=+$/, '')}`;
}

/**
 * Reads what `git verify-commit --raw` and `git verify-tag --raw` end with. Good is only what ended with status 0 *and*
 * says whose signature it is; whatever is not understood is bad.
 */
export function verdictOf(claim: Claim, end: GitEnd): Verdict {
  return claim.format === 'ssh' ? sshVerdict(claim.key ?? 'unreadable', end) : openpgpVerdict(end);
}

function sshVerdict(key: string, { status, stderr }: GitEnd): Verdict {
  const good = /^Good "git" signature for (.+) with \S+ key (SHA256:\S+)$/m.exec(stderr);
  if (status === 0 && good !== null) {
    return { kind: 'good', signature: { format: 'ssh', signer: printable(good[1] ?? ''), key: good[2] ?? key } };
  }
  // ssh-keygen names the line that it passes over, and why: lifetime, namespace.
  const refused = /: key (has expired|is not yet valid|is not permitted for use in signature namespace)/.exec(stderr);
  if (refused !== null) {
    return { kind: 'bad', key, reason: `its key ${refused[1]}${refused[1]?.endsWith('namespace') ? ' "git"' : ''}` };
  }
  if (/^No principal matched\.$/m.test(stderr) && /^Good "git" signature with /m.test(stderr)) {
    return { kind: 'unknown', key };
  }
  if (/incorrect signature/.test(stderr)) return { kind: 'bad', key, reason: NOT_OVER_THIS };
  // What ssh-keygen says of a revoked key does not get through git.
  return {
    kind: 'bad',
    key,
    reason: `ssh-keygen refuses it, as it does where the key was revoked (${firstLine(stderr)})`,
  };
}

/** GnuPG's status lines (doc/DETAILS, "General status codes"), with what each means for us. */
const OPENPGP_REASONS: readonly [string, string][] = [
  ['BADSIG', NOT_OVER_THIS],
  ['REVKEYSIG', 'its key was revoked'],
  ['EXPKEYSIG', 'its key has expired'],
  ['EXPSIG', 'it has expired'],
];

function openpgpVerdict({ status, stderr }: GitEnd): Verdict {
  const lines = stderr.split('\n').flatMap((line) => (line.startsWith('[GNUPG:] ') ? [line.slice(9).split(' ')] : []));
  const all = (word: string) => lines.filter(([first]) => first === word);
  const valid = all('VALIDSIG');
  const good = all('GOODSIG');
  const key = valid[0]?.at(-1) ?? all('ERRSIG')[0]?.[7] ?? all('NO_PUBKEY')[0]?.[1] ?? all('BADSIG')[0]?.[1];
  const flaw = OPENPGP_REASONS.find(([word]) => all(word).length > 0);
  if (flaw !== undefined) return { kind: 'bad', key: key ?? 'unreadable', reason: flaw[1] };
  if (status === 0 && good.length === 1 && valid.length === 1 && key !== undefined) {
    const signer = printable(good[0]?.slice(2).join(' ') ?? '');
    return { kind: 'good', signature: { format: 'openpgp', signer, key } };
  }
  if (all('NO_PUBKEY').length > 0) return { kind: 'unknown', key: key ?? 'unreadable' };
  return { kind: 'bad', key: key ?? 'unreadable', reason: `gpg cannot read it (${firstLine(stderr)})` };
}

function firstLine(text: string): string {
  return printable(text.split('\n').find((line) => line.trim() !== '') ?? 'no message').slice(0, 200);
}
