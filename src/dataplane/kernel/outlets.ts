/**
 * The interfaces that an overlay's datagrams leave by: whose routes lead to peers' endpoints, and what was tried lately.
 * Answers come in where questions went out. Clock: milliseconds, monotonic.
 */
export class Outlets {
  readonly #ofPeer = new Map<bigint, number>();
  readonly #usedAt = new Map<number, number>();
  #routedLast: ReadonlySet<number> = new Set();

  /** `ifindex` absent: the peer has no endpoint, or there is no route to it. */
  route(peer: bigint, ifindex: number | undefined): void {
    if (ifindex === undefined) this.#ofPeer.delete(peer);
    else this.#ofPeer.set(peer, ifindex);
  }

  /** Interfaces that peers' endpoints are routed through. */
  routed(): ReadonlySet<number> {
    return new Set(this.#ofPeer.values());
  }

  /** Something left by this interface, or would. */
  use(ifindex: number, nowMs: number): void {
    this.#usedAt.set(ifindex, nowMs);
  }

  /** `routed` are the interfaces that anything is routed through now; those of the last time were in use until now. */
  settle(routed: ReadonlySet<number>, nowMs: number): void {
    for (const ifindex of this.#routedLast) this.use(ifindex, nowMs);
    for (const ifindex of routed) this.use(ifindex, nowMs);
    this.#routedLast = routed;
  }

  /** Milliseconds since; undefined: never, as far as this process knows. */
  idleFor(ifindex: number, nowMs: number): number | undefined {
    const usedAt = this.#usedAt.get(ifindex);
    return usedAt === undefined ? undefined : nowMs - usedAt;
  }
}
