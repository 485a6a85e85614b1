// Child of keys.test.ts: key pairs as the agent makes them, and what is left of them in memory.
//   key-pairs.mjs ROOT make COUNT      makes them
//   key-pairs.mjs ROOT search COUNT    makes them, and looks for private halves as text in its own memory; prints counts
import { createPublicKey } from 'node:crypto';
import { closeSync, openSync, readFileSync, readSync } from 'node:fs';

const [root, mode, count] = process.argv.slice(2);
const { generateKeyPair } = await import(`${root}/dist/src/session/dh.js`);

if (mode === 'make') {
  // Garbage is collected every so many allocations: those between shift the moment.
  const between = new Set();
  for (let made = 0; made < Number(count); made++) {
    for (let more = made % 23; more > 0; more--) between.add({ made });
    between.clear();
    generateKeyPair();
  }
} else {
  // Text of 43 characters that is the private half of one of ours.
  const pairs = Array.from({ length: Number(count) }, () => generateKeyPair());
  const ours = new Set(pairs.map(({ publicKey }) => Buffer.from(publicKey).toString('hex')));
  let found = 0;
  for (const candidate of new Set(memory())) {
    const bytes = Buffer.from(candidate, 'base64url');
    if (bytes.length === 32 && ours.has(publicHalf(bytes))) found++;
  }
  console.log(JSON.stringify({ pairs: pairs.length, found }));
}

function publicHalf(privateBytes) {
  const der = Buffer.concat([Buffer.from('302e020100300506032b656e04220420', 'hex'), privateBytes]);
  const { x } = createPublicKey({ key: der, format: 'der', type: 'pkcs8' }).export({ format: 'jwk' });
  return Buffer.from(x, 'base64url').toString('hex');
}

/** Readable private memory of this process, as Latin-1; strings of one byte a character lie in it as they are. */
function memory() {
  const file = openSync('/proc/self/mem', 'r');
  const parts = [];
  for (const line of readFileSync('/proc/self/maps', 'latin1').split('\n')) {
    const [, from, to] = /^([0-9a-f]+)-([0-9a-f]+) rw-p /.exec(line) ?? [];
    if (from === undefined || /\[(vvar|vsyscall)/.test(line)) continue;
    const [start, length] = [BigInt(`0x${from}`), Number(BigInt(`0x${to}`) - BigInt(`0x${from}`))];
    const bytes = Buffer.alloc(length);
    try {
      readSync(file, bytes, 0, length, start);
    } catch (error) {
      if (error.code !== 'EIO') throw error; // a guard page
    }
    parts.push(
      [...bytes.toString('latin1').matchAll(/(?<![A-Za-z0-9_-])[A-Za-z0-9_-]{43}(?![A-Za-z0-9_-])/g)].map(
        (match) => match[0],
      ),
    );
  }
  closeSync(file);
  return parts.flat();
}
