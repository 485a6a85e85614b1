/**
 * Whether 32 bytes are an Ed25519 public key that somebody can hold: a point of the curve, canonical (RFC 8032, 5.1.3),
 * not of small order. Decoding a point takes a square root, 80 us; a public key is read by whoever needs it, and a
 * manifest only needs to know that there is a root. That is a Jacobi symbol, and takes a fifth of the time.
 */
export function pointProblem(bytes: Uint8Array): 'no point' | 'small order' | undefined {
  const y = ordinate(bytes);
  if (y >= P) return 'no point';
  if (SMALL_ORDER.has(y)) return isCanonicalSmall(y, bytes) ? 'small order' : 'no point';
  // x^2 = (y^2 - 1) / (d y^2 + 1) is a square exactly where the product of the two is.
  const square = (y * y) % P;
  return isSquare(((square - 1n) * (D * square + 1n)) % P) ? undefined : 'no point';
}

/** 2^255 - 19 */
const P = 0x7fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffedn;
/** -121665/121666 (RFC 8032, 5.1) */
const D = 0x52036cee2b6ffe738cc740797779e89800700a4d4141d8ab75eb4dca135978a3n;
/** An ordinate of the points of order 8; the other is its negative. */
const ORDER_EIGHT = 0x5fc536d880238b13933c6d305acdfd5f098eff289f4c345b027b2c28f95e826n;
/** Ordinates of the points of order 1, 2, 4 and 8. */
const SMALL_ORDER = new Set([1n, P - 1n, 0n, ORDER_EIGHT, P - ORDER_EIGHT]);

/** Little-endian, without the sign of x. */
function ordinate(bytes: Uint8Array): bigint {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let y = view.getBigUint64(24, true) & 0x7fffffffffffffffn;
  for (const at of [16, 8, 0]) y = (y << 64n) | view.getBigUint64(at, true);
  return y;
}

/** Where x is 0, its sign is 0 too. */
function isCanonicalSmall(y: bigint, bytes: Uint8Array): boolean {
  const xIsZero = y === 1n || y === P - 1n;
  return !xIsZero || (bytes[31] ?? 0) < 0x80;
}

/** Jacobi symbol (value | P) is not -1: by reciprocity, as Euclid's algorithm with the twos taken out. */
function isSquare(value: bigint): boolean {
  let [a, n] = [value < 0n ? value + P : value, P];
  let sign = 1;
  while (a !== 0n) {
    const twos = trailingZeros(a);
    a >>= BigInt(twos);
    const last = Number(n & 7n);
    if (twos % 2 === 1 && (last === 3 || last === 5)) sign = -sign;
    if ((last & 3) === 3 && (a & 3n) === 3n) sign = -sign;
    [a, n] = [n % a, a];
  }
  return sign === 1;
}

function trailingZeros(value: bigint): number {
  let count = 0;
  for (let rest = value; ; rest >>= 32n) {
    const word = Number(rest & 0xffffffffn);
    if (word !== 0) return count + 31 - Math.clz32(word & -word);
    count += 32;
  }
}
