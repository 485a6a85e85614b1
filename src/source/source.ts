import type { ManifestFile } from '../manifest/model.ts';

/** One state of the fleet's files, named so that a person can find it again. */
export interface Revision {
  /** Full commit id, or `sha256:…` of a directory's content. */
  readonly id: string;
  /** `main@sha1:450796dd…` (Flux RFC-0005 form), or `dir@sha256:…`; shortened only when rendered. */
  readonly label: string;
  readonly subject?: string;
  readonly author?: string;
  /** RFC 3339. */
  readonly time?: string;
  /** Who vouched for it, where the node asks for that. */
  readonly signature?: Signature;
}

/** A signature that was verified against keys on the node. */
export interface Signature {
  readonly format: 'ssh' | 'openpgp';
  /** The principal of `allowed_signers`, or the OpenPGP user id. */
  readonly signer: string;
  /** `SHA256:…` of an ssh key, or the OpenPGP fingerprint in hexadecimal. */
  readonly key: string;
}

/** The commit that gave a document its present text. */
export interface LineOrigin {
  readonly id: string;
  readonly subject: string;
  readonly author: string;
  /** RFC 3339, of the commit. */
  readonly time: string;
}

/** How one of several remotes did when it was asked last. */
export interface RemoteState {
  /** For people: holds no credentials. */
  readonly url: string;
  /** RFC 3339; absent: not asked yet. */
  readonly askedAt?: string;
  /** Why nothing was taken from it. */
  readonly error?: string;
}

/** A complete snapshot: every manifest file below the path, or an error; never a part. */
export interface Snapshot {
  readonly revision: Revision;
  readonly files: readonly ManifestFile[];
  /** For people: what was passed over and why (a symbolic link, a submodule). */
  readonly notes?: readonly string[];
}

/**
 * Where revisions come from. Implementations verify, cache and can read offline.
 * Failures are `OmniError`s with exit code 3 and class `retry` or `stall`.
 */
export interface Source {
  readonly kind: 'git' | 'directory' | 'applied';
  /** For people: the URL without credentials, and the ref and path. */
  readonly description: string;
  /** Host names or addresses of its origins; none for a folder. */
  readonly hosts?: readonly string[];
  /** Asks the origin (bounded in time and size) and returns its newest snapshot; reads the cache only for content. */
  fetch(signal: AbortSignal): Promise<Snapshot>;
  /** The newest snapshot that an earlier fetch left on disk, without any network; undefined if there is none. */
  cached(signal: AbortSignal): Promise<Snapshot | undefined>;
  /** A given revision from the cache (`main~1`, a sha, a tag), without any network. */
  at(rev: string, signal: AbortSignal): Promise<Snapshot>;
  /** Calls `wake` when there may be something new (file change, poll timer with jitter and backoff); returns a stop. */
  watch(wake: () => void): () => Promise<void>;
  /** Throws unless the origin answers now. Changes nothing: what it would offer is not looked at. For `applied`: always answers. */
  reachable(signal: AbortSignal): Promise<void>;
  /** Asks sooner than the poll would, a little later than now: a hint, worth what whoever gave it is worth. Rate-limited. */
  nudge?(): void;
  /** The next fetch may leave the history that was accepted so far: a person looked at why it was rewound. */
  acceptRewind?(): void;
  /** The newest commit that wrote a line of the document that begins there (`file` and `line` as in `Position`), as of a revision; undefined: nobody can tell. */
  blame?(id: string, file: string, line: number, signal: AbortSignal): Promise<LineOrigin | undefined>;
  /** What a person should know of how far it can be trusted: a sentence each. */
  warnings?(): readonly string[];
  /** Where there are several remotes: each, in the order of the configuration. */
  remotes?(): readonly RemoteState[];
  /** When the next poll is due, milliseconds since 1970; undefined while nothing polls. */
  nextFetchAt?(): number | undefined;
}
