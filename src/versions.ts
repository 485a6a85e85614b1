/** `20.19.1` is at least `20.19`. Leading numbers count; what follows them does not. */
export function atLeast(version: string, floor: string): boolean {
  const parts = (text: string): number[] => (/\d+(\.\d+)*/.exec(text)?.[0] ?? '0').split('.').map(Number);
  const [have, want] = [parts(version), parts(floor)];
  for (const [index, number] of want.entries()) {
    const found = have[index] ?? 0;
    if (found !== number) return found > number;
  }
  return true;
}
