/** Frames that wait for a session. Per peer: so many and so large; and all together so large. Beyond it the oldest go. */
export interface QueueLimits {
  readonly framesPerPeer: number;
  readonly bytesPerPeer: number;
  readonly bytes: number;
}

const QUEUE_LIMITS: QueueLimits = { framesPerPeer: 64, bytesPerPeer: 128 * 1024, bytes: 8 * 1024 * 1024 };

interface PeerQueue {
  readonly frames: Uint8Array[];
  bytes: number;
}

export class FrameQueues<Peer> {
  /** In the order of their first frame: the first queue waits longest. */
  readonly #queues = new Map<Peer, PeerQueue>();
  readonly #limits: QueueLimits;
  #bytes = 0;
  #waiting = 0;
  #queued = 0;
  #dropped = 0;

  constructor(limits: QueueLimits = QUEUE_LIMITS) {
    this.#limits = limits;
  }

  /** Frames that wait now; frames ever taken in; frames ever lost to the limits or to `drop`. */
  get counts(): { readonly waiting: number; readonly queued: number; readonly dropped: number } {
    return { waiting: this.#waiting, queued: this.#queued, dropped: this.#dropped };
  }

  push(peer: Peer, frame: Uint8Array): void {
    this.#queued++;
    const size = frame.length;
    const { framesPerPeer, bytesPerPeer, bytes } = this.#limits;
    if (size > Math.min(bytesPerPeer, bytes)) {
      this.#dropped++;
      return;
    }
    const queue = this.#queues.get(peer) ?? { frames: [], bytes: 0 };
    this.#queues.set(peer, queue);
    while (queue.frames.length >= framesPerPeer || queue.bytes + size > bytesPerPeer) this.#dropOldest(queue);
    queue.frames.push(frame);
    queue.bytes += size;
    this.#bytes += size;
    this.#waiting++;
    for (const [key, longest] of this.#queues) {
      while (this.#bytes > bytes && longest.frames.length > 0) this.#dropOldest(longest);
      if (longest.frames.length === 0) this.#queues.delete(key);
      if (this.#bytes <= bytes) break;
    }
  }

  has(peer: Peer): boolean {
    return this.#queues.has(peer);
  }

  /** Hands out the peer's frames, oldest first. */
  take(peer: Peer): readonly Uint8Array[] {
    const queue = this.#queues.get(peer);
    if (queue === undefined) return [];
    this.#queues.delete(peer);
    this.#bytes -= queue.bytes;
    this.#waiting -= queue.frames.length;
    return queue.frames;
  }

  drop(peer: Peer): void {
    this.#dropped += this.take(peer).length;
  }

  /** Frames that were lost outside of a queue. */
  countDropped(frames: number): void {
    this.#dropped += frames;
  }

  #dropOldest(queue: PeerQueue): void {
    const size = queue.frames.shift()?.length ?? 0;
    queue.bytes -= size;
    this.#bytes -= size;
    this.#waiting--;
    this.#dropped++;
  }
}
