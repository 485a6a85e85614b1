import { damaged } from './git-errors.ts';
import { isAncestor, listCommits } from './git-history.ts';
import type { GitObject, ObjectReader } from './git-objects.ts';
import { type GitContext, type GitEnd, inspectGit, readingContext } from './git-process.ts';
import { type Claim, claimOf, verdictOf } from './git-signature.ts';
import { type SignerFiles, Signers } from './git-signers.ts';
import {
  type Subject,
  signatureMissing,
  signatureOfOtherKind,
  signatureRefused,
  signerUnknown,
  tagNotSigned,
  tagRenamed,
  toolMissing,
  tooManyUnverified,
} from './git-trust-errors.ts';
import type { Signature } from './source.ts';
import { printable, sourceInvalid } from './url.ts';

/** Whose word this node takes. At least one of `commits` and `tag` asks for something, and one of the files is given. */
export interface VerifyOptions extends SignerFiles {
  /** `head`: the commit that the ref leads to; `every`: each one since the last accepted, merged branches included. */
  readonly commits: 'off' | 'head' | 'every';
  /** The ref is a tag; the tag itself must be signed and bear the name that it is found under. */
  readonly tag: boolean;
}

/** What is to be vouched for: a ref's value, and the commit that it leads to. */
export interface Candidate {
  /** Fully qualified name of the ref; undefined for a commit that was named by itself. */
  readonly ref: string | undefined;
  readonly object: GitObject;
  readonly commit: GitObject;
  /** The last accepted commit, an ancestor of `commit`; undefined: there is none, and `commit` speaks for its history. */
  readonly since: string | undefined;
}

const TIMEOUT_MS = 15_000;
const OUTPUT_BYTES = 256 * 1024;
const EVERY_LIMIT = 1_000;
const REMEMBERED = 8_192;

/** Verifies commits and tags of the cache by the trust files of this node. What was good stays so until a file changes. */
export class Verifier {
  readonly #options: VerifyOptions;
  readonly #context: GitContext;
  readonly #asking: GitContext;
  readonly #objects: ObjectReader;
  readonly #signers: Signers;
  readonly #good = new Map<string, Signature>();
  #stamp: string | undefined;

  constructor(options: VerifyOptions, context: GitContext, objects: ObjectReader, gnupgHome: string) {
    this.#options = options;
    this.#signers = new Signers(options, gnupgHome, context.sandbox);
    this.#context = context;
    this.#asking = verifyContext(context, options, gnupgHome);
    this.#objects = objects;
  }

  /** Reads the trust files; to be called before `vouch`. Resolves with a text that changes when they do. */
  async refresh(signal: AbortSignal): Promise<string> {
    const stamp = await this.#signers.refresh(signal);
    if (stamp !== this.#stamp) this.#good.clear();
    this.#stamp = stamp;
    return stamp;
  }

  /** Whose signature makes the candidate acceptable. Throws `signature-missing`, `signature-invalid`, `signer-unknown`. */
  async vouch(candidate: Candidate, signal: AbortSignal): Promise<Signature> {
    const { commits, tag } = this.#options;
    const { ref, object, commit, since } = candidate;
    const byTag = tag && ref !== undefined ? await this.#tag(ref, object, signal) : undefined;
    if (byTag !== undefined && commits === 'off') return byTag;
    const byCommit = await this.#verify(commit, `commit ${commit.id}`, signal);
    if (commits === 'every' && since !== undefined) await this.#between(since, commit.id, signal);
    return byTag ?? byCommit;
  }

  async #tag(ref: string, object: GitObject, signal: AbortSignal): Promise<Signature> {
    const short = ref.replace(/^refs\/(?:heads|tags)\//, '');
    const subject = { name: `tag ${short}`, origin: this.#context.origin };
    if (object.type !== 'tag') throw tagNotSigned(subject, 'is a mere name for a commit');
    const signature = await this.#verify(object, subject.name, signal);
    const tagged = /^tag (.*)$/m.exec(object.data.toString('utf8').split('\n\n', 1)[0] ?? '')?.[1];
    if (tagged !== short) throw tagRenamed(subject, printable(tagged ?? '').slice(0, 100));
    return signature;
  }

  async #between(since: string, head: string, signal: AbortSignal): Promise<void> {
    const { origin } = this.#context;
    const ids = await listCommits(this.#context, head, since, EVERY_LIMIT + 1, signal);
    if (ids.length > EVERY_LIMIT) throw tooManyUnverified(origin, since, EVERY_LIMIT);
    for (const id of ids.toReversed()) {
      if (this.#good.has(id)) continue;
      const commit = await this.#objects.read(id);
      if (commit === undefined) throw damaged('cache', origin, `commit ${id} is missing`);
      await this.#verify(commit, `commit ${id}`, signal).catch(async (refusal: unknown) => {
        if (!(await isAncestor(this.#context, id, since, signal))) throw refusal;
      });
    }
  }

  async #verify(object: GitObject, name: string, signal: AbortSignal): Promise<Signature> {
    const known = this.#good.get(object.id);
    if (known !== undefined) return known;
    const subject: Subject = { name, origin: this.#context.origin };
    const claim = claimOf(object);
    if (claim === undefined)
      throw object.type === 'tag' ? tagNotSigned(subject, 'is not signed') : signatureMissing(subject);
    if (claim.format === 'x509' || claim.format === 'unknown') throw signatureOfOtherKind(subject, claim.format);
    const file = claim.format === 'ssh' ? this.#options.allowedSignersFile : this.#options.openpgpKeysFile;
    if (file === undefined) throw signerUnknown(subject, claim, claim.key ?? '(not looked at)', undefined);
    const end = await this.#ask(object, signal);
    refuseMissingTool(claim, end);
    const verdict = verdictOf(claim, end);
    switch (verdict.kind) {
      case 'good':
        if (this.#good.size >= REMEMBERED) this.#good.clear();
        this.#good.set(object.id, verdict.signature);
        return verdict.signature;
      case 'unknown':
        throw signerUnknown(subject, claim, verdict.key, file);
      case 'bad':
        throw signatureRefused(subject, claim, verdict);
    }
  }

  #ask(object: GitObject, signal: AbortSignal): Promise<GitEnd> {
    return inspectGit(this.#asking, {
      args: [object.type === 'tag' ? 'verify-tag' : 'verify-commit', '--raw', object.id],
      timeoutMs: TIMEOUT_MS,
      maxOutputBytes: OUTPUT_BYTES,
      signal,
    });
  }
}

/** Throws `source-invalid` for options that would verify nothing, or could never accept anything. */
export function checkVerifyOptions({ commits, tag, allowedSignersFile, openpgpKeysFile }: VerifyOptions): void {
  if (commits === 'off' && !tag) {
    throw sourceInvalid(
      'verify asks for nothing',
      'Set commits to head or every, or tag to true, or leave verify out.',
    );
  }
  if (allowedSignersFile === undefined && openpgpKeysFile === undefined) {
    throw sourceInvalid('verify names nobody who may sign', 'Give allowedSignersFile or openpgpKeysFile.');
  }
}

/** Explicit, for nothing on this host may have a say in it; x509 is refused before git is asked, and once more here. */
function verifyContext(context: GitContext, files: SignerFiles, gnupgHome: string): GitContext {
  const settings = {
    'gpg.openpgp.program': 'gpg',
    'gpg.ssh.program': 'ssh-keygen',
    'gpg.x509.program': 'false',
    'gpg.minTrustLevel': 'undefined', // the private ring holds nobody else; git's default, spelled out
    ...(files.allowedSignersFile === undefined ? {} : { 'gpg.ssh.allowedSignersFile': files.allowedSignersFile }),
    ...(files.revokedKeysFile === undefined ? {} : { 'gpg.ssh.revocationFile': files.revokedKeysFile }),
  };
  const options = Object.entries(settings).flatMap(([key, value]) => ['-c', `${key}=${value}`]);
  const trusted = [files.allowedSignersFile, files.revokedKeysFile].filter((path) => path !== undefined);
  return {
    ...readingContext(context, [...trusted, gnupgHome]),
    env: { ...context.env, GNUPGHOME: gnupgHome },
    options: [...context.options, ...options],
  };
}

function refuseMissingTool(claim: Claim, { stderr }: GitEnd): void {
  if (!/cannot (?:run|exec) ['"]?(?:gpg|ssh-keygen)['"]?:/.test(stderr)) return;
  throw claim.format === 'ssh' ? toolMissing('ssh-keygen', 'openssh-client') : toolMissing('gpg', 'gpg');
}
