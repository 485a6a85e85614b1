/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef OMNI_SLOWPATH_H
#define OMNI_SLOWPATH_H

#include "common.h"

/*
 * Precedes a datagram that egress hands to the slow path, as XDP metadata:
 * written by the program alone, out of reach of whoever sends frames, carried
 * by native and generic XDP alike.
 */
#define SLOWPATH_MAGIC 0x6f6d6e69

struct slowpath_meta {
	__u32 magic;
	__u32 ifindex;
};

#endif /* OMNI_SLOWPATH_H */
