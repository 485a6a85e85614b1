// SPDX-License-Identifier: Apache-2.0
/*
 * wire IFNAME: raw frames into and out of an interface, for an attacker whose
 * network stack is the test itself.
 *
 * Standard input and output carry records: u32 length, little-endian, and a
 * frame. Input records of length 0 come back as such once everything before
 * them was sent; a record of length 0xffffffff is followed by a u32, frames a
 * second from then on (0: as fast as they come).
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include <arpa/inet.h>

#define MOST 65536
#define SET_RATE 0xffffffffu

static uint8_t input[1 << 20];
static size_t have;
static uint64_t interval_ns, next_ns;

static void fail(const char *what)
{
	perror(what);
	exit(1);
}

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + now.tv_nsec;
}

static void put(const void *data, size_t length)
{
	const uint8_t *at = data;

	while (length) {
		ssize_t written = write(STDOUT_FILENO, at, length);

		if (written < 0) {
			if (errno == EINTR)
				continue;
			exit(0);
		}
		at += written;
		length -= written;
	}
}

static void put_record(const void *frame, uint32_t length)
{
	put(&length, sizeof(length));
	put(frame, length);
}

/* Everything that arrived meanwhile. */
static void receive(int wire)
{
	static uint8_t frame[MOST];

	for (int i = 0; i < 256; i++) {
		ssize_t length = recv(wire, frame, sizeof(frame), MSG_DONTWAIT);

		if (length <= 0)
			return;
		put_record(frame, length);
	}
}

static void pace(int wire)
{
	uint64_t now;

	if (!interval_ns)
		return;
	now = now_ns();
	/* Not more than a millisecond's worth is caught up on: the receiver's queue is short. */
	if (next_ns + 1000000 < now)
		next_ns = now - 1000000;
	while (now < next_ns) {
		struct timespec wait = { 0, next_ns - now };

		receive(wire);
		nanosleep(&wait, NULL);
		now = now_ns();
	}
	next_ns += interval_ns;
}

static void transmit(int wire, const uint8_t *frame, uint32_t length)
{
	pace(wire);
	while (send(wire, frame, length, 0) < 0) {
		if (errno != ENOBUFS && errno != EAGAIN && errno != EINTR)
			return; /* too long for the interface, or cut off: as on a real wire, nobody is told */
		usleep(100);
	}
}

/* Takes the records that are complete; returns what is left of the input. */
static void take(int wire)
{
	size_t at = 0;

	while (have - at >= 4) {
		uint32_t length;

		memcpy(&length, input + at, 4);
		if (length == SET_RATE) {
			uint32_t rate;

			if (have - at < 8)
				break;
			memcpy(&rate, input + at + 4, 4);
			interval_ns = rate ? 1000000000u / rate : 0;
			next_ns = now_ns();
			at += 8;
			continue;
		}
		if (length > MOST) {
			fprintf(stderr, "wire: a record of %u bytes\n", length);
			exit(2);
		}
		if (have - at < 4 + length)
			break;
		if (length)
			transmit(wire, input + at + 4, length);
		else
			put_record(NULL, 0);
		at += 4 + length;
	}
	memmove(input, input + at, have - at);
	have -= at;
}

int main(int argc, char **argv)
{
	struct sockaddr_ll address = { .sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL) };
	int wire, one = 1, room = 8 << 20;

	if (argc != 2)
		return 2;
	wire = socket(AF_PACKET, SOCK_RAW, 0);
	if (wire < 0)
		fail("socket");
	address.sll_ifindex = if_nametoindex(argv[1]);
	if (!address.sll_ifindex)
		fail(argv[1]);
	setsockopt(wire, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof(room));
	setsockopt(wire, SOL_PACKET, PACKET_IGNORE_OUTGOING, &one, sizeof(one));
	if (bind(wire, (void *)&address, sizeof(address)))
		fail("bind");
	put_record(NULL, 0); /* ready */
	for (;;) {
		struct pollfd ready[] = { { STDIN_FILENO, POLLIN, 0 }, { wire, POLLIN, 0 } };

		if (poll(ready, 2, -1) < 0 && errno != EINTR)
			fail("poll");
		if (ready[1].revents)
			receive(wire);
		if (ready[0].revents) {
			ssize_t length = read(STDIN_FILENO, input + have, sizeof(input) - have);

			if (length <= 0)
				return 0;
			have += length;
			take(wire);
		}
	}
}
