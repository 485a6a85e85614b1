import { describe, expect, it } from 'vitest';
import { OmniError } from '../../../src/errors.ts';
import {
  checkPath,
  checkRef,
  checkRev,
  parseSourceUrl,
  printable,
  withoutCredentials,
} from '../../../src/source/url.ts';

function refused(run: () => unknown): OmniError {
  try {
    run();
  } catch (error) {
    if (error instanceof OmniError) return error;
    throw error;
  }
  throw new Error('was accepted');
}

describe('parseSourceUrl', () => {
  it.each([
    'https://git.example.org/fleet.git',
    'https://git.example.org:8443/a/b',
    'http://[2001:db8::7]/fleet',
    'ssh://git@git.example.org:22/fleet.git',
    'git://127.0.0.1:9418/fleet',
    'file:///srv/git/fleet.git',
    'git@git.example.org:team/fleet.git',
    'git.example.org:fleet.git',
  ])('takes %s as a git URL', (text) => {
    expect(parseSourceUrl(text)).toEqual({ kind: 'git', url: text, display: text });
  });

  it.each(['fleet', './fleet', '/etc/omni/fleet', '../a b/ü', './a:b', '/srv/a:b'])('takes %s as a folder', (text) => {
    expect(parseSourceUrl(text)).toMatchObject({ kind: 'directory', path: text });
  });

  it.each([
    '',
    '-x',
    '--upload-pack=touch /tmp/x',
    'ext::sh -c id',
    'fd::17',
    'ssh://-oProxyCommand=id/x',
    'ssh://-oProxyCommand=id@host/x',
    '-oProxyCommand=id:x',
    'a@-oProxyCommand=id:x',
    'git@host:-x',
    'git@host:a b',
    'gopher://host/x',
    'https://host',
    'https://host/',
    'https://ho st/x',
    'https://host:99999/x',
    'https://host/x?token=1',
    'https://host/x#y',
    'file://host/x',
    'https://host/x\n--upload-pack=id',
    'fleet\u0000',
    'x'.repeat(3_000),
  ])('refuses %j', (text) => {
    expect(refused(() => parseSourceUrl(text))).toMatchObject({ code: 'source-invalid', exitCode: 3, class: 'stall' });
  });

  it.each(['https://robot:s3cret@host/x', 'https://s3cret@host/x', 'ssh://git:s3cret@host/x', 'http://s3cret:@host/x'])(
    'refuses a secret in the URL without repeating it: %s',
    (text) => {
      const error = refused(() => parseSourceUrl(text));
      expect(`${error.message} ${error.fix}`).not.toContain('s3cret');
      expect(error.message).toContain('user name or password');
    },
  );
});

describe('names that reach git', () => {
  it.each(['main', 'release/2024.1', 'v1.2.3', 'ümlaut', 'refs/heads/main', 'refs/tags/v1', 'a@b'])('ref %s', (ref) => {
    expect(checkRef(ref)).toBe(ref);
  });
  it.each([
    '',
    '-x',
    '--all',
    'a..b',
    'a b',
    'a~1',
    'a^',
    'a:b',
    'a?',
    'a*',
    'a[',
    'a\\b',
    '/a',
    'a/',
    'a//b',
    '.a',
    'a/.b',
    'a.lock',
    'a.',
    '@',
    'a@{1}',
    'a\nb',
    'a\u007f',
    'refs/omni/x',
    'refs/heads/',
    'x'.repeat(201),
  ])('not ref %j', (ref) => {
    expect(refused(() => checkRef(ref)).code).toBe('source-invalid');
  });
  it.each(['main~1', 'HEAD', 'v1^{commit}', 'a1b2c3d', 'main@{1}'])('rev %s', (rev) => {
    expect(checkRev(rev)).toBe(rev);
  });
  it.each(['', '--output=x', 'a..b', '^a', 'a:b', 'a\nb', 'a b', '-1'])('not rev %j', (rev) => {
    expect(refused(() => checkRev(rev)).code).toBe('source-invalid');
  });
  it('path', () => {
    expect(checkPath('')).toBe('');
    expect(checkPath('.')).toBe('');
    expect(checkPath('./fleet//munich/')).toBe('fleet/munich');
    for (const path of ['/etc', '../x', 'a/../b', '-x', 'a\nb']) {
      expect(refused(() => checkPath(path)).code).toBe('source-invalid');
    }
  });
});

it('takes terminal escapes and credentials out of what others wrote', () => {
  expect(printable('a\u001b[31mb\u009bc')).toBe('a [31mb c');
  expect(withoutCredentials("unable to access 'https://robot:s3cret@host/x': and ssh://git@h/y")).toBe(
    "unable to access 'https://host/x': and ssh://h/y",
  );
});
