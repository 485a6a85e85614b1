import type { ErrorObject } from 'ajv/dist/2020.js';

/** Fields that no other object's checks look at. */
const PRIVATE = [
  '/metadata/labels',
  '/metadata/annotations',
  '/spec/mtu',
  '/spec/sessions',
  '/spec/limits',
  '/spec/arpSuppression',
  '/spec/foreignSources',
  '/spec/etherTypes',
  '/spec/multicast',
  '/spec/endpoints',
  '/spec/keepalive',
  '/spec/roles',
  '/spec/suspended',
];

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Fields of ours hold no `/` and no `~`, so their pointers are plain. */
function drop(root: unknown, path: string, field: string): void {
  let owner = root;
  for (const key of path.split('/').slice(1)) owner = isRecord(owner) ? owner[key] : undefined;
  if (isRecord(owner)) delete owner[field];
}

function offender(error: ErrorObject): { readonly path: string; readonly field: string } | undefined {
  if (error.keyword === 'additionalProperties') {
    const { additionalProperty } = error.params;
    return { path: error.instancePath, field: String(additionalProperty) };
  }
  const { instancePath } = error;
  const home = PRIVATE.find((each) => instancePath === each || instancePath.startsWith(`${each}/`));
  if (home === undefined) return undefined;
  const slash = home.lastIndexOf('/');
  return { path: home.slice(0, slash), field: home.slice(slash + 1) };
}

/**
 * Takes out of `value`, in place, what is wrong with it, where nothing else hangs on that: the rest can still be held
 * against the other objects, so that one run says all. False: something was wrong that others refer to.
 */
export function salvage(value: unknown, errors: readonly ErrorObject[]): boolean {
  const offenders = errors.map(offender);
  if (offenders.includes(undefined)) return false;
  for (const each of offenders) if (each !== undefined) drop(value, each.path, each.field);
  return true;
}
