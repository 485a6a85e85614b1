/** Whether a `/`-separated path below the root is a manifest. Hidden files and folders belong to tools (`.github/`). */
export function isManifestPath(path: string): boolean {
  return /\.(yaml|yml|json)$/.test(path) && !path.split('/').some((part) => part.startsWith('.'));
}

/** Byte order, so that every machine counts the same order. */
export function comparePaths(a: { readonly path: string }, b: { readonly path: string }): number {
  return a.path < b.path ? -1 : a.path > b.path ? 1 : 0;
}
