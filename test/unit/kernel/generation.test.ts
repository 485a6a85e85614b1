import { describe, expect, it } from 'vitest';
import { GenerationWatch } from '../../../src/dataplane/kernel/generation.ts';
import type { Native } from '../../../src/dataplane/kernel/native.ts';
import { isNewGeneration } from '../../../src/dataplane/kernel/uevent.ts';
import { contextOf, kernelRefusal } from './context.ts';

const message = (...parts: readonly string[]) => Buffer.from(parts.map((part) => `${part}\0`).join(''), 'latin1');

const DEVICE = '/devices/platform/VMGENCTR:00';
/** As kobject_uevent_env() composes it, for the driver vmgenid. */
const REAL = [
  `change@${DEVICE}`,
  'ACTION=change',
  `DEVPATH=${DEVICE}`,
  'SUBSYSTEM=platform',
  'NEW_VMGENID=1',
  'DRIVER=vmgenid',
  'MODALIAS=acpi:VMGENCTR:',
  'SEQNUM=2041',
];
/** As the kernel tells of `echo "change 0f7f…  NEW_VMGENID=1" > /sys/devices/platform/VMGENCTR:00/uevent`. */
const SYNTHETIC = [
  `change@${DEVICE}`,
  'ACTION=change',
  `DEVPATH=${DEVICE}`,
  'SUBSYSTEM=platform',
  'SYNTH_UUID=0f7f4f0e-6f0c-4a2b-9f57-0d6d7d7a1c11',
  'SYNTH_ARG_NEW_VMGENID=1',
  'DRIVER=vmgenid',
  'SEQNUM=2042',
];

describe('a message of the kernel', () => {
  it.each([
    ['that the machine has another generation', REAL, true],
    ['of the same device, made by hand', SYNTHETIC, false],
    ['made by hand, whatever else it says', [...SYNTHETIC, 'NEW_VMGENID=1'], false],
    ['of another device', ['change@/devices/x', 'ACTION=change', 'SUBSYSTEM=power_supply', 'SEQNUM=7'], false],
    ['that the device is there', [`add@${DEVICE}`, 'ACTION=add', 'NEW_VMGENID=1'], false],
    ['with another value', REAL.map((part) => part.replace('VMGENID=1', 'VMGENID=0')), false],
    ['with a longer name', REAL.map((part) => part.replace('NEW_', 'XNEW_')), false],
    ['that is empty', [], false],
  ])('%s', (_, parts, expected) => {
    expect(isNewGeneration(message(...parts))).toBe(expected);
  });

  it('of udev is none of the kernel’s', () => {
    expect(isNewGeneration(Buffer.from('libudev\0\xfe\xed\xca\xfe change@x\0NEW_VMGENID=1\0', 'latin1'))).toBe(false);
  });
});

/** What the kernel would tell goes to `tell`. */
function watched(options: { readonly reseeds?: boolean; readonly refused?: boolean } = {}) {
  const seen: string[] = [];
  const kernel: { tell: (event: Buffer | undefined) => void } = { tell: () => undefined };
  class UeventMonitor {
    constructor({ onEvent }: { onEvent: (event: Buffer | undefined) => void }) {
      if (options.refused) throw kernelRefusal('EPROTONOSUPPORT');
      kernel.tell = onEvent;
    }
    close(): void {
      seen.push('closed');
    }
  }
  const native: Partial<Native> = {
    UeventMonitor: UeventMonitor as Native['UeventMonitor'],
    reseed: () => {
      seen.push('reseed');
      return options.reseeds ?? true;
    },
  };
  const context = { ...contextOf(native, '/nonexistent'), log: (level: string) => void seen.push(level) };
  const watch = new GenerationWatch(context, () => seen.push('told'));
  return { kernel, seen, watch };
}

describe('the watch', () => {
  it('renews random numbers first, then tells', () => {
    const { kernel, seen, watch } = watched();
    kernel.tell(message(...SYNTHETIC));
    expect(seen).toEqual([]);
    kernel.tell(message(...REAL));
    expect(seen).toEqual(['reseed', 'told']);
    watch.close();
    expect(seen.at(-1)).toBe('closed');
  });

  it('takes lost messages for that one', () => {
    const { kernel, seen } = watched();
    kernel.tell(undefined);
    expect(seen).toEqual(['reseed', 'told']);
  });

  it('tells and warns where random numbers cannot be renewed', () => {
    const { kernel, seen } = watched({ reseeds: false });
    kernel.tell(message(...REAL));
    expect(seen).toEqual(['reseed', 'warn', 'told']);
  });

  it('warns where the kernel does not tell such things', () => {
    const { seen, watch } = watched({ refused: true });
    expect(seen).toEqual(['warn']);
    watch.close();
  });
});
