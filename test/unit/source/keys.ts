import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync } from 'node:fs';
import { dirname } from 'node:path';
import type { Repository } from './lab.ts';

export interface SshKey {
  readonly file: string;
  /** `ssh-ed25519 AAAA…` */
  readonly publicKey: string;
  /** `SHA256:…` */
  readonly fingerprint: string;
}

export function makeSshKey(file: string): SshKey {
  mkdirSync(dirname(file), { recursive: true });
  execFileSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-C', '', '-f', file]);
  const publicKey = readFileSync(`${file}.pub`, 'utf8').trim();
  const line = execFileSync('ssh-keygen', ['-l', '-f', `${file}.pub`], { encoding: 'utf8' });
  return { file, publicKey, fingerprint: line.split(' ')[1] ?? '' };
}

/** Commits and tags made with `-S` and `-s` from now on carry this key's signature. */
export function signWithSsh(repository: Repository, key: SshKey): void {
  repository.git('config', 'gpg.format', 'ssh');
  repository.git('config', 'user.signingKey', key.file);
}

/** An armored signature over a file's content, for a purpose of the caller's. */
export function signFileWithSsh(key: SshKey, namespace: string, path: string): string {
  const input = readFileSync(path);
  const args = ['-q', '-Y', 'sign', '-n', namespace, '-f', key.file];
  return execFileSync('ssh-keygen', args, { input, encoding: 'utf8', stdio: ['pipe', 'pipe', 'pipe'] });
}

/** A GnuPG home with secret keys; ends its agent on `close`. */
export class Gpg {
  readonly #home: string;

  /** `home` must be short: gpg-agent's socket lies in it. */
  constructor(home: string) {
    mkdirSync(home, { mode: 0o700 });
    this.#home = home;
  }

  #run(...args: string[]): string {
    return execFileSync('gpg', ['--batch', '--quiet', '--homedir', this.#home, ...args], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'pipe'],
    });
  }

  /** Resolves with the fingerprint. `expires`: `never`, `seconds=N`. */
  makeKey(userId: string, expires = 'never'): string {
    this.#run('--pinentry-mode', 'loopback', '--passphrase', '', '--quick-gen-key', userId, 'ed25519', 'sign', expires);
    return /^fpr:+([0-9A-F]+):/m.exec(this.#run('--with-colons', '--list-keys', `=${userId}`))?.[1] ?? '';
  }

  /** Takes back what gpg wrote for this occasion when it made the key. */
  revoke(fingerprint: string): void {
    const certificate = readFileSync(`${this.#home}/openpgp-revocs.d/${fingerprint}.rev`, 'utf8');
    execFileSync('gpg', ['--batch', '--quiet', '--homedir', this.#home, '--import'], {
      input: certificate.replace(':-----BEGIN', '-----BEGIN'),
      stdio: ['pipe', 'pipe', 'pipe'],
    });
  }

  armored(...fingerprints: string[]): string {
    return this.#run('--armor', '--export', ...fingerprints);
  }

  armoredSecret(fingerprint: string): string {
    return this.#run('--pinentry-mode', 'loopback', '--passphrase', '', '--armor', '--export-secret-keys', fingerprint);
  }

  sign(repository: Repository, fingerprint: string): void {
    repository.git('config', 'gpg.format', 'openpgp');
    repository.git('config', 'user.signingKey', fingerprint);
    process.env.GNUPGHOME = this.#home;
  }

  close(): void {
    execFileSync('gpgconf', ['--homedir', this.#home, '--kill', 'all'], { stdio: 'ignore' });
  }
}
