import { spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import type { Member } from '../../../src/secrets/members.ts';
import { createIdentity, type Identity } from '../../../src/session/identity.ts';

/** The `age` program, which scripts/setup installs. */
export const ageInstalled: boolean = spawnSync('age', ['--version']).status === 0;
if (!ageInstalled && process.env.CI) throw new Error('the age program is not installed: under CI that is a failure');

/** Runs `age` or `age-keygen`; throws with what it said where it fails. */
export function run(program: 'age' | 'age-keygen', argv: readonly string[], input = ''): string {
  const { status, stdout, stderr } = spawnSync(program, argv, { input, encoding: 'utf8', timeout: 20_000 });
  if (status !== 0) throw new Error(`${program} exited ${status}: ${stderr}`);
  return stdout;
}

export interface Node {
  readonly identity: Identity;
  readonly member: Member;
}

export function nodes(count: number): readonly Node[] {
  return Array.from({ length: count }, (_, index) => {
    const identity = createIdentity();
    return { identity, member: { peer: `robot-${index + 1}`, publicKey: identity.publicKey } };
  });
}

export const freshPsk = (): Uint8Array => Uint8Array.from(randomBytes(32));
