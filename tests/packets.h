/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Inner packets for tests, written as plainly as can be: byte by byte, with a checksum of their own,
 * so that they owe nothing to the code under test.
 */
#ifndef TESTS_PACKETS_H
#define TESTS_PACKETS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { PACKETS_TCP = 6, PACKETS_UDP = 17 };

/**
 * struct packet_spec - what a TCP or UDP packet is to be
 * @version:        4 or 6
 * @protocol:       PACKETS_TCP or PACKETS_UDP
 * @hosts:          picks both addresses
 * @ports:          picks both ports
 * @payload_bytes:  length of the payload, which depends on @sequence only: byte i of the packet is
 *                  byte @sequence + i of one endless stream
 * @tos, @ttl, @flow_label, @id, @place: IP fields; @id and @place (flags and fragment offset) of
 *                  IPv4 only, @flow_label of IPv6 only
 * @sequence:       TCP sequence number; for UDP only the place in the stream
 * @acknowledgement, @flags, @window, @urgent: TCP fields
 * @options_bytes:  length of TCP options, a multiple of 4, at most 40
 * @no_checksum:    UDP: send 0
 */
struct packet_spec {
	uint8_t version;
	uint8_t protocol;
	uint8_t hosts;
	uint8_t ports;
	uint32_t payload_bytes;
	uint8_t tos;
	uint8_t ttl;
	uint32_t flow_label;
	uint16_t id;
	uint16_t place;
	uint32_t sequence;
	uint32_t acknowledgement;
	uint8_t flags;
	uint16_t window;
	uint16_t urgent;
	uint8_t options_bytes;
	bool no_checksum;
};

/** packet_make() - write the packet, checksums and all; returns its length */
size_t packet_make(const struct packet_spec *spec, uint8_t *ret_packet);

/** packet_transport_at() - where the TCP or UDP header of such a packet begins */
size_t packet_transport_at(const struct packet_spec *spec);

/** packet_header_bytes() - where its payload begins */
size_t packet_header_bytes(const struct packet_spec *spec);

/** packet_seal_checksums() - after a change to such a packet, make its checksums right again */
void packet_seal_checksums(const struct packet_spec *spec, uint8_t *packet, size_t bytes);

/** packet_pseudo_sum() - put the pseudo-header's sum into the checksum field, as the kernel does
 * for a packet whose checksum the device is to complete */
void packet_pseudo_sum(const struct packet_spec *spec, uint8_t *packet, size_t bytes);

#endif
