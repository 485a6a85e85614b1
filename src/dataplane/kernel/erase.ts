import type { SessionId } from '../../reconcile/dataplane.ts';
import type { BpfMap } from './calls.ts';
import { decodeSession, type SessionValue, u64 } from './codec.ts';
import type { Context } from './context.ts';
import { sessionEntryLayout } from './layout.ts';
import { isPinned, type Pins } from './pins.ts';

const { expiresNs, txCounter, rxKey, txKey } = sessionEntryLayout.fields;

/**
 * SESSION_MAX_COUNTER of bpf/lib/session.h: no program sends from here on, and the programs' fetch-and-add stays far from
 * wrapping, however many of them are on their way.
 */
export const SPENT_COUNTER = 0xffff_ffff_ffff_ffffn - (1n << 13n);

/**
 * Deletes a session and resolves with what it was; undefined: it was not there. A deleted row's bytes stay in memory that
 * the map keeps, so its keys are wiped where they lie (`lock`), in two steps, since programs read keys without the lock:
 * first nothing begins to use the row any more, then the keys go. A program that holds a key which was read before
 * or while it went finds `expires_ns` 0 afterwards and lets go of it (bpf/lib/session.h).
 */
export function eraseSession(
  { calls }: Pick<Context, 'calls'>,
  object: string,
  sessions: BpfMap,
  localId: SessionId,
): SessionValue | undefined {
  const key = u64(localId);
  const value = calls.read(object, () => sessions.lookup({ key, lock: true }));
  if (value === undefined) return undefined;
  const session = decodeSession(value);
  const overwrite = () => calls.write(object, () => sessions.update({ key, value, mode: 'replace', lock: true }));
  try {
    value.fill(0, expiresNs.offset, expiresNs.offset + expiresNs.size);
    value.writeBigUInt64LE(SPENT_COUNTER, txCounter.offset);
    overwrite();
    for (const { offset, size } of [rxKey, txKey]) value.fill(0, offset, offset + size);
    overwrite();
  } finally {
    value.fill(0);
  }
  calls.erase(object, () => sessions.delete({ key }));
  return session;
}

/** Wipes what a map of sessions holds, before its last pin goes and the kernel frees its memory as it is. */
export function eraseSessions(context: Context, pins: Pins): void {
  const { calls } = context;
  const pin = pins.map('session_map');
  if (!isPinned(pin)) return;
  const sessions = calls.read(pin, (native) => new native.BpfMap({ pin }));
  try {
    const { count, keys, values } = calls.read(pin, () => sessions.entries());
    values.fill(0);
    const { keySize, valueSize } = sessions.info;
    // Of another layout we know no fields: the whole row goes at once.
    const known = valueSize === sessionEntryLayout.size;
    const zeros = Buffer.alloc(valueSize);
    for (let i = 0; i < count; i++) {
      const key = keys.subarray(i * keySize, (i + 1) * keySize);
      if (known) eraseSession(context, pin, sessions, key.readBigUInt64LE());
      else calls.write(pin, () => sessions.update({ key, value: zeros, lock: true }));
    }
  } finally {
    sessions.close();
  }
}
