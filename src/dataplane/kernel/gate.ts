import { ONE_KEY } from './codec.ts';
import type { Context } from './context.ts';
import { decodeGateEntry, encodeGateEntry, gateEntryLayout, OMNI_COOKIE_SECRETS, OMNI_MAC1_KEYS } from './layout.ts';
import type { Overlay } from './overlay.ts';

const KEY_LEN = gateEntryLayout.fields.mac1Keys.size / OMNI_MAC1_KEYS;

/** What handshake messages to this node must show. 32 bytes each. */
export interface Gate {
  mac1Keys: readonly Uint8Array[];
  /** Newest first; none: nobody is asked for a cookie, and none counts. */
  cookieSecrets: readonly Uint8Array[];
}

/** Copies of the keys. Throws RangeError unless they are one to four of 32 bytes. */
export function copyMac1Keys(keys: readonly Uint8Array[]): readonly Uint8Array[] {
  return copyKeys(keys, 1, OMNI_MAC1_KEYS, 'mac1 keys');
}

/** Copies of the secrets. Throws RangeError unless they are at most two of 32 bytes. */
function copyCookieSecrets(secrets: readonly Uint8Array[]): readonly Uint8Array[] {
  return copyKeys(secrets, 0, OMNI_COOKIE_SECRETS, 'cookie secrets');
}

function copyKeys(keys: readonly Uint8Array[], least: number, most: number, what: string): readonly Uint8Array[] {
  if (keys.length < least || keys.length > most || keys.some(({ byteLength }) => byteLength !== KEY_LEN)) {
    throw new RangeError(`${what} are ${least} to ${most} of ${KEY_LEN} bytes`);
  }
  return keys.map((key) => Uint8Array.from(key));
}

/** Replaces what every interface's ingress program asks for, where it differs; later interfaces begin with it. */
export function replaceGate(context: Context, change: Partial<Gate>): void {
  const { gate } = context;
  const before = { ...gate };
  const copy: Partial<Gate> = {
    ...(change.mac1Keys !== undefined && { mac1Keys: copyMac1Keys(change.mac1Keys) }),
    ...(change.cookieSecrets !== undefined && { cookieSecrets: copyCookieSecrets(change.cookieSecrets) }),
  };
  Object.assign(gate, copy);
  if (copy.mac1Keys !== undefined) wipe(before.mac1Keys);
  if (copy.cookieSecrets !== undefined) wipe(before.cookieSecrets);
  for (const overlay of context.overlays.values()) writeGate(context, overlay, copy);
}

/**
 * What `change` leaves out stays as it is pinned: that is of the agent before, which knew the fleet; this one may have read
 * nothing yet. Where nothing is, it is what new interfaces begin with.
 */
export function writeGate(
  context: Context,
  overlay: Pick<Overlay, 'name' | 'maps' | 'kept'>,
  change: Partial<Gate> = {},
): void {
  const object = `link/${overlay.name}`;
  const { calls } = context;
  const found = calls.read(object, () => overlay.maps.gate.lookup({ key: ONE_KEY }));
  const before = overlay.kept.gate ?? found;
  const pinned = before === undefined ? undefined : decodeGate(before);
  const value = encodeGate({ ...(pinned ?? context.gate), ...change });
  try {
    if (found?.equals(value) !== true) calls.write(object, () => overlay.maps.gate.update({ key: ONE_KEY, value }));
  } finally {
    found?.fill(0);
    overlay.kept.gate?.fill(0);
    overlay.kept.gate = value;
    if (pinned !== undefined) wipe([...pinned.mac1Keys, ...pinned.cookieSecrets]);
  }
}

/** Somebody else changed the row since it was written. */
export function gateFaults(context: Context, { name, maps, kept }: Pick<Overlay, 'name' | 'maps' | 'kept'>): string[] {
  const found = context.calls.read(`link/${name}`, () => maps.gate.lookup({ key: ONE_KEY }));
  const right = kept.gate === undefined || found?.equals(kept.gate) === true;
  found?.fill(0);
  return right ? [] : ['what handshakes must show was changed'];
}

/** A `gate_entry`; it holds keys. */
function encodeGate({ mac1Keys, cookieSecrets }: Gate): Buffer {
  return encodeGateEntry({
    mac1Count: mac1Keys.length,
    cookieCount: cookieSecrets.length,
    mac1Keys: inRow(mac1Keys, OMNI_MAC1_KEYS),
    cookieSecrets: inRow(cookieSecrets, OMNI_COOKIE_SECRETS),
  });
}

function decodeGate(value: Buffer): Gate {
  const { mac1Count, cookieCount, mac1Keys, cookieSecrets } = decodeGateEntry(value);
  const gate = { mac1Keys: fromRow(mac1Keys, mac1Count), cookieSecrets: fromRow(cookieSecrets, cookieCount) };
  wipe([mac1Keys, cookieSecrets]);
  return gate;
}

function wipe(keys: readonly Uint8Array[]): void {
  for (const key of keys) key.fill(0);
}

/** Zeros fill the places that no key takes. (Buffer.concat ignores the length that it is given for an empty list.) */
function inRow(keys: readonly Uint8Array[], places: number): Uint8Array {
  const row = new Uint8Array(places * KEY_LEN);
  for (const [at, key] of keys.entries()) row.set(key, at * KEY_LEN);
  return row;
}

/** Copies of the first `count` keys of a row. */
export function fromRow(row: Uint8Array, count: number): Uint8Array[] {
  return Array.from({ length: count }, (_, at) => row.slice(at * KEY_LEN, (at + 1) * KEY_LEN));
}
