import type { Contact, Json, PathReport } from '../../agent/api.ts';
import { humanSpan, humanTook } from '../format.ts';
import type { Cell, Column } from '../table.ts';
import type { Field } from './fields.ts';
import type { Clocks } from './objects.ts';

type PathView = Json<PathReport>;

const WHY: Readonly<Record<NonNullable<Contact['moved']>['why'], string>> = {
  'peer-moved': 'the peer sends from there',
  silent: 'nothing came back on the old path',
  faster: 'it answers faster',
  'too-small': 'the old path carries no full frames',
  handshake: 'a handshake came through there',
};

const STATE_TONES = { live: 'good', dead: 'bad', unknown: 'dim' } as const;

const COLUMNS: readonly Column[] = [
  { header: 'PATH' },
  { header: 'USED' },
  { header: 'STATE' },
  { header: 'ROUND TRIP' },
  { header: 'ANSWERED' },
  { header: 'TO' },
  { header: 'KNOWN FROM' },
];

/** Which way data goes, since when and why: what `omni describe` says above the list of all ways. */
export function pathFields(contact: Json<Contact> | undefined, { sessionMs }: Clocks): Field[] {
  const active = contact?.paths?.find((path) => path.active);
  if (contact === undefined || active === undefined) return [];
  const { moved } = contact;
  const since =
    active.sinceMs === undefined || sessionMs === undefined ? '' : ` for ${span(active.sinceMs, sessionMs)}`;
  const local = active.local === undefined ? '' : `, from ${active.local}`;
  const trip = active.rttMs === undefined ? '' : `, round trip ${roundTrip(active.rttMs)}`;
  return [
    {
      name: 'Path',
      text: `${active.endpoint}${since}: ${active.state}${trip}${local}`,
      tone: STATE_TONES[active.state],
    },
    moved === undefined ? undefined : ['Path moved', movedText(moved, sessionMs)],
  ];
}

/** All ways to a peer, one a row. Empty where there is nothing to compare. */
export function pathTable(
  contact: Json<Contact> | undefined,
  { sessionMs }: Clocks,
): { readonly columns: readonly Column[]; readonly rows: readonly (readonly Cell[])[] } {
  return { columns: COLUMNS, rows: (contact?.paths ?? []).map((path) => cells(path, sessionMs)) };
}

/** `1 of 2`: how many ways to a peer live. */
export function livePaths(contact: Json<Contact> | undefined): string {
  const paths = contact?.paths ?? [];
  return paths.length === 0 ? '' : `${paths.filter(({ state }) => state === 'live').length} of ${paths.length}`;
}

/** Of the path in use. */
export function pathRoundTrip(contact: Json<Contact> | undefined): string {
  const rttMs = contact?.paths?.find(({ active }) => active)?.rttMs;
  return rttMs === undefined ? '' : roundTrip(rttMs);
}

function cells({ endpoint, active, state, rttMs, answeredMs, source, local }: PathView, sessionMs?: number): Cell[] {
  return [
    endpoint,
    active ? 'yes' : 'no',
    { text: state, tone: STATE_TONES[state] },
    rttMs === undefined ? '<none>' : roundTrip(rttMs),
    answeredMs === undefined || sessionMs === undefined ? 'never' : `${span(answeredMs, sessionMs)} ago`,
    local ?? '<none>',
    { hint: 'the manifest', seen: 'its datagrams', proved: 'a handshake' }[source],
  ];
}

function movedText({ from, why, atMs, tookMs }: NonNullable<Json<Contact>['moved']>, sessionMs?: number): string {
  const when = sessionMs === undefined ? '' : `${span(atMs, sessionMs)} ago`;
  const old = from === undefined ? '' : `, from ${from}`;
  const took = tookMs === undefined ? '' : `, ${humanTook(tookMs)} after the first sign`;
  return `${when}${old}: ${WHY[why]}${took}`;
}

function span(timeMs: number, sessionMs: number): string {
  return humanSpan(sessionMs - timeMs);
}

/** Tenths of a millisecond where they say something. */
function roundTrip(ms: number): string {
  return ms < 10 ? `${ms.toFixed(1)}ms` : humanTook(ms);
}
