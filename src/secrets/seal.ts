import { armor, Encrypter } from 'age-encryption';
import { publicKeyBytes } from '../manifest/keys.ts';
import { montgomeryKeys } from '../session/keys.ts';
import { secretLine } from '../session/secrets.ts';
import type { Member } from './members.ts';
import { recipientOf } from './stanza.ts';

/**
 * An age file in ASCII armor, with a line break at its end, that holds the base64 of `psk`: each of `members` can open it,
 * with this package or, having the key that `ageIdentity` gives, with the `age` program. Throws RangeError without members.
 */
export async function sealPsk(psk: Uint8Array, members: readonly Member[]): Promise<string> {
  if (members.length === 0) throw new RangeError('a secret that is sealed for nobody');
  const encrypter = new Encrypter();
  for (const key of montgomeryKeys(members.map(({ publicKey }) => publicKeyBytes(publicKey)))) {
    encrypter.addRecipient(recipientOf(key));
  }
  const line = secretLine(psk);
  try {
    return armor.encode(await encrypter.encrypt(line));
  } finally {
    line.fill(0);
  }
}
