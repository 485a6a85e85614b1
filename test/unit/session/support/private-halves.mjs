// Makes 100 ephemeral keys, a static one and a key file, and tells its parent the private bytes, raw on descriptor 3 and
// never as a text. With the argument `jwk` it makes the ephemeral keys as builds did that turned them into texts.
import { generateKeyPairSync } from 'node:crypto';
import { writeSync } from 'node:fs';
import { createRequire, syncBuiltinESMExports } from 'node:module';
import { setImmediate } from 'node:timers/promises';

const crypto = createRequire(import.meta.url)('node:crypto');
const made = [];
// Session code keeps private keys to itself; here is who made them.
crypto.generateKeyPairSync = (...how) => {
  const pair = generate(...how);
  made.push(pair.privateKey);
  return pair;
};
const generate = generateKeyPairSync;
syncBuiltinESMExports();

const { generateKeyPair } = await import('../../../../dist/src/session/dh.js');
const { createIdentity, readIdentity, readPsk, writeIdentity } = await import(
  '../../../../dist/src/session/identity.js'
);

/** PKCS #8 ends with the 32 private bytes. */
const privateBytes = (key) => key.export({ format: 'der', type: 'pkcs8' }).subarray(-32);

const [how, keyFile] = process.argv.slice(2);
const pairs = Array.from({ length: 100 }, () => (how === 'jwk' ? generateJwk() : generateKeyPair()));

function generateJwk() {
  const { privateKey } = crypto.generateKeyPairSync('x25519');
  return privateKey.export({ format: 'jwk' }).x;
}

const identity = createIdentity();
const seed = identity.seed();
writeIdentity(keyFile, identity);
const again = readIdentity(keyFile).seed();
const psk = readPsk(keyFile); // of the same form
for (let round = 0; round < 4; round++) {
  globalThis.gc();
  await setImmediate();
}
for (const bytes of [...made.map(privateBytes), seed, again, psk]) writeSync(3, bytes);
writeSync(3, Buffer.alloc(32)); // that is all
process.stdin.resume();
process.stdin.on('end', () => process.exit(pairs.length === 100 ? 0 : 1));
