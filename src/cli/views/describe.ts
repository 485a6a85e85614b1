import { ageOf, humanBytes, humanCount, humanSpan, shortDigests, shortRevision } from '../format.ts';
import type { Style } from '../style.ts';
import { type Cell, type Column, renderTable } from '../table.ts';
import type { PeerNames } from './changes.ts';
import { noSessionFields } from './contact.ts';
import { EVENT_COLUMNS, type EventView, eventCells } from './events.ts';
import { type Field, renderFields } from './fields.ts';
import { type Clocks, type ObjectView, place } from './objects.ts';
import { pathFields, pathTable } from './paths.ts';
import type { RolloutView } from './rollout.ts';
import { type RowPair, rowTable } from './rows.ts';
import { type SessionView, sessionName, stateOf } from './sessions.ts';

export interface Description {
  readonly object: ObjectView;
  readonly sessions: readonly SessionView[];
  readonly rows: readonly RowPair[];
  readonly events: readonly EventView[];
  /** Keys that newer revisions took out. */
  readonly revoked: RolloutView['revoked'];
}

interface DescribeLayout {
  readonly names: PeerNames;
  readonly clocks: Clocks;
  readonly style: Style;
  readonly width: number | undefined;
}

const RECENT_EVENTS = 10;

/** `omni describe`: the object's own fields, then what the node made of it. */
export function renderDescription(description: Description, layout: DescribeLayout): string {
  const { object, sessions, rows, events, revoked } = description;
  const { names, clocks, style, width } = layout;
  const fields = [...objectFields(object, clocks), revokedField(object, revoked)];
  const sections = [renderFields(fields, layout)];
  for (const session of sessions) {
    const heading = `Session ${sessionName(session.localId)} (${stateOf(session)})`;
    sections.push(`${heading}\n${renderFields(sessionFields(session, clocks), { style, width, indent: '  ' })}`);
  }
  const paths = pathTable(object.contact, clocks);
  if (paths.rows.length > 0) sections.push(section('Paths', paths.columns, paths.rows, layout));
  if (rows.length > 0) {
    const table = rowTable(rows, { names, columns: 'own' });
    sections.push(section('Rows', table.columns, table.rows, layout));
  }
  const recent = events.slice(-RECENT_EVENTS).map((event) => eventCells(event, clocks.nowMs));
  if (recent.length > 0) sections.push(section('Events', EVENT_COLUMNS, recent, layout));
  else sections.push('Events: none\n');
  return sections.join('\n');
}

function objectFields(object: ObjectView, clocks: Clocks): Field[] {
  const labels = Object.entries(object.labels ?? {}).map(([key, value]) => `${key}=${value}`);
  const tone = object.ready === 'True' ? 'good' : object.ready === 'False' ? 'bad' : 'warn';
  const because = shortDigests(object.message || object.reason);
  return [
    ['Object', object.object],
    ['Declared at', place(object.position)],
    ['Labels', labels.length === 0 ? '<none>' : labels.join(', ')],
    ['Revision', shortRevision(object.revision)],
    { name: 'Ready', text: `${object.ready} (${object.reason}), for ${ageOf(object.since, clocks.nowMs)}`, tone },
    because === object.reason ? undefined : ['Message', because],
    ...Object.entries(object.detail).map(([key, value]): Field => [title(key), value]),
    usedTwiceField(object.contact, clocks),
    ...(object.session === undefined ? noSessionFields(object, clocks) : pathFields(object.contact, clocks)),
    refusedField(object),
  ];
}

function usedTwiceField(contact: ObjectView['contact'], { sessionMs }: Clocks): Field {
  const twice = contact?.keyInUseTwice;
  if (twice === undefined) return undefined;
  const ago = sessionMs === undefined ? '' : `, ${humanSpan(sessionMs - twice.lastMs)} ago`;
  const text = `by two machines in turns, at ${twice.places.join(' and at ')}${ago}: make a new key on one of them`;
  return { name: 'Key in use', text, tone: 'bad' };
}

/** Why a peer that the revision in force names gets nothing: it was taken out by a later one, which was rolled back. */
function revokedField({ detail }: ObjectView, revoked: RolloutView['revoked']): Field {
  const found = revoked.find(({ publicKey }) => [detail.publicKey, detail.nextPublicKey].includes(publicKey));
  if (found === undefined) return undefined;
  return { name: 'Revoked', text: `by ${shortRevision(found.revision)}: no rollback lets it back in`, tone: 'bad' };
}

/** `inner-source 12, multicast 3`: what the peer sent and this node dropped. */
function refusedField({ refused }: ObjectView): Field {
  const counts = Object.entries(refused ?? {});
  if (counts.length === 0) return undefined;
  return { name: 'Refused', text: counts.map(([reason, count]) => `${reason} ${count}`).join(', '), tone: 'bad' };
}

/** `publicKey` to `Public key`. */
function title(key: string): string {
  if (key === 'vips') return 'VIPs';
  if (key === 'etherTypes') return 'EtherTypes';
  const words = key.replace(/([A-Z])/g, (letter) => ` ${letter.toLowerCase()}`);
  return words.charAt(0).toUpperCase() + words.slice(1);
}

function sessionFields(session: SessionView, { sessionMs }: Clocks): Field[] {
  const ago = (timeMs: number): string => {
    if (timeMs === 0) return 'never';
    return sessionMs === undefined ? '<unknown>' : `${humanSpan(sessionMs - timeMs)} ago`;
  };
  const ahead = (timeMs: number): string => (sessionMs === undefined ? '<unknown>' : humanSpan(timeMs - sessionMs));
  // Of a session that was replaced, or whose rekey is due now, there is nothing to announce.
  const rekeyText =
    sessionMs !== undefined && session.rekeyAfterMs <= sessionMs ? '' : `rekey in ${ahead(session.rekeyAfterMs)}, `;
  return [
    ['Remote id', sessionName(session.remoteId)],
    ['Role', session.initiator ? 'initiator' : 'responder'],
    ['Keys', session.hybrid ? 'hybrid: X25519 and ML-KEM-768' : 'X25519'],
    ['Established', `${ago(session.createdMs)}; ${rekeyText}ends in ${ahead(session.expiresMs)}`],
    ['Received', `${traffic(session.rxPackets, session.rxBytes, ago(session.rxLastMs))}${openedOn(session)}`],
    ['Sent', traffic(session.txPackets, session.txBytes, ago(session.txLastMs))],
  ];
}

function openedOn({ receiveCpu }: SessionView): string {
  return receiveCpu === undefined ? '' : `, now opened on CPU ${receiveCpu}`;
}

function traffic(packets: string, bytes: string, last: string): string {
  return `${humanCount(packets)} packets, ${humanBytes(bytes)}, last ${last}`;
}

function section(
  heading: string,
  columns: readonly Column[],
  rows: readonly (readonly Cell[])[],
  { style, width }: DescribeLayout,
): string {
  const table = renderTable(columns, rows, { style, width: width === undefined ? undefined : width - 2 });
  return `${heading}\n${table.replace(/^(?=.)/gm, '  ')}`;
}
