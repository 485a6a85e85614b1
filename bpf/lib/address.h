/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* IP addresses as map keys: IPv4 is ::ffff:a.b.c.d. */
#ifndef OMNI_ADDRESS_H
#define OMNI_ADDRESS_H

#include "common.h"

static __always_inline struct omni_address address_from_ipv4(__be32 ipv4)
{
	struct omni_address address = {};

	address.bytes[10] = 0xff;
	address.bytes[11] = 0xff;
	__builtin_memcpy(&address.bytes[12], &ipv4, sizeof(ipv4));
	return address;
}

static __always_inline struct omni_address address_from_ipv6(const struct in6_addr *ipv6)
{
	struct omni_address address;

	__builtin_memcpy(&address, ipv6, sizeof(address));
	return address;
}

static __always_inline int address_is_ipv4(const struct omni_address *address)
{
	const __u32 *words = (const __u32 *)address;

	return words[0] == 0 && words[1] == 0 && words[2] == bpf_htonl(0xffff);
}

/* The last four bytes. */
static __always_inline __be32 address_ipv4(const struct omni_address *address)
{
	return ((const __u32 *)address)[3];
}

/* What one owner of IPv6 addresses has at least (RFC 6177): its first 64 bits. */
static __always_inline struct omni_address address_prefix64(const struct omni_address *address)
{
	struct omni_address prefix = {};

	__builtin_memcpy(&prefix, address, sizeof(prefix) / 2);
	return prefix;
}

static __always_inline int address_equal(const struct omni_address *a, const struct omni_address *b)
{
	const __u32 *x = (const __u32 *)a, *y = (const __u32 *)b;

	return x[0] == y[0] && x[1] == y[1] && x[2] == y[2] && x[3] == y[3];
}

static __always_inline int address_is_unspecified(const struct omni_address *address)
{
	const __u32 *words = (const __u32 *)address;

	return (words[0] | words[1] | words[2] | words[3]) == 0;
}

static __always_inline int mac_equal(const __u8 *a, const __u8 *b)
{
	const __u16 *x = (const __u16 *)a, *y = (const __u16 *)b;

	return x[0] == y[0] && x[1] == y[1] && x[2] == y[2];
}

static __always_inline void mac_copy(__u8 *to, const __u8 *from)
{
	__u16 *x = (__u16 *)to;
	const __u16 *y = (const __u16 *)from;

	x[0] = y[0];
	x[1] = y[1];
	x[2] = y[2];
}

#endif /* OMNI_ADDRESS_H */
