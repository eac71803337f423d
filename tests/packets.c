/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "packets.h"

#include <string.h>

/* RFC 1071 in its plainest form: big-endian words, carries taken round at once. */
static uint32_t sum_of(uint32_t sum, const uint8_t *bytes, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		sum += i % 2 ? bytes[i] : (uint32_t)bytes[i] << 8;
		sum = (sum & 0xffff) + (sum >> 16);
	}
	return sum;
}

static void put16(uint8_t *at, uint32_t v)
{
	at[0] = (uint8_t)(v >> 8);
	at[1] = (uint8_t)v;
}

static void put32(uint8_t *at, uint32_t v)
{
	put16(at, v >> 16);
	put16(at + 2, v);
}

size_t packet_transport_at(const struct packet_spec *spec)
{
	return spec->version == 4 ? 20 : 40;
}

size_t packet_header_bytes(const struct packet_spec *spec)
{
	return packet_transport_at(spec) +
	       (spec->protocol == PACKETS_TCP ? 20u + spec->options_bytes : 8u);
}

static size_t checksum_at(const struct packet_spec *spec)
{
	return packet_transport_at(spec) + (spec->protocol == PACKETS_TCP ? 16 : 6);
}

static uint32_t pseudo_sum(const struct packet_spec *spec, const uint8_t *packet, size_t bytes)
{
	uint32_t length = (uint32_t)(bytes - packet_transport_at(spec));
	uint32_t sum = spec->version == 4 ? sum_of(0, packet + 12, 8) : sum_of(0, packet + 8, 32);
	uint8_t tail[4] = { (uint8_t)(length >> 8), (uint8_t)length, 0, spec->protocol };

	return sum_of(sum, tail, sizeof(tail));
}

void packet_pseudo_sum(const struct packet_spec *spec, uint8_t *packet, size_t bytes)
{
	put16(packet + checksum_at(spec), pseudo_sum(spec, packet, bytes));
}

static void seal_ipv4_header(uint8_t *packet)
{
	put16(packet + 10, 0);
	put16(packet + 10, ~sum_of(0, packet, 20) & 0xffff);
}

void packet_seal_checksums(const struct packet_spec *spec, uint8_t *packet, size_t bytes)
{
	size_t transport_at = packet_transport_at(spec);
	uint32_t checksum;

	if (spec->version == 4)
		seal_ipv4_header(packet);
	put16(packet + checksum_at(spec), 0);
	if (spec->no_checksum)
		return;
	checksum = ~sum_of(pseudo_sum(spec, packet, bytes), packet + transport_at,
			   bytes - transport_at) &
		   0xffff;
	if (checksum == 0 && spec->protocol == PACKETS_UDP)
		checksum = 0xffff;
	put16(packet + checksum_at(spec), checksum);
}

static void make_ipv4(const struct packet_spec *spec, uint8_t *packet, size_t bytes)
{
	packet[0] = 0x45;
	packet[1] = spec->tos;
	put16(packet + 2, (uint32_t)bytes);
	put16(packet + 4, spec->id);
	put16(packet + 6, spec->place);
	packet[8] = spec->ttl;
	packet[9] = spec->protocol;
	put32(packet + 12, 0x0a000001u + spec->hosts);
	put32(packet + 16, 0xc0000201u + spec->hosts);
}

static void make_ipv6(const struct packet_spec *spec, uint8_t *packet, size_t bytes)
{
	put32(packet, 6u << 28 | (uint32_t)spec->tos << 20 | (spec->flow_label & 0xfffff));
	put16(packet + 4, (uint32_t)bytes - 40);
	packet[6] = spec->protocol;
	packet[7] = spec->ttl;
	memset(packet + 8, 0, 32);
	packet[8] = 0xfd;
	packet[23] = (uint8_t)(1 + spec->hosts);
	put32(packet + 24, 0x20010db8);
	packet[39] = (uint8_t)(1 + spec->hosts);
}

static void make_tcp(const struct packet_spec *spec, uint8_t *tcp)
{
	put16(tcp, 40000u + spec->ports);
	put16(tcp + 2, 443);
	put32(tcp + 4, spec->sequence);
	put32(tcp + 8, spec->acknowledgement);
	tcp[12] = (uint8_t)((20 + spec->options_bytes) / 4 << 4);
	tcp[13] = spec->flags;
	put16(tcp + 14, spec->window);
	put16(tcp + 18, spec->urgent);
	for (size_t i = 0; i < spec->options_bytes; i++)
		tcp[20 + i] = (uint8_t)(1 + i);
}

static void make_udp(const struct packet_spec *spec, uint8_t *udp)
{
	put16(udp, 40000u + spec->ports);
	put16(udp + 2, 443);
	put16(udp + 4, 8 + spec->payload_bytes);
}

static uint8_t stream_byte(uint32_t at)
{
	return (uint8_t)(at * 2654435761u >> 24);
}

size_t packet_make(const struct packet_spec *spec, uint8_t *ret_packet)
{
	size_t transport_at = packet_transport_at(spec), header = packet_header_bytes(spec);
	size_t bytes = header + spec->payload_bytes;

	memset(ret_packet, 0, header);
	if (spec->version == 4)
		make_ipv4(spec, ret_packet, bytes);
	else
		make_ipv6(spec, ret_packet, bytes);
	if (spec->protocol == PACKETS_TCP)
		make_tcp(spec, ret_packet + transport_at);
	else
		make_udp(spec, ret_packet + transport_at);
	for (uint32_t i = 0; i < spec->payload_bytes; i++)
		ret_packet[header + i] = stream_byte(spec->sequence + i);
	packet_seal_checksums(spec, ret_packet, bytes);
	return bytes;
}
