import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inspect } from 'node:util';
import { armor, Encrypter } from 'age-encryption';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { OmniError } from '../../../src/errors.ts';
import { formats } from '../../../src/manifest/values.ts';
import { countRecipients } from '../../../src/secrets/census.ts';
import { openPsk } from '../../../src/secrets/open.ts';
import { ageIdentity, ageRecipient } from '../../../src/secrets/recipients.ts';
import { sealPsk } from '../../../src/secrets/seal.ts';
import { ageInstalled, freshPsk, type Node, nodes, run } from './age.ts';

const PLACE = { cluster: 'warehouse', field: 'psk' } as const;
const open = (sealed: string, node: Node) => openPsk(sealed, [node.identity.keyPair], PLACE);
const membersOf = (all: readonly Node[]) => all.map(({ member }) => member);
const base64 = (bytes: Uint8Array) => Buffer.from(bytes).toString('base64');

async function failureOf(sealed: string, node: Node): Promise<OmniError> {
  try {
    await open(sealed, node);
  } catch (error) {
    if (error instanceof OmniError) return error;
    throw error;
  }
  throw new Error('it was opened');
}

/** An age file for `node` with any text in it, as the library makes it. */
async function fileWith(text: string, node: Node): Promise<string> {
  const encrypter = new Encrypter();
  encrypter.addRecipient(ageRecipient(node.member.publicKey));
  return armor.encode(await encrypter.encrypt(text));
}

describe('a sealed key', () => {
  test('is opened by every member, and by nobody else', async () => {
    const [stranger, ...members] = nodes(6) as [Node, ...Node[]];
    const psk = freshPsk();
    const sealed = await sealPsk(psk, membersOf(members));
    for (const member of members) expect(await open(sealed, member)).toEqual(psk);
    expect(await failureOf(sealed, stranger)).toMatchObject({
      code: 'psk-not-sealed-for-this-node',
      class: 'stall',
      message: "spec.psk of cluster/warehouse is not sealed for this node's key",
      fix: expect.stringContaining('omni reseal -f <fleet> --cluster warehouse --write'),
    });
  });
  test('is one that manifests take, and says how many keys it is for', async () => {
    const members = nodes(3);
    const sealed = await sealPsk(freshPsk(), membersOf(members));
    expect(formats['omni-age']?.(sealed, 'psk')).toBeUndefined();
    expect(countRecipients(sealed)).toBe(3);
  });
  test('never looks the same twice, and shows nothing of the key', async () => {
    const [node] = nodes(1) as [Node];
    const psk = freshPsk();
    const [one, two] = [await sealPsk(psk, [node.member]), await sealPsk(psk, [node.member])];
    expect(one).not.toBe(two);
    const raw = Buffer.from(armor.decode(one)).toString('latin1');
    expect(raw).not.toContain(base64(psk));
    expect(raw).not.toContain(Buffer.from(psk).toString('latin1'));
  });
  test('is for somebody', async () => {
    await expect(sealPsk(freshPsk(), [])).rejects.toThrow(RangeError);
  });
  test('of a thousand members is sealed and opened within a second or two', async () => {
    const [node, ...others] = nodes(1000) as [Node, ...Node[]];
    const psk = freshPsk();
    const sealed = await sealPsk(psk, membersOf([...others, node]));
    let turns = 0;
    const ticking = setInterval(() => turns++, 1);
    expect(await open(sealed, node)).toEqual(psk);
    clearInterval(ticking);
    expect(turns).toBeGreaterThan(3); // others had their turn meanwhile
    expect(countRecipients(sealed)).toBe(1000);
  });
});

describe('what is no key', () => {
  const [node] = nodes(1) as [Node];
  const good = base64(randomBytes(32));

  test.each([
    ['31 bytes', base64(randomBytes(31))],
    ['33 bytes', base64(randomBytes(33))],
    ['base64url', 'a-_b'.repeat(11)],
    ['no canonical base64', `${good.slice(0, 42)}B=`],
    ['nothing', ''],
    ['two lines', `${good}\n${good}\n`],
    ['a long text', 'A'.repeat(4096)],
  ])('%s', async (_, text) => {
    const sealed = await fileWith(text, node);
    const failure = await failureOf(sealed, node);
    expect(failure).toMatchObject({ code: 'psk-damaged', class: 'stall', fix: expect.stringContaining('omni seal') });
    if (text !== '') expect(inspect(failure)).not.toContain(text.slice(0, 20));
  });
  test('white space around a key is no harm', async () => {
    expect(base64(await open(await fileWith(` ${good}\r\n\n`, node), node))).toBe(good);
  });
  test('any changed character of the file', async () => {
    const sealed = await sealPsk(freshPsk(), [node.member]);
    const lines = sealed.split('\n');
    for (let line = 1; line < lines.length - 2; line++) {
      const text = lines[line] ?? '';
      for (const at of [0, Math.floor(text.length / 2), text.length - 5]) {
        const other = text[at] === 'A' ? 'B' : 'A';
        const changed = [...lines];
        changed[line] = `${text.slice(0, at)}${other}${text.slice(at + 1)}`;
        const { code } = await failureOf(changed.join('\n'), node);
        // Where the ephemeral key or the wrapped file key changed, it looks like somebody else's.
        expect(['psk-damaged', 'psk-not-sealed-for-this-node']).toContain(code);
      }
    }
  });
  test.each(['', 'omni', '-----BEGIN AGE ENCRYPTED FILE-----\nAAAA\n-----END AGE ENCRYPTED FILE-----\n'])(
    'a text that is no age file: %j',
    async (text) => {
      expect(await failureOf(text, node)).toMatchObject({ code: 'psk-damaged' });
      expect(countRecipients(text)).toBeUndefined();
    },
  );
  test('a stanza with a key of low order', async () => {
    const raw = Buffer.from(armor.decode(await sealPsk(freshPsk(), [node.member]))).toString('latin1');
    const zero = Buffer.alloc(32).toString('base64').replace(/=+$/, '');
    const changed = armor.encode(Buffer.from(raw.replace(/-> X25519 \S+/, `-> X25519 ${zero}`), 'latin1'));
    expect(await failureOf(changed, node)).toMatchObject({ code: 'psk-damaged' });
  });
});

describe.skipIf(!ageInstalled)(`the age program${ageInstalled ? '' : ' (skipped: not installed)'}`, () => {
  let folder: string;
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'omni-age-'));
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  const identityFile = (node: Node) => {
    const path = join(folder, node.member.peer);
    writeFileSync(path, `${ageIdentity(node.identity.seed())}\n`, { mode: 0o600 });
    return path;
  };

  test('derives from a node’s identity the recipient that others derive from its public key', () => {
    for (const node of nodes(5)) {
      expect(run('age-keygen', ['-y', identityFile(node)])).toBe(`${ageRecipient(node.member.publicKey)}\n`);
    }
  });
  test('opens what omni sealed, with any member’s identity', async () => {
    const members = nodes(4);
    const psk = freshPsk();
    const sealed = await sealPsk(psk, membersOf(members));
    for (const member of members)
      expect(run('age', ['-d', '-i', identityFile(member)], sealed)).toBe(`${base64(psk)}\n`);
    const [stranger] = nodes(1) as [Node];
    expect(() => run('age', ['-d', '-i', identityFile(stranger)], sealed)).toThrow(/no identity matched/);
  });
  test('seals what every member opens, and the count is right', async () => {
    const members = nodes(4);
    const psk = freshPsk();
    const recipients = members.flatMap(({ member }) => ['-r', ageRecipient(member.publicKey)]);
    const sealed = run('age', ['-a', ...recipients], `${base64(psk)}\n`);
    for (const member of members) expect(await open(sealed, member)).toEqual(psk);
    expect(countRecipients(sealed)).toBe(4);
    const [stranger] = nodes(1) as [Node];
    expect(await failureOf(sealed, stranger)).toMatchObject({ code: 'psk-not-sealed-for-this-node' });
  });
});
