/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The items inside handshake messages (docs/protocol.md section 5) and in-band messages (section 6):
 * type, length, value; one grammar for both.
 */
#ifndef MINIVPN_PAYLOAD_H
#define MINIVPN_PAYLOAD_H

#include "minivpn/inner.h"
#include "minivpn/verdict.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	PAYLOAD_SPIS_MAX = 16,
	PAYLOAD_ADDRESSES_MAX = 4,
	PAYLOAD_ROUTES_MAX = 131, /* beside one SPI no more fit into a Response */
	PAYLOAD_DNS_MAX = 4,
	PAYLOAD_DOMAIN_BYTES = 254, /* 253 and NUL */
	PAYLOAD_MTU_MIN = 1280,
};

enum payload_kind { PAYLOAD_INIT, PAYLOAD_RESPONSE };
enum transport_wish { TRANSPORT_UDP = 0, TRANSPORT_ESP = 1 };
enum refusal {
	REFUSAL_NONE = 0,
	REFUSAL_UNKNOWN_ITEM = 1,
	REFUSAL_FULL = 2,
	REFUSAL_VERSION_TOO_OLD = 3,
	REFUSAL_KEY_ELSEWHERE = 4,
};
enum { PAYLOAD_FLAG_HEARS_IN_BAND = 1 };

/**
 * struct payload - what one end tells the other in a handshake message
 * @spi, @spi_count:  the SPIs it will receive on, 1 to 16, all different, each at least 256
 * @mtu:              largest inner packet it wants, at least 1280; UINT16_MAX if it did not say
 * @workers:          1 to 16
 * @flags:            PAYLOAD_FLAG_*; bits we do not know are cleared
 * @transport:        wish (Init) or decision (Response)
 * @version:          highest protocol version it speaks
 * @address, @route, @dns, @search_domain: configuration, in a server's Response only
 * @seen_as:          the initiator's address and port as the responder sees it; none if absent
 * @refusal:          if not REFUSAL_NONE, all else is absent and no session follows; may be a reason
 *                    that a later version added
 * @refusal_detail:   for REFUSAL_UNKNOWN_ITEM: the item's type
 * @unknown_critical: set by payload_parse(): type of the first critical item we do not know, else 0;
 *                    in an Init it is to be answered by REFUSAL_UNKNOWN_ITEM
 * @impossible:       set by payload_parse(): configuration entries ignored because they cannot be
 *
 * What has been parsed is complete: an absent item has its default here.  In what is to be built, a
 * field that is zero (mtu, workers, flags, transport, version) is not written, and the reader takes
 * the default.
 */
struct payload {
	uint32_t spi[PAYLOAD_SPIS_MAX];
	uint8_t spi_count;
	uint16_t mtu;
	uint8_t workers;
	uint32_t flags;
	enum transport_wish transport;
	uint8_t version;
	struct prefix address[PAYLOAD_ADDRESSES_MAX];
	uint8_t address_count;
	struct prefix route[PAYLOAD_ROUTES_MAX];
	uint8_t route_count;
	struct address dns[PAYLOAD_DNS_MAX];
	uint8_t dns_count;
	char search_domain[PAYLOAD_DOMAIN_BYTES];
	struct endpoint seen_as;
	enum refusal refusal;
	uint8_t refusal_detail;
	uint8_t unknown_critical;
	uint16_t impossible;
};

/**
 * payload_parse() - read the items of a handshake message
 * @bytes, @size: decrypted payload, padding included
 * @kind:         which message it came in
 * @from_server:  did a server make it?  Configuration items count only in its Response
 * @ret_payload:  filled on VERDICT_PASS and VERDICT_UNKNOWN_ITEM
 *
 * Return: VERDICT_PASS; VERDICT_BAD_PAYLOAD (truncated item, wrong length, value out of its range,
 * forbidden repeat, data behind the end item, no or bad SPIs, a refusal that is not alone); or, in
 * an otherwise good message, VERDICT_UNKNOWN_ITEM for a critical item we do not know
 */
enum verdict payload_parse(const uint8_t *bytes, size_t size, enum payload_kind kind,
			   bool from_server, struct payload *ret_payload);

/**
 * payload_build() - the items as bytes, and zeros after them
 * @payload: what to say; a refusal is said alone
 * @kind:    configuration is written only into a Response
 * @room:    where to, all of it; the zeros are the end item and the padding at once
 * @size:    bytes of @room
 *
 * Return: bytes of the items; more than @size if they do not fit (@room is then undefined), so that
 * the caller can name the bytes over
 */
size_t payload_build(const struct payload *payload, enum payload_kind kind, uint8_t *room,
		     size_t size);

/**
 * payload_forced_down() - do both ends speak a newer version than the one in use?
 *
 * Then somebody between them forced it down, and the handshake has to fail loudly.
 */
bool payload_forced_down(const struct payload *ours, const struct payload *theirs,
			 uint8_t version_in_use);

/* In-band messages: what a dummy packet (ESP next header 59) carries. */

enum close_reason {
	CLOSE_STOPPING = 0,
	CLOSE_RESTARTING = 1,
	CLOSE_KEY_REMOVED = 2,
	CLOSE_KEY_ELSEWHERE = 3,
};

enum {
	PING_BYTES = 8,
	SOFTWARE_BYTES = 65,    /* 64 and NUL */
	IN_BAND_MAX_BYTES = 96, /* any message of ours without padding */
};

/**
 * struct in_band - what a dummy packet says; any of these may be absent; of a repeat the last counts
 * @has_ping, @ping:   to be answered by a Pong with the same bytes
 * @has_pong, @pong:   answer to our Ping
 * @has_close, @close: the session ends (an unknown reason is taken as CLOSE_STOPPING)
 * @rekey_please:      the other end wants a handshake
 * @software:          name and version of the other end's software, empty if not told
 */
struct in_band {
	bool has_ping, has_pong, has_close, rekey_please;
	uint8_t ping[PING_BYTES], pong[PING_BYTES];
	enum close_reason close;
	char software[SOFTWARE_BYTES];
};

/**
 * in_band_parse() - read the payload of a dummy packet
 * @bytes, @size: the payload, padding included
 * @ret_message:  filled on VERDICT_CONSUMED
 *
 * Return: VERDICT_CONSUMED (also for an empty payload, a keepalive), VERDICT_FOREIGN_DUMMY (not ours:
 * counted and still heard), VERDICT_IN_BAND_MALFORMED
 */
enum verdict in_band_parse(const uint8_t *bytes, size_t size, struct in_band *ret_message);

/**
 * in_band_build() - a message as bytes
 * @message: its software, if any, is 1 to 64 printable ASCII characters
 * @room:    at least IN_BAND_MAX_BYTES
 *
 * Return: bytes used, end item included; the caller may add zero bytes (path-MTU probe)
 */
size_t in_band_build(const struct in_band *message, uint8_t *room);

#endif
