import { checkPair } from './check-pairs.ts';
import { checkName, checkPeer, checkVip } from './check-references.ts';
import type { CheckRun } from './check-run.ts';
import { checkAddress, checkDerived, checkEndpoint, checkKey, checkRevocation } from './check-unique.ts';
import type { SubjectKind } from './fleet-index.ts';
import type { Diagnostic } from './model.ts';

/** The checks beyond a single document: each looks at one subject, and says all that is wrong with it. */
export const checks: { readonly [S in SubjectKind]: (run: CheckRun, key: string) => Diagnostic[] } = {
  name: checkName,
  peer: checkPeer,
  vip: checkVip,
  key: checkKey,
  derived: checkDerived,
  address: checkAddress,
  endpoint: checkEndpoint,
  pair: checkPair,
  revocation: checkRevocation,
};
