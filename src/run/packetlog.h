/* SPDX-License-Identifier: GPL-2.0-or-later */
/* --debug: one line a packet. */
#ifndef RUN_PACKETLOG_H
#define RUN_PACKETLOG_H

#include "minivpn/inner.h"
#include "minivpn/verdict.h"

#include <stdint.h>

/**
 * packetlog_out() - show a packet that came from the tun device
 * @inner:   what it was; version 0 if it is no IP packet
 * @verdict: what became of it
 * @record:  its ESP packet, or NULL
 */
void packetlog_out(const struct inner *inner, enum verdict verdict, const uint8_t *record);

/**
 * packetlog_in() - show a datagram that came from the transport
 * @inner:    what was in it, if @verdict is VERDICT_PASS
 * @sequence: its sequence number, likewise
 * @from:     where it came from
 */
void packetlog_in(const struct inner *inner, enum verdict verdict, uint32_t sequence,
		  const struct endpoint *from);

#endif
