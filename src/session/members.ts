import { publicKeyBytes } from '../manifest/keys.ts';
import type { PublicKey } from '../manifest/model.ts';
import type { SessionId } from '../reconcile/dataplane.ts';
import type { PeerIntent, SessionConfig } from '../reconcile/desired.ts';
import type { Exchange } from './exchange.ts';
import type { RemoteParty } from './handshake.ts';
import { montgomeryKeys } from './keys.ts';
import type { PeerSessions } from './peer.ts';

/** One peer, and the keys that it is known by: the one that it is called by first. */
export interface Member {
  readonly peer: PeerSessions;
  readonly exchange: Exchange;
  remotes: readonly [RemoteParty, ...RemoteParty[]];
}

/** Who is who: peers by their keys, and by the session ids that are theirs. */
export class Members {
  readonly #all = new Set<Member>();
  readonly #byKey = new Map<PublicKey, Member>();
  /**
   * By X25519 key, which is what an initiation bears. An Ed25519 key and its negative have the same one; a validated fleet
   * has at most one Peer for both.
   */
  readonly #callers = new Map<string, Member>();
  readonly #owners = new Map<SessionId, PeerSessions>();

  get all(): readonly Member[] {
    return [...this.#all];
  }

  /** By either of its keys. */
  find(key: PublicKey): Member | undefined {
    return this.#byKey.get(key);
  }

  caller(staticKey: Uint8Array): Member | undefined {
    return this.#callers.get(callerKeyOf(staticKey));
  }

  owner(id: SessionId): PeerSessions | undefined {
    return this.#owners.get(id);
  }

  own(id: SessionId, peer: PeerSessions): void {
    this.#owners.set(id, peer);
  }

  disown(id: SessionId): void {
    this.#owners.delete(id);
  }

  /**
   * The member that `intent` speaks of: the one that is called by its key; or by a key of which the peer changes to this
   * one or from it, unless the configuration has another peer of that key.
   */
  meant(intent: PeerIntent, { peers }: SessionConfig): Member | undefined {
    const named = this.#byKey.get(intent.publicKey);
    if (named?.peer.intent.publicKey === intent.publicKey) return named;
    const changing = named ?? (intent.nextPublicKey && this.#byKey.get(intent.nextPublicKey));
    return changing === undefined || peers.has(changing.peer.intent.publicKey) ? undefined : changing;
  }

  /** Again, where its keys are other ones now. */
  add(member: Member): void {
    this.#all.add(member);
    for (const { publicKey, staticKey } of member.remotes) {
      this.#byKey.set(textOf(publicKey), member);
      this.#callers.set(callerKeyOf(staticKey), member);
    }
  }

  /** What is another member's by now stays. */
  remove(member: Member): void {
    this.#all.delete(member);
    for (const { publicKey, staticKey } of member.remotes) {
      const [key, callerKey] = [textOf(publicKey), callerKeyOf(staticKey)];
      if (this.#byKey.get(key) === member) this.#byKey.delete(key);
      if (this.#callers.get(callerKey) === member) this.#callers.delete(callerKey);
    }
  }
}

/** The keys of each peer, the one that it is called by first; those in `known` are not computed again. */
export function remotesOf(
  intents: readonly PeerIntent[],
  known: readonly RemoteParty[] = [],
): readonly (readonly [RemoteParty, ...RemoteParty[]])[] {
  const wanted = intents.flatMap(keysOf);
  const parties = new Map(known.map((party) => [textOf(party.publicKey), party]));
  const missing = wanted.filter((key) => !parties.has(key));
  const publicKeys = missing.map((key) => publicKeyBytes(key));
  const staticKeys = montgomeryKeys(publicKeys);
  missing.forEach((key, index) => {
    const [publicKey, staticKey] = [publicKeys[index], staticKeys[index]];
    if (publicKey !== undefined && staticKey !== undefined) parties.set(key, { publicKey, staticKey });
  });
  return intents.map((intent) => {
    const [first, ...others] = keysOf(intent).flatMap((key) => parties.get(key) ?? []);
    if (first === undefined) throw new TypeError('a key for each peer');
    return [first, ...others];
  });
}

function keysOf({ publicKey, nextPublicKey }: PeerIntent): readonly PublicKey[] {
  return nextPublicKey === undefined ? [publicKey] : [publicKey, nextPublicKey];
}

function textOf(publicKey: Uint8Array): PublicKey {
  return Buffer.from(publicKey).toString('base64') as PublicKey;
}

function callerKeyOf(staticKey: Uint8Array): string {
  return Buffer.from(staticKey.buffer, staticKey.byteOffset, staticKey.byteLength).toString('latin1');
}
