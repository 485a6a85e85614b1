import { relative } from 'node:path';
import { projectRoot } from '../../lab/lab.ts';

/** Empty on every system (FHS 3.0, 3.12), and mounted upon in one private mount namespace alone. */
const MOUNT_POINT = '/mnt';
const ENTER = 'mount --bind "$1" "$2" && shift 2 && exec setpriv --reuid=65534 --regid=65534 --clear-groups -- "$@"';

/**
 * `argv` as uid 65534, without groups and capabilities. The checkout may lie below folders that only root may enter (as
 * `mktemp -d` makes them): nobody has its own way in, `inNobodysCheckout`, in a mount namespace that ends with it.
 */
export function asNobody(argv: readonly string[]): string[] {
  return ['unshare', '--mount', '--', 'sh', '-c', ENTER, 'sh', projectRoot, MOUNT_POINT, ...argv];
}

/** Where nobody finds a file of the checkout. */
export function inNobodysCheckout(file: string): string {
  return `${MOUNT_POINT}/${relative(projectRoot, file)}`;
}
