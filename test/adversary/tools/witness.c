// SPDX-License-Identifier: Apache-2.0
/*
 * witness ADDRESS... -- INTERFACE...: a host's sockets, as gullible as a host can be.
 *
 * Opens UDP sockets on many ports and raw sockets for every protocol, IPv4 and
 * IPv6, on wildcard addresses, and says what the stack gave them and in whose
 * name. What came in by one of the INTERFACEs is not looked at.
 *
 *   honest: UDP datagrams from one of the ADDRESSes with the mark in them
 *   everything else that is from none of the ADDRESSes, to a group, to the
 *   agent's port or to a DHCP client's is a line:
 *
 *     violation KIND source destination protocol hex
 *
 * A line on standard input is answered by a line of counts.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/ip6.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define MOST_ADDRESSES 16
#define AGENT_PORT 51820
#define MARK "omni-honest"

enum kind { UDP, RAW4, RAW6 };

struct listener {
	int fd;
	enum kind kind;
	int protocol;
	int port;
};

static struct in6_addr allowed[MOST_ADDRESSES];
static int allowed_count;
static unsigned ignored[MOST_ADDRESSES];
static int ignored_count;
static unsigned long honest, violations, seen, raw;

static const int ports[] = { 7,	   53,	 67,   68,   69,    123,  137,	 138,  161,   319,   320,   500,   514,  520,
			     521,  546,	 547,  1701, 1900,  2152, 3478,	 3702, 4500,  4789,  5000,  5004,  5353, 5355,
			     5683, 6081, 6635, 6653, 7400,  7410, 7411,	 8472, 9999,  10001, 33434, 40000, 48555, 51821 };

static void fail(const char *what)
{
	perror(what);
	exit(1);
}

static int mapped(const char *text, struct in6_addr *address)
{
	struct in_addr v4;

	if (inet_pton(AF_INET6, text, address) == 1)
		return 1;
	if (inet_pton(AF_INET, text, &v4) != 1)
		return 0;
	memset(address, 0, sizeof(*address));
	address->s6_addr[10] = address->s6_addr[11] = 0xff;
	memcpy(address->s6_addr + 12, &v4, 4);
	return 1;
}

static void from_ipv4(const void *v4, struct in6_addr *address)
{
	memset(address, 0, sizeof(*address));
	address->s6_addr[10] = address->s6_addr[11] = 0xff;
	memcpy(address->s6_addr + 12, v4, 4);
}

static int is_allowed(const struct in6_addr *address)
{
	for (int i = 0; i < allowed_count; i++)
		if (!memcmp(address, allowed + i, sizeof(*address)))
			return 1;
	return 0;
}

static int is_group(const struct in6_addr *address)
{
	if (address->s6_addr[0] == 0xff)
		return 1;
	return IN6_IS_ADDR_V4MAPPED(address) && address->s6_addr[12] >= 224;
}

static void violation(const char *kind, const struct in6_addr *source, const struct in6_addr *destination, int protocol,
		      const uint8_t *data, size_t length)
{
	char from[INET6_ADDRSTRLEN], to[INET6_ADDRSTRLEN];

	violations++;
	if (violations > 2000)
		return;
	inet_ntop(AF_INET6, source, from, sizeof(from));
	inet_ntop(AF_INET6, destination, to, sizeof(to));
	printf("violation %s %s %s %d ", kind, from, to, protocol);
	for (size_t i = 0; i < length && i < 96; i++)
		printf("%02x", data[i]);
	printf("\n");
	fflush(stdout);
}

/* `payload`: what follows the IP header and whatever the stack took off behind it. */
static void judge(const struct in6_addr *source, const struct in6_addr *destination, int protocol,
		  const uint8_t *payload, size_t length)
{
	int port = protocol == IPPROTO_UDP && length >= 8 ? payload[2] << 8 | payload[3] : 0;
	int duplicate_probe = protocol == IPPROTO_ICMPV6 && length >= 24 && payload[0] == 135;
	/* Neighbour and router solicitations go to groups by nature. */
	int is_question = protocol == IPPROTO_ICMPV6 && length && (payload[0] == 133 || payload[0] == 135);
	int v4 = IN6_IS_ADDR_V4MAPPED(source);
	struct in6_addr target;

	raw++;
	if (duplicate_probe && IN6_IS_ADDR_UNSPECIFIED(source)) {
		/* Whoever asks from nowhere wants the address for itself (RFC 4862, section 5.4). */
		memcpy(&target, payload + 8, 16);
		if (!is_allowed(&target))
			violation("claim", &target, destination, protocol, payload, length);
		return;
	}
	/* A question for a router from nowhere is in nobody's name. */
	if (IN6_IS_ADDR_UNSPECIFIED(source) && is_question)
		return;
	if (!is_allowed(source))
		violation("source", source, destination, protocol, payload, length);
	else if (is_group(destination) && !is_question)
		violation("group", source, destination, protocol, payload, length);
	else if (port == AGENT_PORT)
		violation("agent", source, destination, protocol, payload, length);
	else if (port && port == (v4 ? 68 : 546))
		violation("dhcp", source, destination, protocol, payload, length);
	else if (protocol == IPPROTO_ICMPV6 && length && (payload[0] == 134 || payload[0] == 137))
		violation("router", source, destination, protocol, payload, length);
	else if (protocol == IPPROTO_ICMP && length && (payload[0] == 5 || payload[0] == 9))
		violation("router", source, destination, protocol, payload, length);
}

static int is_ignored(unsigned ifindex)
{
	for (int i = 0; i < ignored_count; i++)
		if (ignored[i] == ifindex)
			return 1;
	return 0;
}

static void heard(const struct listener *listener)
{
	static uint8_t data[65536];
	char control[256];
	struct sockaddr_storage from;
	struct iovec part = { data, sizeof(data) };
	struct msghdr header = { .msg_name = &from, .msg_namelen = sizeof(from), .msg_iov = &part, .msg_iovlen = 1,
				 .msg_control = control, .msg_controllen = sizeof(control) };
	struct in6_addr source = {}, destination = {};
	unsigned ifindex = 0;
	ssize_t length = recvmsg(listener->fd, &header, MSG_DONTWAIT);

	if (length < 0)
		return;
	seen++;
	for (struct cmsghdr *each = CMSG_FIRSTHDR(&header); each; each = CMSG_NXTHDR(&header, each)) {
		if (each->cmsg_level == IPPROTO_IP && each->cmsg_type == IP_PKTINFO) {
			const struct in_pktinfo *info = (void *)CMSG_DATA(each);

			ifindex = info->ipi_ifindex;
			from_ipv4(&info->ipi_addr, &destination);
		}
		if (each->cmsg_level == IPPROTO_IPV6 && each->cmsg_type == IPV6_PKTINFO) {
			const struct in6_pktinfo *info = (void *)CMSG_DATA(each);

			ifindex = info->ipi6_ifindex;
			destination = info->ipi6_addr;
		}
	}
	if (is_ignored(ifindex))
		return;
	if (from.ss_family == AF_INET)
		from_ipv4(&((struct sockaddr_in *)&from)->sin_addr, &source);
	else
		source = ((struct sockaddr_in6 *)&from)->sin6_addr;
	if (listener->kind == RAW4) {
		size_t skip = (data[0] & 15) * 4;

		if ((size_t)length >= skip)
			judge(&source, &destination, listener->protocol, data + skip, length - skip);
		return;
	}
	if (listener->kind == RAW6) {
		judge(&source, &destination, listener->protocol, data, length);
		return;
	}
	if (!is_allowed(&source))
		violation("datagram", &source, &destination, IPPROTO_UDP, data, length);
	else if (memmem(data, length, MARK, strlen(MARK)))
		honest++;
}

static void watch(int poll, int family, int type, int protocol, int port)
{
	int one = 1, room = 4 << 20, fd = socket(family, type | SOCK_NONBLOCK, protocol);
	struct listener *listener;
	struct epoll_event event = { .events = EPOLLIN };

	if (fd < 0) {
		if (errno == EPROTONOSUPPORT)
			return;
		fail("socket");
	}
	setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof(room));
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (family == AF_INET) {
		struct sockaddr_in any = { .sin_family = AF_INET, .sin_port = htons(port) };

		setsockopt(fd, IPPROTO_IP, IP_PKTINFO, &one, sizeof(one));
		if (type == SOCK_DGRAM && bind(fd, (void *)&any, sizeof(any)))
			fail("bind");
	} else {
		struct sockaddr_in6 any = { .sin6_family = AF_INET6, .sin6_port = htons(port) };

		setsockopt(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, &one, sizeof(one));
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one));
		if (type == SOCK_DGRAM && bind(fd, (void *)&any, sizeof(any)))
			fail("bind6");
	}
	listener = calloc(1, sizeof(*listener));
	if (!listener)
		fail("calloc");
	listener->fd = fd;
	listener->kind = type == SOCK_DGRAM ? UDP : family == AF_INET ? RAW4 : RAW6;
	listener->protocol = protocol;
	listener->port = port;
	event.data.ptr = listener;
	if (epoll_ctl(poll, EPOLL_CTL_ADD, fd, &event))
		fail("epoll_ctl");
}

/* Extension headers are no protocols to IPv6's raw sockets. */
static int is_extension(int protocol)
{
	return protocol == IPPROTO_HOPOPTS || protocol == IPPROTO_ROUTING || protocol == IPPROTO_FRAGMENT ||
	       protocol == IPPROTO_DSTOPTS || protocol == IPPROTO_NONE;
}

int main(int argc, char **argv)
{
	struct epoll_event input = { .events = EPOLLIN, .data.ptr = NULL };
	int poll = epoll_create1(0), at = 1;

	for (; at < argc && strcmp(argv[at], "--"); at++)
		if (allowed_count == MOST_ADDRESSES || !mapped(argv[at], allowed + allowed_count++))
			fail(argv[at]);
	for (at++; at < argc && ignored_count < MOST_ADDRESSES; at++)
		ignored[ignored_count++] = if_nametoindex(argv[at]);
	for (size_t i = 0; i < sizeof(ports) / sizeof(*ports); i++) {
		watch(poll, AF_INET, SOCK_DGRAM, 0, ports[i]);
		watch(poll, AF_INET6, SOCK_DGRAM, 0, ports[i]);
	}
	for (int protocol = 1; protocol < 255; protocol++) {
		watch(poll, AF_INET, SOCK_RAW, protocol, 0);
		if (!is_extension(protocol))
			watch(poll, AF_INET6, SOCK_RAW, protocol, 0);
	}
	if (epoll_ctl(poll, EPOLL_CTL_ADD, STDIN_FILENO, &input))
		fail("epoll_ctl");
	printf("ready\n");
	fflush(stdout);
	for (;;) {
		struct epoll_event ready[64];
		int asked = 0, count = epoll_wait(poll, ready, 64, -1);

		for (int i = 0; i < count; i++) {
			if (ready[i].data.ptr)
				heard(ready[i].data.ptr);
			else
				asked = 1;
		}
		/* Asked, and nothing is left to hear: sockets come before the question. */
		if (asked && count == 1) {
			char line[64];

			if (read(STDIN_FILENO, line, sizeof(line)) <= 0)
				return 0;
			printf("counts %lu %lu %lu %lu\n", honest, violations, seen, raw);
			fflush(stdout);
		}
	}
}
