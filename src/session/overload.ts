import { parseIp } from '../manifest/net.ts';

/** Initiations without a proved address that are answered in a second: about a tenth of a processor, a quarter where they are hybrid. */
const ANSWERED_PER_SECOND = 200;
/** Cookie replies in a second, at most. The packet filter lets no more of them through (OMNI_UNPROVEN_PER_SECOND). */
const REPLIES_PER_SECOND = 1_000;
const SECOND_MS = 1_000;
/** What one owner of IPv6 addresses has at least (RFC 6177). */
const IPV6_SOURCE_BYTES = 8;

/** Counts the initiations whose senders' addresses are not proved. Remembers no more than ANSWERED_PER_SECOND sources. */
export class Overload {
  /** Start of the second that is being counted. */
  #sinceMs = Number.NEGATIVE_INFINITY;
  #count = 0;
  /** Sources that were answered in it. */
  readonly #answered = new Set<string>();
  /** Under load until then. */
  #untilMs = Number.NEGATIVE_INFINITY;

  /**
   * One more of them came from `address`. `answer`: there is time for it. `cookie`: the sender has to prove its address,
   * since there is no time, or since the source was answered in this second already: who sends the others in its name must
   * not keep it out. `drop`: there is no time for that either.
   */
  arrive(address: string, nowMs: number): 'answer' | 'cookie' | 'drop' {
    if (nowMs - this.#sinceMs >= SECOND_MS) {
      this.#sinceMs = nowMs;
      this.#count = 0;
      this.#answered.clear();
    }
    this.#count++;
    const source = sourceOf(address);
    const again = this.#answered.has(source);
    if (!again && this.#answered.size >= ANSWERED_PER_SECOND) this.#untilMs = nowMs + SECOND_MS;
    if (again || nowMs < this.#untilMs) return this.#count > REPLIES_PER_SECOND ? 'drop' : 'cookie';
    this.#answered.add(source);
    return 'answer';
  }
}

/** An IPv4 address, or an IPv6 network of 64 bits, as the packet filter tells sources apart. */
function sourceOf(address: string): string {
  const ip = parseIp(address);
  if (!ip.ok || ip.value.family === 4) return address;
  return Buffer.from(ip.value.bytes.subarray(0, IPV6_SOURCE_BYTES)).toString('hex');
}
