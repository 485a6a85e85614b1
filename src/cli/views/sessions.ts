import type { Json } from '../../agent/api.ts';
import type { SessionState } from '../../reconcile/dataplane.ts';
import { humanBytes, humanCount, humanSpan } from '../format.ts';
import type { Cell, Column } from '../table.ts';
import type { PeerNames } from './changes.ts';

/** `ended`: it is shown once more, for whoever watches. */
export type SessionView = Json<SessionState> & { readonly ended?: true };

interface SessionColumn extends Column {
  readonly wide?: boolean;
  cell(session: SessionView, ages: (timeMs: number) => string, names: PeerNames): Cell;
}

const COLUMNS: readonly SessionColumn[] = [
  { header: 'SESSION', cell: ({ localId }) => sessionName(localId) },
  { header: 'PEER', cell: ({ peer }, _ages, names) => names.ofKey(peer) },
  { header: 'STATE', cell: (session) => stateCell(session) },
  { header: 'AGE', cell: ({ createdMs }, ages) => ages(createdMs) },
  { header: 'LAST RX', cell: ({ rxLastMs }, ages) => (rxLastMs === 0 ? 'never' : ages(rxLastMs)) },
  { header: 'RX', optional: true, cell: ({ rxBytes }) => humanBytes(rxBytes) },
  { header: 'TX', optional: true, cell: ({ txBytes }) => humanBytes(txBytes) },
  { header: 'RX PACKETS', wide: true, cell: ({ rxPackets }) => humanCount(rxPackets) },
  { header: 'TX PACKETS', wide: true, cell: ({ txPackets }) => humanCount(txPackets) },
  { header: 'ROLE', wide: true, cell: ({ initiator }) => (initiator ? 'initiator' : 'responder') },
  { header: 'REMOTE', wide: true, cell: ({ remoteId }) => sessionName(remoteId) },
  { header: 'INTERFACE', wide: true, cell: (session) => session.interface },
];

export function sessionTable(
  sessions: readonly SessionView[],
  context: { readonly sessionMs: number | undefined; readonly names: PeerNames; readonly wide: boolean },
): { readonly columns: readonly Column[]; readonly rows: readonly (readonly Cell[])[] } {
  const { sessionMs, names, wide } = context;
  const ages = (timeMs: number): string => (sessionMs === undefined ? '<unknown>' : humanSpan(sessionMs - timeMs));
  const columns = COLUMNS.filter((column) => wide || !column.wide);
  return { columns, rows: sessions.map((session) => columns.map((column) => column.cell(session, ages, names))) };
}

/** 16 hexadecimal digits, as the wire's little-endian u64 reads as a number. */
export function sessionName(id: string): string {
  return BigInt(id).toString(16).padStart(16, '0');
}

/** Which of a peer's slots it is: sending goes out on `current` alone. */
export function stateOf(session: SessionView): 'current' | 'unconfirmed' | 'previous' | 'ended' {
  if (session.ended) return 'ended';
  if (session.current) return 'current';
  return session.unconfirmed ? 'unconfirmed' : 'previous';
}

function stateCell(session: SessionView): Cell {
  const text = stateOf(session);
  return { text, tone: text === 'current' ? 'good' : 'dim' };
}
