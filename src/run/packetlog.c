/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "run/packetlog.h"

#include "log.h"
#include "minivpn/envelope.h"

#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

enum { PROTOCOL_BYTES = 16 };

static const char *protocol_text(uint8_t protocol, char text[PROTOCOL_BYTES])
{
	switch (protocol) {
	case IPPROTO_ICMP:
		return "icmp";
	case IPPROTO_TCP:
		return "tcp";
	case IPPROTO_UDP:
		return "udp";
	case IPPROTO_ICMPV6:
		return "icmp6";
	default:
		snprintf(text, PROTOCOL_BYTES, "protocol %u", protocol);
		return text;
	}
}

static void show(const char *direction, const struct inner *inner, const char *fate)
{
	char protocol[PROTOCOL_BYTES];

	if (inner->version == 0)
		log_debug("packet: %s: %s", direction, fate);
	else
		log_debug("packet: %s: %s > %s, %s, %u bytes, %s", direction,
			  shown_address(&inner->source), shown_address(&inner->destination),
			  protocol_text(inner->protocol, protocol), inner->bytes, fate);
}

void packetlog_out(const struct inner *inner, enum verdict verdict, const uint8_t *record)
{
	struct envelope_header header;
	char sequence[32];

	if (!record) {
		show("out", inner, verdict_words(verdict));
		return;
	}
	memcpy(&header, record, sizeof(header));
	snprintf(sequence, sizeof(sequence), "sequence %u", be32_to(header.sequence));
	show("out", inner, sequence);
}

void packetlog_in(const struct inner *inner, enum verdict verdict, uint32_t sequence,
		  const struct endpoint *from)
{
	char fate[128];

	if (verdict == VERDICT_PASS)
		snprintf(fate, sizeof(fate), "sequence %u", sequence);
	else
		snprintf(fate, sizeof(fate), "%s, from %s", verdict_words(verdict),
			 shown_endpoint(from));
	show("in", inner, fate);
}
