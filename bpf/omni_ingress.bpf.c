// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * XDP on every underlay interface: what other nodes send us.
 *
 *   1. Not UDP to our port: none of our business.
 *   2. Id 0: a handshake message; to the agent's socket if it may be one.
 *   3. Session, replay window (a hint).
 *   4. Under load perhaps to another CPU, where omni_open goes on.
 *   5. Tag, replay window, text.
 *   6. The sender inside must belong to the peer; out of omni0.
 *
 * All else to our port ends here, without an answer.
 */
#include "lib/control.h"
#include "lib/receive.h"
#include "lib/spread.h"

static __always_inline int data_verdict(struct xdp_md *ctx, const struct datagram *datagram)
{
	struct receipt receipt = {};
	struct session_entry *session = data_find(ctx, datagram, &receipt);

	if (!session)
		return receipt.reason == OMNI_DROP_TRUNCATED || receipt.reason == OMNI_DROP_SESSION_UNKNOWN ?
			       underlay_refuse(ctx, receipt.reason) :
			       drop(receipt.reason);
	if (spread_verdict(ctx, session, datagram->length, receipt.now_ns) == XDP_REDIRECT)
		return XDP_REDIRECT;
	return data_open(ctx, datagram, session, &receipt);
}

SEC("xdp")
int omni_ingress(struct xdp_md *ctx)
{
	struct datagram datagram = {};
	struct span message;

	switch (underlay_parse(ctx, &datagram)) {
	case UNDERLAY_OTHER:
		return XDP_PASS;
	case UNDERLAY_MALFORMED:
		return underlay_refuse(ctx, OMNI_DROP_TRUNCATED);
	case UNDERLAY_TAGGED:
		return underlay_refuse(ctx, OMNI_DROP_TAGGED);
	case UNDERLAY_OURS:
		break;
	}
	message = packet_from(ctx, datagram.payload);
	if (message.at + sizeof(__u64) > message.end || datagram.length < sizeof(struct omni_control_header))
		return underlay_refuse(ctx, OMNI_DROP_TRUNCATED);
	if (*(__u64 *)message.at == 0)
		return control_verdict(ctx, &datagram);
	return data_verdict(ctx, &datagram);
}

char _license[] SEC("license") = "Dual BSD/GPL";
