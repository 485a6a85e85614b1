import type { Refusal } from '../../reconcile/dataplane.ts';
import { readU64 } from './codec.ts';
import type { Context } from './context.ts';
import { decodeRefusedKey, encodeRefusedKey, OmniDrop, omniDropNames } from './layout.ts';
import { eachEntry, type Overlay } from './overlay.ts';

/** Reasons under which a frame of an authenticated peer is dropped (bpf/lib/receive.h). */
const REASONS: readonly number[] = omniDropNames.flatMap((name, reason) =>
  reason === OmniDrop.multicast || reason === OmniDrop.path || name.startsWith('inner-') ? [reason] : [],
);

export function readRefusals(context: Context): Refusal[] {
  const refusals: Refusal[] = [];
  for (const overlay of context.overlays.values()) {
    eachEntry(context, overlay.maps.refused, `refusals of ${overlay.name}`, (key, value) => {
      const { peer: id, reason } = decodeRefusedKey(key);
      const peer = overlay.peers.keyOf(id);
      const name = omniDropNames[reason];
      if (peer === undefined || name === undefined) return;
      refusals.push({ interface: overlay.name, peer, reason: name, count: readU64(value) });
    });
  }
  return refusals;
}

/** With a peer's row go its counts; its sessions went before, so that no program begins new ones. */
export function forgetRefusals(context: Context, { name, maps }: Overlay, peer: bigint): void {
  for (const reason of REASONS) {
    context.calls.erase(`refusals of ${name}`, () => maps.refused.delete({ key: encodeRefusedKey({ peer, reason }) }));
  }
}
