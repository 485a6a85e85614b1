const RANGE = /^(\d{1,5})(?:-(\d{1,5}))?$/;

/** CPUs of a list as the kernel writes them, `0-3,6` (cpuset(7)), in order, each once; undefined: it is no such list. */
export function parseCpuList(text: string): readonly number[] | undefined {
  const cpus = new Set<number>();
  for (const part of text.trim().split(',')) {
    const [, first, last = first] = RANGE.exec(part) ?? [];
    if (first === undefined) return undefined;
    const [low, high] = [Number(first), Number(last)].sort((a, b) => a - b) as [number, number];
    for (let cpu = low; cpu <= high; cpu++) cpus.add(cpu);
  }
  return [...cpus].sort((a, b) => a - b);
}
