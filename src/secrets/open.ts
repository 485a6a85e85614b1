import { armor, Decrypter } from 'age-encryption';
import { OmniError } from '../errors.ts';
import type { DhKeyPair } from '../session/dh.ts';
import { decodePsk } from './psk-text.ts';
import { NodeIdentity } from './stanza.ts';

/** Where a sealed key stands: what an error names. */
export interface SealedPlace {
  readonly cluster: string;
  readonly field: 'psk' | 'nextPsk';
}

/**
 * The 32 bytes that `sealed` holds, for the caller to wipe. `keyPairs`: the X25519 ones of a node's identities.
 * Throws OmniError, class stall: `psk-not-sealed-for-this-node`, `psk-damaged`. Messages never hold anything of a key.
 */
export async function openPsk(sealed: string, keyPairs: readonly DhKeyPair[], place: SealedPlace): Promise<Uint8Array> {
  const identities = keyPairs.map((keyPair) => new NodeIdentity(keyPair));
  const decrypter = new Decrypter();
  for (const identity of identities) decrypter.addIdentity(identity);
  let text: Uint8Array;
  try {
    text = await decrypter.decrypt(armor.decode(sealed));
  } catch (cause) {
    const foreign = identities.every(({ attempted, matched }) => attempted && !matched);
    throw foreign && isMismatch(cause) ? notForUs(place) : damaged(place, cause);
  }
  try {
    const psk = decodePsk(text);
    if (psk === undefined) throw damaged(place, new Error('what is inside is not the base64 of 32 bytes'));
    return psk;
  } finally {
    text.fill(0);
  }
}

/** As the library says that no identity opened any stanza; a stanza that is none throws something else. */
function isMismatch(cause: unknown): boolean {
  return cause instanceof Error && cause.message.startsWith('no identity matched');
}

function notForUs({ cluster, field }: SealedPlace): OmniError {
  return new OmniError(`spec.${field} of cluster/${cluster} is not sealed for this node's key`, {
    code: 'psk-not-sealed-for-this-node',
    class: 'stall',
    object: `cluster/${cluster}`,
    fix: `Run \`omni reseal -f <fleet> --cluster ${cluster} --write\` on a member that can open it, and commit.`,
  });
}

function damaged({ cluster, field }: SealedPlace, cause: unknown): OmniError {
  const why = cause instanceof Error ? `: ${cause.message}` : '';
  return new OmniError(`spec.${field} of cluster/${cluster} cannot be opened${why}`, {
    code: 'psk-damaged',
    class: 'stall',
    object: `cluster/${cluster}`,
    fix: 'Take it back from the commit that last worked, or seal a new key with `omni seal`.',
    cause,
  });
}
