import { ONE_KEY } from './codec.ts';
import type { Context } from './context.ts';
import { encodeGateEntry, gateEntryLayout, OMNI_COOKIE_SECRETS, OMNI_MAC1_KEYS } from './layout.ts';
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
  const before = { ...context.gate };
  if (change.mac1Keys !== undefined) context.gate.mac1Keys = copyMac1Keys(change.mac1Keys);
  if (change.cookieSecrets !== undefined) context.gate.cookieSecrets = copyCookieSecrets(change.cookieSecrets);
  if (change.mac1Keys !== undefined) for (const key of before.mac1Keys) key.fill(0);
  if (change.cookieSecrets !== undefined) for (const secret of before.cookieSecrets) secret.fill(0);
  for (const overlay of context.overlays.values()) writeGate(context, overlay, 'replace');
}

/**
 * `keep`: only where there is none. What is pinned with the maps is of the agent before, which knew the fleet; this one
 * may have read nothing yet.
 */
export function writeGate(context: Context, overlay: Pick<Overlay, 'name' | 'maps'>, mode: 'keep' | 'replace'): void {
  const object = `link/${overlay.name}`;
  const { calls, gate } = context;
  const value = encodeGateEntry({
    mac1Count: gate.mac1Keys.length,
    cookieCount: gate.cookieSecrets.length,
    mac1Keys: inRow(gate.mac1Keys, OMNI_MAC1_KEYS),
    cookieSecrets: inRow(gate.cookieSecrets, OMNI_COOKIE_SECRETS),
  });
  const found = calls.read(object, () => overlay.maps.gate.lookup({ key: ONE_KEY }));
  try {
    if (found === undefined || (mode === 'replace' && !found.equals(value))) {
      calls.write(object, () => overlay.maps.gate.update({ key: ONE_KEY, value }));
    }
  } finally {
    found?.fill(0);
    value.fill(0);
  }
}

/** Zeros fill the places that no key takes. (Buffer.concat ignores the length that it is given for an empty list.) */
function inRow(keys: readonly Uint8Array[], places: number): Uint8Array {
  const row = new Uint8Array(places * KEY_LEN);
  for (const [at, key] of keys.entries()) row.set(key, at * KEY_LEN);
  return row;
}
