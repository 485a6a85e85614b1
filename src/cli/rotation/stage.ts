import { ExitCode, OmniError } from '../../errors.ts';
import { fingerprint } from '../../manifest/keys.ts';
import type { PublicKey } from '../../manifest/model.ts';
import type { NodeKeys } from '../../reconcile/desired.ts';

/** What a Peer says of its keys. */
export interface PeerKeys {
  readonly publicKey: PublicKey;
  readonly nextPublicKey?: PublicKey;
}

/**
 * Where a node is in changing its key. `begin`: nowhere. `announce`, `swap`, `drop`: what the next commit does. `finish`:
 * nothing is to be committed any more.
 */
export type Step = 'begin' | 'announce' | 'swap' | 'drop' | 'finish';

export interface Stage {
  readonly step: Step;
  /** What the Peer is to say; absent where there is nothing to commit. */
  readonly spec?: PeerKeys;
}

/** The three commits, in their order. */
export const COMMITS: readonly Step[] = ['announce', 'swap', 'drop'];

/**
 * `held`: keys in this node's files. `peer`: this node in the revision in force; undefined: no revision is known. Pure.
 * Throws `rotation-mismatch` (stall, exit code 2) where the Peer names a key that is not here.
 */
export function stageOf(held: NodeKeys, peer: PeerKeys | undefined): Stage {
  const { publicKey: own, nextPublicKey: next } = held;
  if (next === undefined) {
    if (peer !== undefined && (peer.publicKey !== own || peer.nextPublicKey !== undefined)) throw mismatch(held, peer);
    return { step: 'begin' };
  }
  const says = (publicKey: PublicKey, nextPublicKey?: PublicKey) =>
    peer?.publicKey === publicKey && peer.nextPublicKey === nextPublicKey;
  if (peer === undefined || says(own)) return { step: 'announce', spec: { publicKey: own, nextPublicKey: next } };
  if (says(own, next)) return { step: 'swap', spec: { publicKey: next, nextPublicKey: own } };
  if (says(next, own)) return { step: 'drop', spec: { publicKey: next } };
  if (says(next)) return { step: 'finish' };
  throw mismatch(held, peer);
}

function mismatch({ publicKey, nextPublicKey }: NodeKeys, peer: PeerKeys): OmniError {
  const foreign = [peer.publicKey, peer.nextPublicKey].find(
    (key) => key !== undefined && key !== publicKey && key !== nextPublicKey,
  );
  const field = foreign === peer.publicKey ? 'publicKey' : 'nextPublicKey';
  const next = nextPublicKey === undefined ? '' : `, nextPublicKey: ${nextPublicKey}`;
  return new OmniError(
    `the Peer's ${field} is ${fingerprint(foreign ?? peer.publicKey)}, and this node does not hold that key`,
    {
      code: 'rotation-mismatch',
      class: 'stall',
      exitCode: ExitCode.usage,
      fix: `Bring the key file here that belongs to it, or commit what this node holds: publicKey: ${publicKey}${next}.`,
    },
  );
}
