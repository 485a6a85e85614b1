/** Longer words are no slips of the pen of anything that we know, and cost time. */
const LONGEST = 64;
/** Candidates looked at: a fleet has thousands of names. */
const MOST = 20_000;

/** Optimal string alignment distance, case ignored, given up above `bound`. */
function distance(a: string, b: string, bound: number): number {
  if (Math.abs(a.length - b.length) > bound) return bound + 1;
  let before: number[] = [];
  let above = Array.from({ length: b.length + 1 }, (_, column) => column);
  for (let row = 1; row <= a.length; row++) {
    const current = [row];
    let least = row;
    for (let column = 1; column <= b.length; column++) {
      const same = a[row - 1] === b[column - 1];
      let cost = Math.min(
        (above[column] ?? 0) + 1,
        (current[column - 1] ?? 0) + 1,
        (above[column - 1] ?? 0) + (same ? 0 : 1),
      );
      const swapped = row > 1 && column > 1 && a[row - 1] === b[column - 2] && a[row - 2] === b[column - 1];
      if (swapped) cost = Math.min(cost, (before[column - 2] ?? 0) + 1);
      current.push(cost);
      least = Math.min(least, cost);
    }
    if (least > bound) return bound + 1;
    before = above;
    above = current;
  }
  return above[b.length] ?? bound + 1;
}

/** The candidate that was most likely meant, or undefined where none is near. Of several, the first by alphabet. */
export function nearest(word: string, candidates: Iterable<string>): string | undefined {
  if (word.length === 0 || word.length > LONGEST) return undefined;
  const wanted = word.toLowerCase();
  let best: string | undefined;
  let bound = word.length <= 3 ? 1 : word.length <= 7 ? 2 : 3;
  let looked = 0;
  for (const candidate of candidates) {
    if (++looked > MOST) break;
    const cost = distance(wanted, candidate.toLowerCase(), bound);
    if (cost > bound || (best !== undefined && cost === bound && candidate > best)) continue;
    best = candidate;
    bound = cost;
  }
  return best;
}
