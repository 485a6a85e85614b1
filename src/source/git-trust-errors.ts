import { ExitCode, OmniError } from '../errors.ts';
import type { Claim, Verdict } from './git-signature.ts';

/** The object that a refusal is about: `commit 0123…`, `tag v1`. */
export interface Subject {
  readonly name: string;
  /** The repository, for people. */
  readonly origin: string;
}

/** Codes of refusals that accuse whoever can write to a remote: they are never hidden behind another remote's silence. */
export const DISTRUST: ReadonlySet<string> = new Set([
  'signature-missing',
  'signature-invalid',
  'signer-unknown',
  'history-rewound',
]);

function refusal(code: string, message: string, fix: string): OmniError {
  return new OmniError(message, { code, class: 'stall', exitCode: ExitCode.source, fix });
}

export function signatureMissing(subject: Subject): OmniError {
  return refusal(
    'signature-missing',
    `${subject.name} of ${subject.origin} is not signed, and this node takes signed ones only`,
    'Push a signed one in its place, made with a key that this node trusts (git commit -S, git tag -s).',
  );
}

export function tagNotSigned(subject: Subject, why: string): OmniError {
  return refusal(
    'signature-missing',
    `${subject.name} of ${subject.origin} ${why}, and this node takes signed tags only`,
    'Make the tag with git tag -s and push it, or follow a branch with verify.tag off.',
  );
}

export function signatureOfOtherKind(subject: Subject, format: Claim['format']): OmniError {
  const what = format === 'x509' ? 'an X.509 signature' : 'a signature of a kind that is not known';
  return refusal(
    'signature-invalid',
    `${subject.name} of ${subject.origin} carries ${what}, which no node can verify`,
    'Sign it with an ssh or OpenPGP key that this node trusts, and push.',
  );
}

export function tagRenamed(subject: Subject, tagged: string): OmniError {
  return refusal(
    'signature-invalid',
    `${subject.name} of ${subject.origin} is the signed tag "${tagged}" under another name`,
    'Find out who moved it; make a tag of the right name with git tag -s and push it.',
  );
}

export function signatureRefused(subject: Subject, claim: Claim, verdict: Verdict & { kind: 'bad' }): OmniError {
  return refusal(
    'signature-invalid',
    `the signature of ${subject.name} of ${subject.origin} by ${claim.format} key ${verdict.key} is not valid: ${verdict.reason}`,
    'Find out who pushed it; then push one in its place that is signed with a key that is valid on this node.',
  );
}

export function signerUnknown(subject: Subject, claim: Claim, key: string, file: string | undefined): OmniError {
  const where = file === undefined ? `no ${claim.format} key` : `not that key (${file})`;
  return refusal(
    'signer-unknown',
    `${subject.name} of ${subject.origin} is signed by ${claim.format} key ${key}, and this node trusts ${where}`,
    file === undefined
      ? `Sign with a key of the kind that this node knows, or give it ${claim.format === 'ssh' ? 'verify.allowedSignersFile' : 'verify.openpgpKeysFile'}.`
      : `Add the key to ${file} on this node if it is to be trusted; else find out who pushed.`,
  );
}

export function tooManyUnverified(origin: string, since: string, limit: number): OmniError {
  return refusal(
    'source-too-large',
    `${origin} has more than ${limit} commits after ${since.slice(0, 12)}, the last one that this node accepted; each would have to be verified`,
    'Look at the history; then run omni reconcile --accept-rewind, which takes the newest commit on its own signature.',
  );
}

export function historyRewound(origin: string, ref: string, accepted: string, offered: string, how: string): OmniError {
  return refusal(
    'history-rewound',
    `${origin} has ${offered.slice(0, 12)} as ${ref}, which ${how} ${accepted.slice(0, 12)}, the newest that this node accepted`,
    `Push ${accepted.slice(0, 12)} or a successor again; if the history was rewritten on purpose, run omni reconcile --accept-rewind on the node.`,
  );
}

/** One of several remotes offers what this node had before it had something newer: a mirror that lags. */
export function remoteBehind(origin: string, ref: string, accepted: string, offered: string): OmniError {
  return new OmniError(
    `${origin} is behind: it has ${offered.slice(0, 12)} as ${ref}, and this node has accepted its successor ${accepted.slice(0, 12)}`,
    {
      code: 'source-behind',
      class: 'retry',
      exitCode: ExitCode.source,
      fix: 'Check what keeps the mirror up to date; another remote is asked meanwhile.',
    },
  );
}

export function markDamaged(path: string): OmniError {
  return refusal(
    'mark-damaged',
    `${path} cannot be read, and the cache is gone too: nobody can tell whether the history was rewound`,
    'Check the disk; look at the newest commit, then run omni reconcile --accept-rewind on the node.',
  );
}

export function notAccepted(origin: string, rev: string): OmniError {
  return refusal(
    'revision-not-accepted',
    `${rev} is on this node's disk, but neither it nor a successor of it was ever accepted from ${origin}`,
    'Name a commit of the history that this node follows; git log shows it.',
  );
}

/** A file that says whom this node trusts. */
export function signersUnusable(path: string, reason: string, fix: string): OmniError {
  return refusal('signers-unusable', `no signature can be verified: ${path} ${reason}`, fix);
}

export function toolMissing(tool: string, packageName: string): OmniError {
  return refusal(
    `${tool}-missing`,
    `no signature can be verified: there is no ${tool} on this node`,
    `Install it: apt-get install ${packageName}.`,
  );
}
