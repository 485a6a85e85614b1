import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { constants, mkdir, open, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { writersOf } from './exposure.ts';
import { unwritable } from './git-errors.ts';
import { signersUnusable, toolMissing } from './git-trust-errors.ts';
import { type Sandbox, sandboxed } from './sandbox.ts';
import { printable } from './url.ts';

/** Files of this node that say whose signatures count; never anything out of a repository. Absolute paths. */
export interface SignerFiles {
  /** ssh-keygen(1), ALLOWED SIGNERS; lifetimes and namespaces are minded. */
  readonly allowedSignersFile?: string;
  /** Public keys or a KRL that no signature counts by any more, whatever the file above says (ssh-keygen(1)). */
  readonly revokedKeysFile?: string;
  /** Public keys in ASCII armor, several one after another. Each of them counts; GnuPG's web of trust is not asked. */
  readonly openpgpKeysFile?: string;
}

const MAX_BYTES = 4 * 1024 * 1024;
const IMPORT_TIMEOUT_MS = 30_000;

/** No network, no agent, no prompts; what is in the ring is trusted. A node's clock may be behind the key's own birth. */
const GPG_CONF = `${[
  'batch',
  'no-tty',
  'trust-model always',
  'no-auto-key-retrieve',
  'no-auto-key-locate',
  'disable-dirmngr',
  'no-autostart',
  'lock-never',
  'ignore-time-conflict',
].join('\n')}\n`;

/** The trust files as they were read last, and the keyring that gpg reads in their place. */
export class Signers {
  readonly #files: SignerFiles;
  readonly #home: string;
  readonly #sandbox: Sandbox | undefined;
  #ring: string | undefined;

  /** `home`: a folder of our own, made and replaced here. `sandbox`: what gpg runs in. */
  constructor(files: SignerFiles, home: string, sandbox: Sandbox | undefined) {
    this.#files = files;
    this.#home = home;
    this.#sandbox = sandbox;
  }

  get gnupgHome(): string {
    return this.#home;
  }

  /**
   * Reads every file anew and rebuilds the keyring where its file changed. Resolves with a text that is another one
   * when anything changed. Throws `signers-unusable`, `gpg-missing`.
   */
  async refresh(signal: AbortSignal): Promise<string> {
    const { allowedSignersFile, revokedKeysFile, openpgpKeysFile } = this.#files;
    const stamps: string[] = [];
    for (const path of [allowedSignersFile, revokedKeysFile]) {
      if (path !== undefined) stamps.push(digest(await readTrusted(path)));
    }
    if (openpgpKeysFile !== undefined) {
      const armored = await readTrusted(openpgpKeysFile);
      const ring = digest(armored);
      if (ring !== this.#ring) {
        this.#ring = undefined;
        await this.#import(openpgpKeysFile, armored, signal);
        this.#ring = ring;
      }
      stamps.push(ring);
    }
    return stamps.join(' ');
  }

  async #import(path: string, armored: Buffer, signal: AbortSignal): Promise<void> {
    if (armored.includes('PRIVATE KEY BLOCK')) {
      throw signersUnusable(path, 'holds a private key', 'Export public keys only: gpg --armor --export.');
    }
    const fresh = `${this.#home}.new`;
    await onDisk(path, async () => {
      await rm(fresh, { recursive: true, force: true });
      await mkdir(fresh, { recursive: true, mode: 0o700 });
      await writeFile(join(fresh, 'gpg.conf'), GPG_CONF, { mode: 0o600 });
    });
    const output = await gpgImport(this.#sandbox, fresh, path, armored, signal);
    const imported = output.split('\n').filter((line) => line.startsWith('[GNUPG:] IMPORT_OK ')).length;
    if (imported === 0) {
      throw signersUnusable(path, 'holds no OpenPGP public key', 'Write it with gpg --armor --export KEY > FILE.');
    }
    await onDisk(path, async () => {
      await rm(this.#home, { recursive: true, force: true });
      await rename(fresh, this.#home);
    });
  }
}

async function onDisk(keysFile: string, write: () => Promise<void>): Promise<void> {
  await write().catch((error: unknown) => {
    throw unwritable(`what ${keysFile} vouches for`, error);
  });
}

function gpgImport(
  sandbox: Sandbox | undefined,
  home: string,
  path: string,
  armored: Buffer,
  signal: AbortSignal,
): Promise<string> {
  const gpg = ['gpg', '--status-fd=1', '--import'];
  const inside = sandbox && { ...sandbox, write: [home], network: false };
  const [program = 'gpg', ...args] = inside === undefined ? gpg : sandboxed(inside, gpg);
  const env = { PATH: process.env.PATH ?? '', LC_ALL: 'C', GNUPGHOME: home, HOME: home };
  return new Promise((resolve, reject) => {
    const options = { env, cwd: home, timeout: IMPORT_TIMEOUT_MS, maxBuffer: MAX_BYTES, signal };
    const child = execFile(program, args, options, (error, stdout, stderr) => {
      if (error === null || /IMPORT_OK/.test(stdout)) resolve(stdout);
      else if (signal.aborted) reject(signal.reason);
      else if (error.code === 'ENOENT' || /failed to execute gpg/.test(stderr)) reject(toolMissing('gpg', 'gpg'));
      else {
        const reason = `cannot be imported (gpg: ${printable(stderr.trim().split('\n')[0] ?? '').slice(0, 200)})`;
        reject(signersUnusable(path, reason, 'Write it with gpg --armor --export KEY > FILE.'));
      }
    });
    // gpg may end before it has read everything: its exit says why.
    child.stdin?.on('error', () => undefined).end(armored);
  });
}

/** Refuses a file that others may write: it decides whom this node obeys. */
async function readTrusted(path: string): Promise<Buffer> {
  const fix = 'Put the file there, as a regular file that root alone may write.';
  try {
    // O_NONBLOCK: opening a named pipe must not hang the agent.
    const file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
    try {
      const info = await file.stat();
      if (!info.isFile()) throw signersUnusable(path, 'is not a regular file', fix);
      const writers = writersOf(info);
      if (writers !== undefined) {
        throw signersUnusable(path, writers, `Look through it, then run chmod go-w ${path} and chown root ${path}.`);
      }
      if (info.size > MAX_BYTES) throw signersUnusable(path, 'is larger than 4 MiB', 'Name the right file.');
      return await file.readFile();
    } finally {
      await file.close();
    }
  } catch (error) {
    if (!(error instanceof Error && 'syscall' in error && 'code' in error)) throw error;
    throw signersUnusable(path, `cannot be read: ${String(error.code)}`, fix);
  }
}

function digest(content: Uint8Array): string {
  return createHash('sha256').update(content).digest('hex');
}
