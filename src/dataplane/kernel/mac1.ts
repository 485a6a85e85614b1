import { ONE_KEY } from './codec.ts';
import type { Context } from './context.ts';
import { encodeMac1Entry, mac1EntryLayout, OMNI_MAC1_KEYS } from './layout.ts';
import type { Overlay } from './overlay.ts';

const KEY_LEN = mac1EntryLayout.fields.keys.size / OMNI_MAC1_KEYS;

/** Copies of the keys. Throws RangeError unless they are one or two of 32 bytes. */
export function copyMac1Keys(keys: readonly Uint8Array[]): readonly Uint8Array[] {
  if (keys.length === 0 || keys.length > OMNI_MAC1_KEYS || keys.some(({ byteLength }) => byteLength !== KEY_LEN)) {
    throw new RangeError(`mac1 keys are one or two of ${KEY_LEN} bytes`);
  }
  return keys.map((key) => Uint8Array.from(key));
}

/** Replaces the keys that every interface's ingress program accepts, where they differ; later interfaces begin with them. */
export function replaceMac1Keys(context: Context, keys: readonly Uint8Array[]): void {
  const before = context.mac1.keys;
  context.mac1.keys = copyMac1Keys(keys);
  for (const key of before) key.fill(0);
  for (const overlay of context.overlays.values()) writeMac1Keys(context, overlay, 'replace');
}

/**
 * `keep`: only where there are none. Keys that are pinned with the maps are those of the agent before, which knew the
 * fleet; this one may have read nothing yet.
 */
export function writeMac1Keys(
  context: Context,
  overlay: Pick<Overlay, 'name' | 'maps'>,
  mode: 'keep' | 'replace',
): void {
  const object = `link/${overlay.name}`;
  const { calls, mac1 } = context;
  const value = encodeMac1Entry({ count: mac1.keys.length, keys: Buffer.concat(mac1.keys, OMNI_MAC1_KEYS * KEY_LEN) });
  const found = calls.read(object, () => overlay.maps.mac1.lookup({ key: ONE_KEY }));
  try {
    if (found === undefined || (mode === 'replace' && !found.equals(value))) {
      calls.write(object, () => overlay.maps.mac1.update({ key: ONE_KEY, value }));
    }
  } finally {
    found?.fill(0);
    value.fill(0);
  }
}
