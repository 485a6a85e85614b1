import { readdirSync, readFileSync, readlinkSync } from 'node:fs';

/** PID_MAX_LIMIT: a larger netlink port is a random number that the kernel gave a process's second socket. */
const MAX_PID = 1 << 22;
/** linux/sched.h: a thread of the kernel's own. */
const PF_KTHREAD = 0x0020_0000;
/** TASK_COMM_LEN - 1: what is as long may have been cut. */
const COMM_LENGTH = 15;
const MAX_DESCRIPTORS = 512;

/** The process id that a netlink port may stand for (netlink(7)); undefined: it stands for none. */
export function pidOfPort(port: number): number | undefined {
  return port > 0 && port < MAX_PID ? port : undefined;
}

/**
 * Name of the process whose netlink port this is. Undefined where it has ended, or where the process of that number turns
 * out to be another one: the port counts processes as its owner does, which may live in a container.
 */
export function programOf(pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // pid (comm) state ppid pgrp session tty tpgid flags …; comm may hold anything, `)` too: proc_pid_stat(5).
    const end = stat.lastIndexOf(')');
    const comm = stat.slice(stat.indexOf('(') + 1, end);
    const [state, , , , , , flags] = stat.slice(end + 2).split(' ');
    if ((Number(flags) & PF_KTHREAD) !== 0) return undefined;
    // One that has just ended has no descriptors to ask for.
    if (state !== 'Z' && state !== 'X' && !ownsNetlinkPort(pid)) return undefined;
    return printable(wholeName(pid, comm));
  } catch {
    return undefined;
  }
}

/** `networkd-dispat` -> `networkd-dispatcher`. */
function wholeName(pid: number, comm: string): string {
  if (comm.length < COMM_LENGTH) return comm;
  const [program = '', script = ''] = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0');
  const names = [program, script].map((path) => path.slice(path.lastIndexOf('/') + 1));
  return names.find((name) => name.startsWith(comm)) ?? comm;
}

function ownsNetlinkPort(pid: number): boolean {
  const inodes = new Set<string>();
  for (const line of readFileSync('/proc/net/netlink', 'utf8').split('\n').slice(1)) {
    const [, protocol, port, , , , , , , inode] = line.trim().split(/\s+/);
    if (protocol === '0' && Number(port) === pid && inode !== undefined) inodes.add(`socket:[${inode}]`);
  }
  if (inodes.size === 0) return false;
  const descriptors = readdirSync(`/proc/${pid}/fd`).slice(0, MAX_DESCRIPTORS);
  return descriptors.some((descriptor) => inodes.has(linkOf(`/proc/${pid}/fd/${descriptor}`)));
}

function linkOf(path: string): string {
  try {
    return readlinkSync(path);
  } catch {
    return ''; // closed meanwhile
  }
}

/** A process may call itself anything; a log and a terminal get no control characters. */
function printable(name: string): string {
  return name.replace(/[^\p{L}\p{N}\p{P}\p{S} ]/gu, '?');
}
