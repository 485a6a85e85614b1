// SPDX-License-Identifier: Apache-2.0
/*
 * attacker IDENTITY SOCKET WRITABLE [control]: what somebody would try who got hold of a git that the agent runs.
 * One line each: what, and "done" or the error's name. With "control" only what harms nobody where nothing refuses it.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/netlink.h>
#include <net/ethernet.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

static void tell(const char *what, long result)
{
	printf("%s %s\n", what, result >= 0 ? "done" : strerrorname_np(errno));
	fflush(stdout);
}

int main(int argc, char **argv)
{
	if (argc != 4 && argc != 5)
		return 2;
	const char *identity = argv[1];
	struct sockaddr_un agent = { .sun_family = AF_UNIX };
	struct rlimit limit = { 0, 0 };
	union bpf_attr map = { .map_type = BPF_MAP_TYPE_ARRAY, .key_size = 4, .value_size = 4, .max_entries = 1 };

	tell("read-identity", open(identity, O_RDONLY));
	tell("write-beside-identity", open(argv[3], O_WRONLY | O_CREAT, 0600));
	strncpy(agent.sun_path, argv[2], sizeof(agent.sun_path) - 1);
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	tell("control-socket", fd < 0 ? fd : connect(fd, (struct sockaddr *)&agent, sizeof(agent)));
	tell("raw-socket", socket(AF_INET, SOCK_RAW, 1));
	tell("packet-socket", socket(AF_PACKET, SOCK_DGRAM, 0));
	tell("netlink-socket", socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE));
	tell("datagram-pair", socketpair(AF_UNIX, SOCK_DGRAM, 0, (int[2]){ 0 }));
	if (argc == 5)
		return 0;

	tell("truncate-identity", truncate(identity, 100));
	tell("open-truncating", open(identity, O_RDONLY | O_TRUNC));
	tell("chmod-identity", chmod(identity, 0600));
	tell("link-identity", link(identity, "identity-link"));
	tell("init-memory", open("/proc/1/mem", O_RDONLY));
	tell("write-sysctl", open("/proc/sys/kernel/core_pattern", O_WRONLY));

	tell("bpf", syscall(__NR_bpf, BPF_MAP_CREATE, &map, sizeof(map)));
	tell("ptrace", ptrace(PTRACE_SEIZE, getppid(), 0, 0));
	tell("mount", mount("none", ".", "tmpfs", 0, NULL));
	tell("user-namespace", unshare(CLONE_NEWUSER));
	long child = syscall(__NR_clone, CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0);
	if (child == 0)
		_exit(0);
	tell("clone-namespace", child);
	tell("io-uring", syscall(__NR_io_uring_setup, 1, &limit));
	tell("keyring", syscall(__NR_add_key, "user", "omni", "x", 1, -2));
	tell("limits-of-others", prlimit(getppid(), RLIMIT_CORE, NULL, &limit));
	tell("signal-to-init", kill(1, 0));
	return 0;
}
