import { randomBytes } from 'node:crypto';
import { OmniError } from '../errors.ts';
import type { SessionPlane } from '../reconcile/dataplane.ts';
import type { SessionConfig } from '../reconcile/desired.ts';
import { openPsk, type SealedPlace } from '../secrets/open.ts';
import { mac1Key } from '../session/hash.ts';
import type { Identity } from '../session/identity.ts';
import type { SessionManager } from '../session/manager.ts';
import { messageOf } from './lock.ts';

export interface ClusterSecretOptions {
  /** Of this node, now. */
  readonly identities: () => readonly Identity[];
  /** What is in force where the manifest seals no key: that of `--psk-file`, or zeros. 32 bytes; copied. */
  readonly fallback: Uint8Array;
  readonly setPsks: SessionManager['setPsks'];
  readonly setMac1Keys: SessionPlane['setMac1Keys'];
}

/** A sealed text and what became of it: it is opened once, whatever revisions come and go. */
interface Opened {
  readonly sealed: string;
  /** Which an error speaks of. */
  readonly place: SealedPlace;
  /** Those that it was tried with. */
  readonly identities: readonly Identity[];
  readonly outcome: Uint8Array | OmniError;
}

const FIELDS = ['psk', 'nextPsk'] as const;

/**
 * The keys that handshakes are made under, as the revision in force has them. What cannot be opened leaves this node
 * with the keys that can; where there is none, with those that it used before; and where it used none, nobody gets in.
 */
export class ClusterSecret {
  readonly #options: ClusterSecretOptions;
  readonly #fallback: Uint8Array;
  #opened: readonly Opened[] = [];
  /** The cluster whose keys are in force; keys of one are no keys of another. */
  #cluster: string | undefined;

  constructor(options: ClusterSecretOptions) {
    this.#options = options;
    this.#fallback = Uint8Array.from(options.fallback);
  }

  /**
   * Puts the keys of a revision in force, here and in the data plane, before its sessions are configured. Resolves with
   * what could not be opened (`psk-not-sealed-for-this-node`, `psk-damaged`). Undefined: this node is in no cluster.
   */
  async follow(config: SessionConfig | undefined): Promise<OmniError | undefined> {
    const opened = config === undefined ? [] : await this.#openAll(config);
    const keys = opened.flatMap(({ outcome }) => (outcome instanceof OmniError ? [] : [outcome]));
    const problem = opened.map(({ outcome }) => outcome).find((outcome) => outcome instanceof OmniError);
    const before = this.#cluster;
    this.#forget(opened);
    if (config?.psk === undefined) await this.#use([this.#fallback, ...keys]);
    else if (keys.length > 0) await this.#use(keys);
    else if (before !== config.cluster) await this.#use([randomBytes(this.#fallback.length)]);
    this.#cluster = config?.cluster;
    return problem;
  }

  async #openAll(config: SessionConfig): Promise<readonly Opened[]> {
    const identities = this.#options.identities();
    const opened: Opened[] = [];
    for (const field of FIELDS) {
      const sealed = config[field];
      if (sealed === undefined) continue;
      const place = { cluster: config.cluster, field };
      const known = this.#opened.find((each) => each.sealed === sealed && stillHolds(each, place, identities));
      opened.push(known ?? { sealed, place, identities, outcome: await open(sealed, identities, place) });
    }
    return opened;
  }

  /** Keeps what is used; wipes the rest. */
  #forget(used: readonly Opened[]): void {
    for (const each of this.#opened) {
      if (!used.includes(each) && !(each.outcome instanceof OmniError)) each.outcome.fill(0);
    }
    this.#opened = used;
  }

  /** The data plane first: what it lets through meanwhile is refused here. */
  async #use(psks: readonly Uint8Array[]): Promise<void> {
    const { identities, setPsks, setMac1Keys } = this.#options;
    const mac1Keys = identities().flatMap(({ publicKeyBytes }) => psks.map((psk) => mac1Key(publicKeyBytes, psk)));
    try {
      await setMac1Keys(mac1Keys);
    } finally {
      for (const key of mac1Keys) key.fill(0);
    }
    setPsks(psks);
  }
}

async function open(
  sealed: string,
  identities: readonly Identity[],
  place: SealedPlace,
): Promise<Uint8Array | OmniError> {
  const keyPairs = identities.map(({ keyPair }) => keyPair);
  try {
    return await openPsk(sealed, keyPairs, place);
  } catch (cause) {
    if (cause instanceof OmniError) return cause;
    const message = `spec.${place.field} of cluster/${place.cluster} cannot be opened: ${messageOf(cause)}`;
    return new OmniError(message, { code: 'internal', class: 'bug', cause });
  }
}

/** A key is a key; why there is none may be another matter in another place, or with another identity. */
function stillHolds(
  { outcome, place, identities }: Opened,
  { cluster, field }: SealedPlace,
  now: readonly Identity[],
): boolean {
  if (!(outcome instanceof OmniError)) return true;
  const sameNode = identities.length === now.length && identities.every((identity, at) => identity === now[at]);
  return sameNode && place.cluster === cluster && place.field === field;
}
