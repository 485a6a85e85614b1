// SPDX-License-Identifier: Apache-2.0
/*
 * omni-sandbox [-r PATH]... [-w PATH]... [-n] -- PROGRAM [ARGUMENT]...
 * omni-sandbox --probe
 *
 * Runs a program that reads what strangers send (git, and the ssh and gpg that git runs) with nothing of the caller's
 * power: no capability, no way to get one, no socket but IPv4 and IPv6 (and those with -n only), the system calls of an
 * ordinary program, and of the file system the programs and libraries, what -r names to read, and what -w names to
 * write. The caller's user id is kept: under systemd's unit the agent has no right to change it. The file rules are
 * what keeps the caller's own files (the node's key) from the program; they need Landlock (Linux 5.13).
 *
 * --probe prints what this kernel offers: "landlock N", N being the version of its interface, 0 without Landlock.
 * Exit status 125: the restrictions could not be set up, and the program was not run.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/prctl.h>
#include <linux/seccomp.h>
#include <linux/securebits.h>
#include <sched.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define EXIT_NOT_SET_UP 125

static void fail(const char *what, const char *object)
{
	fprintf(stderr, "omni-sandbox: cannot restrict the program: %s%s%s: %s\n", what, object ? " " : "",
		object ? object : "", strerror(errno));
	exit(EXIT_NOT_SET_UP);
}

/* ---- Landlock: which files. The numbers are the kernel's (linux/landlock.h), written out for older headers. ---- */

#ifndef __NR_landlock_create_ruleset
#define __NR_landlock_create_ruleset 444
#define __NR_landlock_add_rule 445
#define __NR_landlock_restrict_self 446
#endif

#define LANDLOCK_VERSION 1 /* flag of landlock_create_ruleset */
#define LANDLOCK_BENEATH 1 /* type of rule */

#define FS_EXECUTE (1ull << 0)
#define FS_WRITE_FILE (1ull << 1)
#define FS_READ_FILE (1ull << 2)
#define FS_READ_DIR (1ull << 3)
#define FS_REMOVE_DIR (1ull << 4)
#define FS_REMOVE_FILE (1ull << 5)
#define FS_MAKE_DIR (1ull << 7)
#define FS_MAKE_REG (1ull << 8)
#define FS_ALL_OF_1 ((1ull << 13) - 1)
#define FS_REFER (1ull << 13)     /* 2, Linux 5.19 */
#define FS_TRUNCATE (1ull << 14)  /* 3, Linux 6.2 */
#define FS_IOCTL_DEV (1ull << 15) /* 5, Linux 6.10 */
#define SCOPE_ABSTRACT_UNIX (1ull << 0)
#define SCOPE_SIGNAL (1ull << 1) /* 6, Linux 6.12 */

#define READ (FS_READ_FILE | FS_READ_DIR)
#define RUN (READ | FS_EXECUTE)
#define WRITE                                                                                                        \
	(READ | FS_WRITE_FILE | FS_REMOVE_DIR | FS_REMOVE_FILE | FS_MAKE_DIR | FS_MAKE_REG | FS_REFER | FS_TRUNCATE)
/* What may be asked for a path that is no folder. */
#define OF_FILES (FS_EXECUTE | FS_WRITE_FILE | FS_READ_FILE | FS_TRUNCATE | FS_IOCTL_DEV)

struct ruleset_attr {
	uint64_t handled_access_fs;
	uint64_t handled_access_net;
	uint64_t scoped;
};

struct path_beneath_attr {
	uint64_t allowed_access;
	int32_t parent_fd;
} __attribute__((packed));

struct rules {
	int fd;
	uint64_t handled;
};

static int landlock_version(void)
{
	long version = syscall(__NR_landlock_create_ruleset, NULL, 0, LANDLOCK_VERSION);

	return version > 0 ? (int)version : 0;
}

/* What is not there needs no rule, and neither does what a symbolic link leads to that is not there. */
static void allow(const struct rules *rules, const char *path, uint64_t access)
{
	struct path_beneath_attr rule = { .allowed_access = access & rules->handled };
	struct stat info;

	rule.parent_fd = open(path, O_PATH | O_CLOEXEC);
	if (rule.parent_fd < 0) {
		if (errno == ENOENT || errno == ENOTDIR || errno == EACCES || errno == ELOOP)
			return;
		fail("opening", path);
	}
	if (fstat(rule.parent_fd, &info) < 0)
		fail("looking at", path);
	if (!S_ISDIR(info.st_mode))
		rule.allowed_access &= OF_FILES;
	if (syscall(__NR_landlock_add_rule, rules->fd, LANDLOCK_BENEATH, &rule, 0) < 0)
		fail("allowing", path);
	close(rule.parent_fd);
}

/* Programs and their libraries. */
static const char *const SYSTEM[] = { "/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/nix/store",
				      "/gnu/store" };

/*
 * What resolvers, TLS, ssh and the dynamic linker read. Not all of /etc: keys and shadow passwords lie there, and the
 * program may have the user id that owns them.
 */
static const char *const SETTINGS[] = {
	"/etc/ld.so.cache", "/etc/ld.so.preload", "/etc/localtime", "/etc/passwd", "/etc/group", "/etc/nsswitch.conf",
	"/etc/resolv.conf", "/etc/hosts", "/etc/host.conf", "/etc/gai.conf", "/etc/services", "/etc/protocols",
	"/etc/ssl/certs", "/etc/ssl/openssl.cnf", "/etc/ssl/cert.pem", "/etc/ca-certificates", "/etc/pki/tls",
	"/etc/pki/ca-trust", "/etc/crypto-policies", "/etc/gnutls", "/etc/gcrypt", "/etc/ssh/ssh_config",
	"/etc/ssh/ssh_config.d", "/etc/ssh/ssh_known_hosts", "/etc/alternatives", "/var/lib/ca-certificates",
	"/proc/sys/crypto/fips_enabled", "/sys/devices/system/cpu/online", "/dev/urandom", "/dev/random",
};

/* The folders of PATH, since not every installation keeps its programs in /usr. */
static void allow_path(const struct rules *rules)
{
	const char *path = getenv("PATH");
	char *folders = strdup(path ? path : "");

	if (!folders)
		fail("reading", "PATH");
	for (char *folder = strtok(folders, ":"); folder; folder = strtok(NULL, ":"))
		if (folder[0] == '/' && folder[strspn(folder, "/.")] != '\0')
			allow(rules, folder, RUN);
	free(folders);
}

static struct rules open_rules(int version)
{
	struct ruleset_attr attr = { .handled_access_fs = FS_ALL_OF_1 };
	struct rules rules;

	if (version >= 2)
		attr.handled_access_fs |= FS_REFER;
	if (version >= 3)
		attr.handled_access_fs |= FS_TRUNCATE;
	if (version >= 5)
		attr.handled_access_fs |= FS_IOCTL_DEV;
	if (version >= 6)
		attr.scoped = SCOPE_ABSTRACT_UNIX | SCOPE_SIGNAL;
	rules.handled = attr.handled_access_fs;
	/* A kernel takes more fields than it knows, as long as they are zero. */
	rules.fd = (int)syscall(__NR_landlock_create_ruleset, &attr, sizeof(attr), 0);
	if (rules.fd < 0)
		fail("making Landlock rules", NULL);
	for (size_t at = 0; at < sizeof(SYSTEM) / sizeof(*SYSTEM); at++)
		allow(&rules, SYSTEM[at], RUN);
	for (size_t at = 0; at < sizeof(SETTINGS) / sizeof(*SETTINGS); at++)
		allow(&rules, SETTINGS[at], READ);
	allow_path(&rules);
	allow(&rules, "/dev/null", FS_READ_FILE | FS_WRITE_FILE);
	for (size_t at = 0; at < 2; at++) {
		const char *path = getenv(at ? "SSL_CERT_DIR" : "SSL_CERT_FILE");

		if (path && path[0] == '/')
			allow(&rules, path, READ);
	}
	return rules;
}

/* ---- seccomp: which system calls. ---- */

#if defined(__x86_64__)
#define ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define ARCH AUDIT_ARCH_AARCH64
#elif defined(__riscv) && __riscv_xlen == 64
#define ARCH AUDIT_ARCH_RISCV64
#else
#error "add the AUDIT_ARCH of this processor, and compare the list of system calls with it"
#endif

/*
 * System calls that need no look at their arguments. Not among them: chmod, chown, setxattr, utimes and truncate, which
 * Landlock does not see (truncate: before Linux 6.2) and which a process may do to every file of its user.
 */
static const int HARMLESS[] = {
	/* files */
	__NR_read, __NR_write, __NR_readv, __NR_writev, __NR_pread64, __NR_pwrite64, __NR_preadv, __NR_pwritev,
	__NR_close, __NR_lseek, __NR_fstat, __NR_newfstatat, __NR_statx, __NR_faccessat, __NR_getdents64, __NR_fcntl,
	__NR_dup, __NR_dup3, __NR_pipe2, __NR_fsync, __NR_fdatasync, __NR_sync_file_range, __NR_ftruncate,
	__NR_fallocate, __NR_fadvise64, __NR_flock, __NR_mkdirat, __NR_unlinkat, __NR_linkat, __NR_renameat2,
	__NR_readlinkat, __NR_getcwd, __NR_chdir, __NR_fchdir, __NR_umask, __NR_statfs, __NR_fstatfs,
	__NR_sendfile, __NR_splice, __NR_tee, __NR_copy_file_range, __NR_readahead, __NR_getxattr, __NR_lgetxattr,
	__NR_fgetxattr,
	/* memory */
	__NR_mmap, __NR_munmap, __NR_mprotect, __NR_mremap, __NR_madvise, __NR_msync, __NR_brk, __NR_mlock,
	__NR_munlock, __NR_mincore, __NR_membarrier,
	/* processes and threads */
	__NR_execve, __NR_exit, __NR_exit_group, __NR_wait4, __NR_waitid, __NR_getpid, __NR_getppid, __NR_gettid,
	__NR_getpgid, __NR_setpgid, __NR_getsid, __NR_setsid, __NR_getuid, __NR_geteuid, __NR_getgid, __NR_getegid,
	__NR_getresuid, __NR_getresgid, __NR_getgroups, __NR_capget, __NR_prctl, __NR_set_tid_address,
	__NR_set_robust_list, __NR_get_robust_list, __NR_futex, __NR_sched_yield, __NR_sched_getaffinity,
	__NR_sched_getparam, __NR_sched_getscheduler, __NR_getpriority, __NR_getrusage, __NR_times, __NR_uname,
	__NR_sysinfo, __NR_getcpu,
	/* signals: where the kernel can, Landlock keeps them among the program's own processes */
	__NR_rt_sigaction, __NR_rt_sigprocmask, __NR_rt_sigreturn, __NR_rt_sigpending, __NR_rt_sigsuspend,
	__NR_rt_sigtimedwait, __NR_sigaltstack, __NR_kill, __NR_tgkill, __NR_tkill, __NR_restart_syscall,
	/* time and waiting */
	__NR_clock_gettime, __NR_clock_getres, __NR_clock_nanosleep, __NR_gettimeofday, __NR_nanosleep,
	__NR_getitimer, __NR_setitimer, __NR_timer_create, __NR_timer_settime, __NR_timer_gettime, __NR_timer_delete,
	__NR_timerfd_create, __NR_timerfd_settime, __NR_timerfd_gettime, __NR_ppoll, __NR_pselect6,
	__NR_epoll_create1, __NR_epoll_ctl, __NR_epoll_pwait, __NR_eventfd2, __NR_getrandom,
	/* sockets; the filter decides below which kinds can be made. Nothing here listens. */
	__NR_bind, __NR_connect, __NR_getsockname, __NR_getpeername,
	__NR_sendto, __NR_recvfrom, __NR_sendmsg, __NR_recvmsg, __NR_sendmmsg, __NR_recvmmsg, __NR_shutdown,
	__NR_setsockopt, __NR_getsockopt,
/* by architecture, C library or age of the headers */
#ifdef __NR_access
	__NR_access,
#endif
#ifdef __NR_stat
	__NR_stat, __NR_lstat,
#endif
#ifdef __NR_readlink
	__NR_readlink, __NR_mkdir, __NR_rmdir, __NR_unlink, __NR_link, __NR_rename,
#endif
#ifdef __NR_renameat
	__NR_renameat,
#endif
#ifdef __NR_getdents
	__NR_getdents,
#endif
#ifdef __NR_creat
	__NR_creat,
#endif
#ifdef __NR_dup2
	__NR_dup2, __NR_pipe,
#endif
#ifdef __NR_poll
	__NR_poll,
#endif
#ifdef __NR_select
	__NR_select,
#endif
#ifdef __NR_epoll_wait
	__NR_epoll_wait, __NR_epoll_create,
#endif
#ifdef __NR_eventfd
	__NR_eventfd,
#endif
#ifdef __NR_getpgrp
	__NR_getpgrp,
#endif
#ifdef __NR_getrlimit
	__NR_getrlimit,
#endif
#ifdef __NR_setrlimit
	__NR_setrlimit,
#endif
#ifdef __NR_alarm
	__NR_alarm, __NR_pause,
#endif
#ifdef __NR_time
	__NR_time,
#endif
#ifdef __NR_fork
	__NR_fork, __NR_vfork,
#endif
#ifdef __NR_arch_prctl
	__NR_arch_prctl,
#endif
#ifdef __NR_riscv_flush_icache
	__NR_riscv_flush_icache,
#endif
#ifdef __NR_rseq
	__NR_rseq,
#endif
#ifdef __NR_faccessat2
	__NR_faccessat2,
#endif
#ifdef __NR_close_range
	__NR_close_range,
#endif
};

#define COUNT(array) (sizeof(array) / sizeof(*(array)))
#define ARGUMENT(n) (offsetof(struct seccomp_data, args) + (n) * 8) /* the lower half, on little-endian machines */
#define LOAD(offset) ((struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (offset)))
#define RETURN(value) ((struct sock_filter)BPF_STMT(BPF_RET | BPF_K, (value)))
#define MASK(bits) ((struct sock_filter)BPF_STMT(BPF_ALU | BPF_AND | BPF_K, (bits)))
#define IF_EQUAL(value, yes, no) ((struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (value), (yes), (no)))
#define IF_ABOVE(value, yes, no) ((struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, (value), (yes), (no)))
#define DENY RETURN(SECCOMP_RET_ERRNO | EPERM)
#define UNKNOWN RETURN(SECCOMP_RET_ERRNO | ENOSYS)
#define ALLOW RETURN(SECCOMP_RET_ALLOW)

/* CLONE_NEWNS and its like: each namespace is a new piece of kernel to attack.  */
#define NEW_NAMESPACES                                                                                               \
	(CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET)
/* The newest system call that the list above was compared with: what is newer is answered as by an older kernel. */
#define NEWEST 450

static struct sock_filter program[COUNT(HARMLESS) * 2 + 128];
static unsigned short length;

static void emit(struct sock_filter step)
{
	if (length == COUNT(program)) {
		errno = E2BIG;
		fail("writing the filter", NULL);
	}
	program[length++] = step;
}

/* `steps` decide on one system call, whose number is loaded; the filter goes on behind them for every other. */
#define RULE(number, ...)                                                                                            \
	do {                                                                                                         \
		const struct sock_filter steps[] = { __VA_ARGS__ };                                                  \
		emit(IF_EQUAL((number), 0, COUNT(steps)));                                                           \
		for (size_t at = 0; at < COUNT(steps); at++)                                                         \
			emit(steps[at]);                                                                             \
	} while (0)

static void restrict_calls(int network)
{
	emit(LOAD(offsetof(struct seccomp_data, arch)));
	emit(IF_EQUAL(ARCH, 1, 0));
	emit(RETURN(SECCOMP_RET_KILL_PROCESS));
	emit(LOAD(offsetof(struct seccomp_data, nr)));
#ifdef __x86_64__
	/* x32 has numbers of its own for the same calls. */
	emit(((struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, 0x40000000, 0, 1)));
	emit(DENY);
#endif
	for (size_t at = 0; at < COUNT(HARMLESS); at++) {
		emit(IF_EQUAL((unsigned)HARMLESS[at], 0, 1));
		emit(ALLOW);
	}
	/* Neither Unix sockets (the agent's own and systemd's give power to whoever has this user id) nor raw ones. */
	if (network)
		RULE(__NR_socket, LOAD(ARGUMENT(0)), IF_EQUAL(AF_INET, 1, 0), IF_EQUAL(AF_INET6, 0, 5),
		     LOAD(ARGUMENT(1)), MASK(0xf), IF_EQUAL(SOCK_STREAM, 1, 0), IF_EQUAL(SOCK_DGRAM, 0, 1), ALLOW, DENY);
	/* A pair of datagram sockets could send to any other one by its name. */
	RULE(__NR_socketpair, LOAD(ARGUMENT(0)), IF_EQUAL(AF_UNIX, 0, 4), LOAD(ARGUMENT(1)), MASK(0xf),
	     IF_EQUAL(SOCK_STREAM, 0, 1), ALLOW, DENY);
	/*
	 * O_TRUNC without write access (mode 0), or with mode 3, which carries no access bits: Landlock before Linux 6.2
	 * does not check either.
	 */
	RULE(__NR_openat, LOAD(ARGUMENT(2)), MASK(O_TRUNC | O_ACCMODE), IF_EQUAL(O_TRUNC, 1, 0),
	     IF_EQUAL(O_TRUNC | O_ACCMODE, 0, 1), DENY, ALLOW);
#ifdef __NR_open
	RULE(__NR_open, LOAD(ARGUMENT(1)), MASK(O_TRUNC | O_ACCMODE), IF_EQUAL(O_TRUNC, 1, 0),
	     IF_EQUAL(O_TRUNC | O_ACCMODE, 0, 1), DENY, ALLOW);
#endif
	/* Characters typed into a terminal. */
	RULE(__NR_ioctl, LOAD(ARGUMENT(1)), IF_EQUAL(TIOCSTI, 1, 0), IF_EQUAL(TIOCLINUX, 0, 1), DENY, ALLOW);
	/* Its own limits alone. */
	RULE(__NR_prlimit64, LOAD(ARGUMENT(0)), IF_EQUAL(0, 1, 0), DENY, ALLOW);
	RULE(__NR_clone, LOAD(ARGUMENT(0)), MASK(NEW_NAMESPACES), IF_EQUAL(0, 1, 0), DENY, ALLOW);
#ifdef __NR_clone3
	/* Its flags lie in memory, where no filter can look; C libraries fall back to clone. */
	RULE(__NR_clone3, UNKNOWN);
#endif
	emit(IF_ABOVE(NEWEST, 1, 0));
	emit(DENY);
	emit(UNKNOWN);

	struct sock_fprog filter = { .len = length, .filter = program };

	if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter, 0, 0) < 0)
		fail("installing the filter of system calls", NULL);
}

/* ---- capabilities and limits ---- */

static void drop_capabilities(void)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = { 0 };

	/* With it, executing a program as root, or one with the set-user-id bit, brings no capability back. */
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		fail("giving up new privileges", NULL);
	/* Both need CAP_SETPCAP, and are a second lock on the same door. */
	(void)prctl(PR_SET_SECUREBITS, SECBIT_NOROOT | SECBIT_NOROOT_LOCKED, 0, 0, 0);
	for (int capability = 0; prctl(PR_CAPBSET_READ, capability, 0, 0, 0) >= 0; capability++)
		(void)prctl(PR_CAPBSET_DROP, capability, 0, 0, 0);
	if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0)
		fail("giving up ambient capabilities", NULL);
	if (syscall(__NR_capset, &header, none) < 0)
		fail("giving up capabilities", NULL);
}

static void limit(void)
{
	const struct rlimit none = { 0, 0 };

	/* What a program held of a token or key must not reach the disk. */
	if (setrlimit(RLIMIT_CORE, &none) < 0)
		fail("switching core dumps off", NULL);
#ifdef __NR_close_range
	/* Whatever the caller left open. Older kernels have no such call; node opens everything close-on-exec. */
	(void)syscall(__NR_close_range, 3, ~0U, 0);
#endif
}

int main(int argc, char **argv)
{
	int version = landlock_version();
	int network = 0;
	int option;

	if (argc == 2 && strcmp(argv[1], "--probe") == 0) {
		printf("landlock %d\n", version);
		return 0;
	}
	limit();
	struct rules rules = { .fd = -1 };

	if (version > 0)
		rules = open_rules(version);
	while ((option = getopt(argc, argv, "+r:w:n")) != -1) {
		if (option == 'n')
			network = 1;
		else if (option == '?')
			return EXIT_NOT_SET_UP;
		else if (version > 0)
			allow(&rules, optarg, option == 'r' ? READ : WRITE);
	}
	if (optind == argc) {
		fprintf(stderr, "usage: omni-sandbox [-r PATH]... [-w PATH]... [-n] -- PROGRAM [ARGUMENT]...\n");
		return EXIT_NOT_SET_UP;
	}
	drop_capabilities();
	if (version > 0) {
		if (syscall(__NR_landlock_restrict_self, rules.fd, 0) < 0)
			fail("putting Landlock rules in force", NULL);
		close(rules.fd);
	}
	restrict_calls(network);
	execvp(argv[optind], argv + optind);
	fprintf(stderr, "omni-sandbox: failed to execute %s: %s\n", argv[optind], strerror(errno));
	return errno == ENOENT ? 127 : 126;
}
