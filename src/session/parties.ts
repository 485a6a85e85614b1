import type { PublicKey } from '../manifest/model.ts';
import type { LocalParty } from './handshake.ts';
import type { Identity } from './identity.ts';
import { Psks } from './psks.ts';
import { copySecret } from './secret-bytes.ts';

/** While a node changes its identity, it has the old and the new one. */
const MAX_IDENTITIES = 2;

/** Who this node is: it answers as each of its identities, and calls as one of them. */
export class Parties {
  #psks: readonly Uint8Array[];
  #all: readonly [LocalParty, ...LocalParty[]];

  /** `psks` are copied. */
  constructor(identities: readonly Identity[], psks: readonly Uint8Array[]) {
    this.#psks = copied(psks);
    this.#all = this.#take(identities, []);
  }

  get all(): readonly LocalParty[] {
    return this.#all;
  }

  /** The names of the identities. */
  get keys(): readonly [PublicKey, ...PublicKey[]] {
    const [first, ...others] = this.#all;
    return [first.publicKey, ...others.map(({ publicKey }) => publicKey)];
  }

  has(key: PublicKey): boolean {
    return this.#all.some(({ publicKey }) => publicKey === key);
  }

  /** The identity that `self` names; where there is none of that name, the first. */
  caller(self: PublicKey | undefined): LocalParty {
    return this.#all.find(({ publicKey }) => publicKey === self) ?? this.#all[0];
  }

  /** Handshakes under way go on under identities that stay; those as one that goes end in vain. */
  setIdentities(identities: readonly Identity[]): void {
    const before = this.#all;
    this.#all = this.#take(identities, before);
    for (const party of before) if (!this.#all.includes(party)) party.psks.wipe();
  }

  /** As `Psks.replace`, for all identities. Copied. */
  setPsks(psks: readonly Uint8Array[]): void {
    const before = this.#psks;
    for (const party of this.#all) party.psks.replace(psks);
    this.#psks = copied(psks);
    for (const psk of before) psk.fill(0);
  }

  #take(identities: readonly Identity[], known: readonly LocalParty[]): readonly [LocalParty, ...LocalParty[]] {
    const [first, ...others] = identities.map(
      ({ publicKey, publicKeyBytes, keyPair }) =>
        known.find((party) => party.publicKey === publicKey) ?? {
          publicKey,
          keyPair,
          psks: new Psks(publicKeyBytes, this.#psks),
        },
    );
    if (first === undefined || identities.length > MAX_IDENTITIES) {
      throw new RangeError(`one to ${MAX_IDENTITIES} identities`);
    }
    return [first, ...others];
  }
}

function copied(psks: readonly Uint8Array[]): readonly Uint8Array[] {
  return psks.map(copySecret);
}
