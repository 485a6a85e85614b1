/** Messages of NETLINK_KOBJECT_UEVENT (lib/kobject_uevent.c): `action@path`, then `KEY=value`, a zero byte behind each. */

const NEW_GENERATION = 'NEW_VMGENID=1';

/**
 * The driver `vmgenid` tells that the virtual machine goes on from a snapshot, or is a copy of another one (Linux 6.10 and
 * later, drivers/virt/vmgenid.c). What somebody wrote into a `uevent` file is no word of the driver's: its variables
 * have another name (`SYNTH_ARG_…`), and it is marked.
 */
export function isNewGeneration(message: Uint8Array): boolean {
  const [header = '', ...variables] = Buffer.from(message).toString('latin1').split('\0');
  const synthetic = variables.some((variable) => variable.startsWith('SYNTH_UUID='));
  return header.startsWith('change@') && !synthetic && variables.includes(NEW_GENERATION);
}
