import { fingerprint } from '../manifest/keys.ts';
import type { Fleet, PublicKey } from '../manifest/model.ts';
import type { Row } from './rows.ts';

/** What people call the node that has a key: `robot-17`, or a fingerprint. */
export type NameOf = (publicKey: PublicKey) => string;

/** Names from several fleets: a peer that is gone is still called by its name. */
export function namesOf(...fleets: readonly Fleet[]): NameOf {
  return (publicKey) => {
    for (const fleet of fleets) {
      const name = fleet.peerByKey.get(publicKey);
      if (name !== undefined) return name;
    }
    return fingerprint(publicKey);
  };
}

/** `peer/omni0/robot-17`; like the row's key, with names where the key has public keys. */
export function nameOfRow(row: Row, nameOf: NameOf): string {
  switch (row.kind) {
    case 'link':
    case 'policy':
      return `${row.kind}/${row.interface}`;
    case 'subnet':
      return `subnet/${row.interface}/${row.subnet}`;
    case 'address':
    case 'neighbour':
      return `${row.kind}/${row.interface}/${row.address}`;
    case 'route':
      return `route/${row.interface}/${row.destination}`;
    case 'peer':
      return `peer/${row.interface}/${nameOf(row.publicKey)}`;
    case 'fdb':
      return `fdb/${row.interface}/${row.mac}`;
  }
}
