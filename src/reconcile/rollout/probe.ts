import type { DeclaredProbe, EndpointHint, PublicKey } from '../../manifest/model.ts';

/**
 * Something that can be tried before a revision and after it. `id` is stable between revisions: `peer/robot-17`,
 * `endpoint/robot-17`, `key/robot-17`, `source`, `declared/dock`.
 */
export type Probe =
  /** The peer answers an authenticated round trip through the data path, in frames as large as the link's MTU. */
  | { readonly kind: 'peer'; readonly id: string; readonly peer: PublicKey; readonly name: string }
  /** A handshake is answered at one of these, tried without regard to what a live session observed. */
  | {
      readonly kind: 'endpoint';
      readonly id: string;
      readonly peer: PublicKey;
      readonly name: string;
      readonly hints: readonly EndpointHint[];
    }
  /**
   * The peer proves in a handshake that it has this key, at one of these or wherever it was last. `key/robot-17` before the
   * revision is a probe of kind `peer`: the peer answers by the key that it has until then.
   */
  | {
      readonly kind: 'key';
      readonly id: string;
      readonly peer: PublicKey;
      readonly name: string;
      readonly hints: readonly EndpointHint[];
    }
  /** The origin of revisions answers. */
  | { readonly kind: 'source'; readonly id: 'source' }
  | { readonly kind: 'declared'; readonly id: string; readonly probe: DeclaredProbe };

/** Carries out probes. Tries may run side by side. */
export interface Prober {
  /** Peers with a session that frames can use now. */
  livePeers(): Promise<readonly PublicKey[]>;
  /** One try. `undefined`: passed; else why not, for people. Rejects only when `signal` is aborted, with its reason. */
  run(probe: Probe, signal: AbortSignal): Promise<string | undefined>;
}
