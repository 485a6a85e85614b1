import { Background } from '../../lab/shell.ts';
import type { Kernel } from './kernels.ts';
import { type KernelReport, reportIn } from './report.ts';

const MEMORY_MIB = 1024;
const CPUS = 2;
/** Lines of the console that an error shows. */
const TAIL = 60;

/**
 * Boots a kernel under software emulation (TCG) with no device but a serial console, and returns the report that
 * guest/main.ts writes there. Throws with the end of the console if there is none after `timeoutMs`.
 */
export async function boot(kernel: Kernel, initramfs: string, timeoutMs: number): Promise<KernelReport> {
  // Without cx16: QEMU 7.2 leaves garbage in the flags after cmpxchg16b, and Linux 6.12 dies of that in its allocator.
  const machine = ['-machine', 'q35', '-accel', 'tcg,thread=multi', '-cpu', 'max,-cx16'];
  const size = ['-smp', String(CPUS), '-m', String(MEMORY_MIB)];
  const devices = ['-nodefaults', '-no-user-config', '-display', 'none', '-serial', 'stdio', '-no-reboot'];
  // panic=-1: a panic reboots at once, which with -no-reboot ends the emulator.
  const linux = ['-kernel', kernel.image, '-initrd', initramfs, '-append', 'console=ttyS0 quiet panic=-1'];
  const emulator = new Background(['qemu-system-x86_64', ...machine, ...size, ...devices, ...linux]);
  let how = 'ended';
  const timer = setTimeout(() => {
    how = `was ended after ${timeoutMs / 1000} s`;
    void emulator.stop('SIGKILL');
  }, timeoutMs);
  const status = await emulator.wait();
  clearTimeout(timer);
  const report = reportIn(emulator.text);
  if (report !== undefined) return report;
  const end = emulator.text.split(/\r?\n/).slice(-TAIL).join('\n');
  throw new Error(`Linux ${kernel.release} left no report; qemu ${how} with status ${status}:\n${end}`);
}
