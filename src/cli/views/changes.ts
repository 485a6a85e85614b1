import { fingerprint, macOf } from '../../manifest/keys.ts';
import type { MacAddress, PublicKey } from '../../manifest/model.ts';
import { nameOfRow } from '../../reconcile/names.ts';
import type { Change, PolicyRow, Row } from '../../reconcile/rows.ts';
import type { Style, Tone } from '../style.ts';
import { displayWidth, padEnd } from '../text.ts';

/** Peers' names for what rows carry. Unknown keys are shown as fingerprints, unknown MACs as they are. */
export interface PeerNames {
  ofKey(publicKey: PublicKey): string;
  ofMac(mac: MacAddress): string;
}

/** Names from a table; what it does not know is shown as it is. */
export function namesFrom(byKey: ReadonlyMap<string, string>): PeerNames {
  const byMac = new Map([...byKey].map(([publicKey, name]) => [macOf(publicKey as PublicKey), name]));
  return {
    ofKey: (publicKey) => byKey.get(publicKey) ?? fingerprint(publicKey),
    ofMac: (mac) => byMac.get(mac) ?? mac,
  };
}

type Operation = Change['op'];

const SIGN: Readonly<Record<Operation, { readonly sign: string; readonly tone: Tone }>> = {
  create: { sign: '+', tone: 'add' },
  update: { sign: '~', tone: 'change' },
  delete: { sign: '-', tone: 'remove' },
};

/** In the order in which counts of them are shown. */
export const OPERATIONS: readonly Operation[] = ['delete', 'update', 'create'];

export function signOf(op: Operation, style: Style): string {
  const { sign, tone } = SIGN[op];
  return style.paint(tone, sign);
}

/** One change in words, without its sign: `talk to robot-4 at 203.0.113.9:51820`. */
export function changeWords(change: Change, names: PeerNames, style: Style): string {
  switch (change.op) {
    case 'create':
      return createWords(change.to, names);
    case 'delete':
      return deleteWords(change.from, names);
    case 'update':
      return updateWords(change, names, style);
  }
}

function updateWords({ from, to, fields }: Extract<Change, { op: 'update' }>, names: PeerNames, style: Style): string {
  const words = (some: readonly string[]) => `${subject(to, names)}: ${fieldWords(from, to, some, names, style)}`;
  if (from.kind !== 'peer' || to.kind !== 'peer' || from.publicKey === to.publicKey) return words(fields);
  const keys = `${fingerprint(from.publicKey)} ${style.symbols.arrow} ${fingerprint(to.publicKey)}`;
  const rest = fields.filter((field) => field !== 'publicKey' && field !== 'nextPublicKey');
  return `${subject(to, names)}: key ${keys}, its sessions stay${rest.length === 0 ? '' : `; ${words(rest)}`}`;
}

export function rowOf(change: Change): Row {
  return change.op === 'delete' ? change.from : change.to;
}

/** Lines of `  + words   row`, aligned; the row's name is left out where the terminal is too narrow for it. */
export function changeLines(
  changes: readonly Change[],
  names: PeerNames,
  options: { readonly style: Style; readonly width: number | undefined; readonly indent: string },
): string[] {
  const { style, width, indent } = options;
  const entries = changes.map((change) => ({
    ...SIGN[change.op],
    words: changeWords(change, names, style),
    row: nameOfRow(rowOf(change), fingerprint),
  }));
  const widest = Math.max(0, ...entries.map(({ words }) => displayWidth(words)));
  return entries.map(({ sign, tone, words, row }) => {
    const start = `${indent}${style.paint(tone, sign)} `;
    const full = indent.length + 2 + widest + 2 + displayWidth(row);
    if (width !== undefined && full > width) return `${start}${words}`;
    return `${start}${padEnd(words, widest + 2)}${style.paint('dim', row)}`;
  });
}

function createWords(row: Row, names: PeerNames): string {
  switch (row.kind) {
    case 'link': {
      const mtu = typeof row.mtu === 'number' ? `, MTU ${row.mtu}` : '';
      return `create interface ${row.interface} for cluster ${row.cluster}, UDP port ${row.port}${mtu}`;
    }
    case 'address':
      return `give ${row.interface} the address ${row.address}`;
    case 'route':
      return `reach ${row.destination} through ${row.interface}`;
    case 'peer':
      return `talk to ${names.ofKey(row.publicKey)} ${row.endpoint === undefined ? 'once it calls' : `at ${row.endpoint}`}`;
    case 'fdb':
      return row.publicKey === 'self'
        ? `take frames for ${row.mac} as its own`
        : `send frames for ${row.mac} to ${names.ofKey(row.publicKey)}`;
    case 'neighbour':
      return `resolve ${row.address} to ${names.ofMac(row.mac)}`;
    case 'subnet':
      return `accept declared sources alone from ${row.subnet}`;
    case 'policy':
      return `accept ${policyWords(row)}`;
  }
}

/** `no foreign sources, EtherTypes 0x8892` */
export function policyWords({ foreignSources, etherTypes }: PolicyRow): string {
  const sources = foreignSources === 'allow' ? 'foreign sources' : 'no foreign sources';
  return etherTypes === '' ? sources : `${sources}, EtherTypes ${etherTypes}`;
}

function deleteWords(row: Row, names: PeerNames): string {
  switch (row.kind) {
    case 'link':
      return `remove interface ${row.interface} of cluster ${row.cluster}`;
    case 'address':
      return `take the address ${row.address} from ${row.interface}`;
    case 'route':
      return `reach ${row.destination} through ${row.interface} no more`;
    case 'peer':
      return `cut off ${names.ofKey(row.publicKey)}`;
    case 'fdb':
      return row.publicKey === 'self'
        ? `take frames for ${row.mac} no more`
        : `send no more frames for ${row.mac} to ${names.ofKey(row.publicKey)}`;
    case 'neighbour':
      return `resolve ${row.address} to ${names.ofMac(row.mac)} no more`;
    case 'subnet':
      return `hold ${row.subnet} for foreign`;
    case 'policy':
      return `accept ${policyWords(row)} no more`;
  }
}

function subject(row: Row, names: PeerNames): string {
  switch (row.kind) {
    case 'link':
      return `interface ${row.interface}`;
    case 'address':
      return `address ${row.address}`;
    case 'route':
      return `route ${row.destination}`;
    case 'peer':
      return `peer ${names.ofKey(row.publicKey)}`;
    case 'fdb':
      return `frames for ${row.mac}`;
    case 'neighbour':
      return `neighbour ${row.address}`;
    case 'subnet':
      return `subnet ${row.subnet}`;
    case 'policy':
      return `sources on ${row.interface}`;
  }
}

/** Where the field's own name would puzzle. */
const FIELD_NAMES: Readonly<Record<string, string>> = { nextPublicKey: 'second key' };

function fieldWords(from: Row, to: Row, fields: readonly string[], names: PeerNames, style: Style): string {
  const before: Readonly<Record<string, unknown>> = { ...from };
  const after: Readonly<Record<string, unknown>> = { ...to };
  return fields
    .map((field) => {
      const named = (value: unknown): string => fieldValue(to.kind, field, value, names);
      // Two MACs of one peer, while it changes its key.
      const show = named(before[field]) === named(after[field]) ? String : named;
      return `${FIELD_NAMES[field] ?? field} ${show(before[field])} ${style.symbols.arrow} ${show(after[field])}`;
    })
    .join(', ');
}

function fieldValue(kind: Row['kind'], field: string, value: unknown, names: PeerNames): string {
  if (value === undefined) return 'none';
  if (field === 'nextPublicKey') return fingerprint(value as PublicKey);
  if (field === 'publicKey') return names.ofKey(value as PublicKey);
  if (field === 'mac' && kind === 'neighbour') return names.ofMac(value as MacAddress);
  return String(value);
}
