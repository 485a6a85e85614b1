/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The shape of handshake messages. docs/protocol.md */
#ifndef OMNI_CONTROL_HEADER_H
#define OMNI_CONTROL_HEADER_H

#include "common.h"

/* The exact length of a message of this type and version, or 0: none such is accepted. */
static __always_inline __u32 control_length(const struct omni_control_header *header)
{
	int hybrid = header->version == OMNI_PROTOCOL_HYBRID;

	if (header->version != OMNI_PROTOCOL_CLASSIC && !hybrid)
		return 0;
	switch (header->type) {
	case OMNI_CONTROL_INITIATION:
		return hybrid ? OMNI_HYBRID_INITIATION_LEN : OMNI_INITIATION_LEN;
	case OMNI_CONTROL_RESPONSE:
		return hybrid ? OMNI_HYBRID_RESPONSE_LEN : OMNI_RESPONSE_LEN;
	case OMNI_CONTROL_COOKIE:
		return OMNI_COOKIE_LEN;
	default:
		return 0;
	}
}

static __always_inline int control_reserved_zero(const struct omni_control_header *header)
{
	return !(header->reserved[0] | header->reserved[1] | header->reserved[2] | header->reserved[3] |
		 header->reserved[4] | header->reserved[5]);
}

#endif /* OMNI_CONTROL_HEADER_H */
