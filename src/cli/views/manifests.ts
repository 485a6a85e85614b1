import { formatDuration } from '../../manifest/duration.ts';
import { formatEndpoint } from '../../manifest/endpoint.ts';
import type { Fleet, FleetObject, ObjectRef, Position } from '../../manifest/model.ts';
import type { ObjectChanges } from '../../reconcile/impact/objects.ts';
import type { Style } from '../style.ts';
import { byName, displayWidth, oneLine, padEnd } from '../text.ts';
import { place } from './objects.ts';

/** One manifest that differs. */
export interface ManifestChange {
  readonly op: 'added' | 'changed' | 'removed';
  readonly object: ObjectRef;
  /** Where it stands; for a removed one, where it stood. */
  readonly position: Position;
  /** For a changed one: what differs, as `field: before → after`, in the model's names. */
  readonly fields: readonly { readonly field: string; readonly from: unknown; readonly to: unknown }[];
}

const OPS: readonly ManifestChange['op'][] = ['added', 'changed', 'removed'];

export function manifestChanges(before: Fleet, after: Fleet, changes: ObjectChanges): ManifestChange[] {
  const changed = (op: ManifestChange['op'], refs: readonly ObjectRef[]): ManifestChange[] =>
    refs.flatMap((object): ManifestChange[] => {
      const from = objectIn(before, object);
      const to = objectIn(after, object);
      const position = (to ?? from)?.position;
      if (position === undefined) return [];
      return [{ op, object, position, fields: from && to ? changedFields(from, to) : [] }];
    });
  return [
    ...changed('added', changes.added),
    ...changed('changed', changes.changed),
    ...changed('removed', changes.removed),
  ].sort((a, b) => OPS.indexOf(a.op) - OPS.indexOf(b.op) || byName(a.object, b.object));
}

function objectIn(fleet: Fleet, ref: ObjectRef): FleetObject | undefined {
  const name = ref.slice(ref.indexOf('/') + 1);
  if (ref.startsWith('cluster/')) return fleet.clusters.get(name);
  return ref.startsWith('peer/') ? fleet.peers.get(name) : fleet.vips.get(name);
}

/** Leaves that differ, by their paths: `metadata.labels.site`. Lists are compared as wholes. */
function changedFields(from: unknown, to: unknown, path = ''): ManifestChange['fields'] {
  if (!isRecord(from) || !isRecord(to)) {
    if (JSON.stringify(from) === JSON.stringify(to)) return [];
    const shown = SEALED_FIELDS.has(path) ? masked : (value: unknown) => value;
    return [{ field: path, from: shown(from), to: shown(to) }];
  }
  const names = new Set([...Object.keys(from), ...Object.keys(to)]);
  return [...names]
    .filter((name) => path !== '' || name !== 'position')
    .flatMap((name) => changedFields(from[name], to[name], path === '' ? name : `${path}.${name}`));
}

/** Ciphertext is nobody's to read in a review, and long. */
const SEALED_FIELDS: ReadonlySet<string> = new Set(['psk', 'nextPsk']);
const SEALED = '(sealed)';

function masked(value: unknown): unknown {
  return value === undefined ? undefined : SEALED;
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

const MANIFEST_SIGN = { added: ['+', 'add'], changed: ['~', 'change'], removed: ['-', 'remove'] } as const;
const SHOWN_MANIFESTS = 30;

/** A line per manifest, with what changed in it beside or, where the terminal is too narrow, below. */
export function manifestLines(
  changes: readonly ManifestChange[],
  layout: {
    readonly style: Style;
    readonly width: number | undefined;
    /** Every manifest, however many. */
    readonly whole: boolean;
  },
): string[] {
  const { style, width, whole } = layout;
  const shown = whole ? changes : changes.slice(0, SHOWN_MANIFESTS);
  const widest = Math.max(0, ...shown.map(({ object }) => displayWidth(object)));
  const lines = shown.flatMap(({ op, object, position, fields }) => {
    const [sign, tone] = MANIFEST_SIGN[op];
    const where = style.paint('dim', oneLine(place(position)));
    const line = `  ${style.paint(tone, sign)} ${padEnd(object, widest)}  ${where}`;
    const words = fields.map((field) => oneLine(fieldWords(field, style)));
    if (words.length === 0) return [line];
    const whole = `${line}  ${words.join(', ')}`;
    return width === undefined || displayWidth(whole) <= width
      ? [whole]
      : [line, ...words.map((word) => `      ${word}`)];
  });
  const hidden = changes.length - shown.length;
  return hidden === 0 ? lines : [...lines, style.paint('dim', `  ${hidden} more (-o wide shows all)`)];
}

/** `endpoints [203.0.113.3:51820] → [203.0.113.99:51820]`; not fit to be shown as it is (`oneLine`). */
export function fieldWords({ field, from, to }: ManifestChange['fields'][number], style: Style): string {
  if (SEALED_FIELDS.has(field))
    return `${field} ${SEALED} ${from === undefined ? 'set' : to === undefined ? 'taken out' : 'changed'}`;
  // The model counts milliseconds; manifests and people say 2m.
  const isDuration = /Ms$/.test(field);
  const text = (value: unknown): string =>
    isDuration && typeof value === 'number' ? formatDuration(value) : valueText(value);
  return `${field.replace(/Ms$/, '')} ${text(from)} ${style.symbols.arrow} ${text(to)}`;
}

function valueText(value: unknown): string {
  if (value === undefined) return 'none';
  if (Array.isArray(value)) return `[${value.map(valueText).join(', ')}]`;
  if (!isRecord(value)) return String(value);
  const { host, port } = value;
  if (typeof host === 'string' && typeof port === 'number') return formatEndpoint({ host, port });
  return JSON.stringify(value);
}
