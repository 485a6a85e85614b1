import fc from 'fast-check';
import { expect, test } from 'vitest';
import { claimOf, verdictOf } from '../../src/source/git-signature.ts';

const RUNS = Number(process.env.OMNI_FUZZ_RUNS ?? 3000);

/** Pieces that the parsers look for, and noise between them. */
const piece = fc.oneof(
  fc.constantFrom(
    'gpgsig ',
    '\n ',
    '\n\n',
    '\n',
    '-----BEGIN SSH SIGNATURE-----\n',
    '-----END SSH SIGNATURE-----',
    '-----BEGIN PGP SIGNATURE-----',
    '-----BEGIN SIGNED MESSAGE-----',
    'U1NIU0lHAAAAAQAAADM',
    '[GNUPG:] GOODSIG ',
    '[GNUPG:] VALIDSIG ',
    '[GNUPG:] REVKEYSIG ',
    'Good "git" signature for x with ED25519 key SHA256:y\n',
    'No principal matched.\n',
  ),
  fc.string(),
);
const text = fc.array(piece, { maxLength: 40 }).map((pieces) => pieces.join(''));

test('an object of any content carries a claim or none', () => {
  fc.assert(
    fc.property(
      fc.constantFrom('commit', 'tag'),
      fc.oneof(text, fc.uint8Array({ maxLength: 4_096 })),
      (type, content) => {
        const claim = claimOf({ type, data: Buffer.from(content) });
        if (claim?.key !== undefined) expect(claim.key).toMatch(/^SHA256:[A-Za-z0-9+/]{43}$/);
      },
    ),
    { numRuns: RUNS },
  );
});

test('whatever git and its helpers print, nothing is good that they did not end with', () => {
  fc.assert(
    fc.property(fc.constantFrom('ssh', 'openpgp'), fc.integer({ min: 1, max: 255 }), text, (format, status, stderr) => {
      expect(verdictOf({ format }, { status, stdout: '', stderr }).kind).not.toBe('good');
      const accepted = verdictOf({ format }, { status: 0, stdout: '', stderr });
      if (accepted.kind !== 'good') return;
      expect(stderr).toContain(format === 'ssh' ? 'Good "git" signature for ' : '[GNUPG:] GOODSIG ');
      if (format === 'openpgp') expect(stderr).not.toMatch(/^\[GNUPG:\] REVKEYSIG /m);
    }),
    { numRuns: RUNS },
  );
});
