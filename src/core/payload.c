/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One grammar (next_item() and put_item()), and two vocabularies on it: the items of a handshake
 * message, whose rules stand in a table, and those of an in-band message.
 *
 * Three degrees of wrong are kept apart.  What breaks the grammar or a rule of the table spoils the
 * whole message: its maker and we do not mean the same.  A configuration entry that cannot be used
 * spoils itself only: a server's slip of the pen should not cost the tunnel.  And an item we do not
 * know is skipped, unless its type says that the message makes no sense without it.
 */
#include "minivpn/payload.h"

#include "minivpn/wire.h"

enum {
	ITEM_END = 0x00,
	ITEM_MTU = 0x02,
	ITEM_WORKERS = 0x03,
	ITEM_FLAGS = 0x04,
	ITEM_TRANSPORT = 0x05,
	ITEM_VERSION = 0x06,
	ITEM_ADDRESS_IPV4 = 0x10,
	ITEM_ADDRESS_IPV6 = 0x11,
	ITEM_ROUTE_IPV4 = 0x12,
	ITEM_ROUTE_IPV6 = 0x13,
	ITEM_DNS_IPV4 = 0x14,
	ITEM_DNS_IPV6 = 0x15,
	ITEM_SEARCH_DOMAIN = 0x16,
	ITEM_SEEN_AS = 0x17,
	ITEM_CRITICAL = 0x80, /* bit: whoever does not know the item must not go on */
	ITEM_SPIS = 0x81,
	ITEM_REFUSED = 0x8f,
};

enum {
	SPI_MIN = 256, /* RFC 4303 section 2.1 reserves those below */
	WORKERS_MAX = 16,
	IPV4_BYTES = 4,
	IPV6_BYTES = 16,
	DOMAIN_MAX = 253,
	DOMAIN_LABEL_MAX = 63,
	SOFTWARE_MAX = 64,
};

/**
 * struct item - one item where it lies in a message
 * @type:  what it is
 * @bytes: length of @value
 * @value: points into the message
 */
struct item {
	uint8_t type;
	uint8_t bytes;
	const uint8_t *value;
};

/* Padding is no secret: there can be a thousand bytes of it, which in constant time takes a while. */
static bool is_zero(const uint8_t *bytes, size_t n)
{
	return n == 0 || (bytes[0] == 0 && memcmp(bytes, bytes + 1, n - 1) == 0);
}

/* Takes the next item off @r.  False at the end of the list, and with @r->ok false if the list is
 * broken there: an item cut off, or something else than zeros behind the end item. */
static bool next_item(struct reader *r, struct item *ret_item)
{
	struct item item;

	if (r->left == 0)
		return false;
	item.type = reader_u8(r);
	if (item.type == ITEM_END) {
		r->ok = is_zero(r->at, r->left);
		r->left = 0;
		return false;
	}
	item.bytes = reader_u8(r);
	item.value = reader_take(r, item.bytes);
	if (!r->ok)
		return false;
	*ret_item = item;
	return true;
}

/* ---- what cannot be an address or a route ---- */

static struct prefix prefix_ipv4(uint8_t a, uint8_t b, uint8_t c, uint8_t d, uint8_t length)
{
	return (struct prefix){ address_from_ipv4((uint8_t[]){ a, b, c, d }), length };
}

static struct prefix prefix_ipv6(uint8_t first, uint8_t second, uint8_t last, uint8_t length)
{
	return (struct prefix){
		{ { [0] = first, [1] = second, [15] = last } },
		length,
	};
}

static bool lies_within(const struct prefix *p, const struct prefix *list, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (p->length >= list[i].length && prefix_contains(&list[i], &p->address))
			return true;
	return false;
}

/* Is it nobody's own: unspecified, multicast, broadcast? */
static bool is_nobody(const struct prefix *p)
{
	const struct prefix nobody[] = {
		prefix_ipv4(0, 0, 0, 0, 32),         prefix_ipv4(224, 0, 0, 0, 4),
		prefix_ipv4(255, 255, 255, 255, 32), prefix_ipv6(0, 0, 0, 128),
		prefix_ipv6(0xff, 0, 0, 8),
	};

	return lies_within(p, nobody, sizeof(nobody) / sizeof(*nobody));
}

/* Does it mean something else on each machine or link: loopback, link-local? */
static bool is_local(const struct prefix *p)
{
	const struct prefix local[] = {
		prefix_ipv4(127, 0, 0, 0, 8),
		prefix_ipv4(169, 254, 0, 0, 16),
		prefix_ipv6(0, 0, 1, 128),
		prefix_ipv6(0xfe, 0x80, 0, 10),
	};

	return lies_within(p, local, sizeof(local) / sizeof(*local));
}

/* An IPv6 item with an IPv4-mapped address would change family in a struct address. */
static bool read_address(const uint8_t *value, size_t bytes, struct address *ret_address)
{
	if (bytes == IPV4_BYTES) {
		*ret_address = address_from_ipv4(value);
		return true;
	}
	*ret_address = address_from_ipv6(value);
	return !address_is_ipv4(ret_address);
}

static struct prefix host_prefix(const struct address *a)
{
	return (struct prefix){ *a, address_is_ipv4(a) ? 32 : 128 };
}

/* Can it be told to somebody else as the address of a host? */
static bool is_host(const struct address *a)
{
	struct prefix host = host_prefix(a);

	return !is_nobody(&host) && !is_local(&host);
}

/* Address and prefix length, as an item carries them. */
static bool read_prefix(const struct item *item, struct prefix *ret_prefix)
{
	size_t address_bytes = item->bytes - 1u;

	ret_prefix->length = item->value[address_bytes];
	return read_address(item->value, address_bytes, &ret_prefix->address) &&
	       prefix_is_valid(ret_prefix);
}

/* ---- one reader an item: false if the value is out of its range; lengths have been checked ---- */

static bool read_spis(const struct item *item, struct payload *p)
{
	struct reader r = reader_over(item->value, item->bytes);

	for (; r.left > 0; p->spi_count++) {
		uint32_t spi = reader_u32(&r);

		if (spi < SPI_MIN)
			return false;
		for (size_t i = 0; i < p->spi_count; i++)
			if (p->spi[i] == spi)
				return false;
		p->spi[p->spi_count] = spi;
	}
	return true;
}

static bool read_mtu(const struct item *item, struct payload *p)
{
	struct reader r = reader_over(item->value, item->bytes);

	p->mtu = reader_u16(&r);
	if (p->mtu < PAYLOAD_MTU_MIN)
		p->mtu = PAYLOAD_MTU_MIN;
	return true;
}

static bool read_workers(const struct item *item, struct payload *p)
{
	p->workers = item->value[0];
	return p->workers >= 1 && p->workers <= WORKERS_MAX;
}

static bool read_flags(const struct item *item, struct payload *p)
{
	struct reader r = reader_over(item->value, item->bytes);

	p->flags = reader_u32(&r) & PAYLOAD_FLAG_HEARS_IN_BAND;
	return true;
}

static bool read_transport(const struct item *item, struct payload *p)
{
	p->transport = item->value[0];
	return p->transport == TRANSPORT_UDP || p->transport == TRANSPORT_ESP;
}

static bool read_version(const struct item *item, struct payload *p)
{
	p->version = item->value[0];
	return p->version >= 1;
}

static bool read_refused(const struct item *item, struct payload *p)
{
	p->refusal = item->value[0];
	p->refusal_detail = item->bytes > 1 ? item->value[1] : 0;
	return p->refusal != REFUSAL_NONE;
}

/* ---- configuration: false if the entry is impossible ---- */

static bool read_interface_address(const struct item *item, struct payload *p)
{
	struct prefix prefix;

	if (!read_prefix(item, &prefix) || prefix.length == 0 || !is_host(&prefix.address) ||
	    p->address_count == PAYLOAD_ADDRESSES_MAX)
		return false;
	p->address[p->address_count++] = prefix;
	return true;
}

static bool read_route(const struct item *item, struct payload *p)
{
	struct prefix prefix, network;

	if (!read_prefix(item, &prefix))
		return false;
	network = prefix_network(&prefix);
	if (!address_equal(&network.address, &prefix.address) || is_nobody(&prefix) ||
	    is_local(&prefix) || p->route_count == PAYLOAD_ROUTES_MAX)
		return false;
	p->route[p->route_count++] = prefix;
	return true;
}

static bool read_dns(const struct item *item, struct payload *p)
{
	struct address address;

	if (!read_address(item->value, item->bytes, &address) || !is_host(&address) ||
	    p->dns_count == PAYLOAD_DNS_MAX)
		return false;
	p->dns[p->dns_count++] = address;
	return true;
}

static bool is_letter_or_digit(uint8_t c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

/* Labels of letters, digits and inner hyphens, 1 to 63 characters, with single dots between them
 * (RFC 1123 section 2.1). */
static bool is_host_name(const uint8_t *name, size_t bytes)
{
	size_t label = 0;

	for (size_t i = 0; i < bytes; i++) {
		bool edge = label == 0 || i + 1 == bytes || name[i + 1] == '.';

		if (name[i] == '.' && label > 0 && i + 1 < bytes) {
			label = 0;
			continue;
		}
		if (!is_letter_or_digit(name[i]) && (name[i] != '-' || edge))
			return false;
		if (++label > DOMAIN_LABEL_MAX)
			return false;
	}
	return true;
}

static bool read_search_domain(const struct item *item, struct payload *p)
{
	if (!is_host_name(item->value, item->bytes))
		return false;
	memcpy(p->search_domain, item->value, item->bytes);
	p->search_domain[item->bytes] = '\0';
	return true;
}

/* Somebody was really seen there, so loopback and link-local are possible. */
static bool read_seen_as(const struct item *item, struct payload *p)
{
	size_t address_bytes = item->bytes - sizeof(be16);
	struct reader port = reader_over(item->value + address_bytes, sizeof(be16));
	struct endpoint seen = { .remote_port = reader_u16(&port) };
	struct prefix host;

	if (!read_address(item->value, address_bytes, &seen.remote))
		return false;
	host = host_prefix(&seen.remote);
	if (is_nobody(&host) || seen.remote_port == 0)
		return false;
	p->seen_as = seen;
	return true;
}

/* ---- the table of docs/protocol.md section 5 ---- */

/**
 * struct rule - what a known item has to look like
 * @type:          which item
 * @least, @most:  bounds of its length
 * @step:          lengths between them go up by this
 * @once:          a second one spoils the message
 * @configuration: counts only in a server's Response; a bad value spoils itself, not the message
 * @read:          takes the value in, false if it cannot be
 */
struct rule {
	uint8_t type;
	uint8_t least, most, step;
	bool once, configuration;
	bool (*read)(const struct item *item, struct payload *p);
};

/* clang-format off */
static const struct rule rules[] = {
	/* type              least most    step once   configuration */
	{ ITEM_SPIS,             4,  64,         4, true,  false, read_spis },
	{ ITEM_MTU,              2,   2,         1, true,  false, read_mtu },
	{ ITEM_WORKERS,          1,   1,         1, true,  false, read_workers },
	{ ITEM_FLAGS,            4,   4,         1, true,  false, read_flags },
	{ ITEM_TRANSPORT,        1,   1,         1, true,  false, read_transport },
	{ ITEM_VERSION,          1,   1,         1, true,  false, read_version },
	{ ITEM_ADDRESS_IPV4,     5,   5,         1, false, true,  read_interface_address },
	{ ITEM_ADDRESS_IPV6,    17,  17,         1, false, true,  read_interface_address },
	{ ITEM_ROUTE_IPV4,       5,   5,         1, false, true,  read_route },
	{ ITEM_ROUTE_IPV6,      17,  17,         1, false, true,  read_route },
	{ ITEM_DNS_IPV4,         4,   4,         1, false, true,  read_dns },
	{ ITEM_DNS_IPV6,        16,  16,         1, false, true,  read_dns },
	{ ITEM_SEARCH_DOMAIN,    1, DOMAIN_MAX,  1, true,  true,  read_search_domain },
	{ ITEM_SEEN_AS,          6,  18,        12, true,  true,  read_seen_as },
	{ ITEM_REFUSED,          1,   2,         1, true,  false, read_refused },
};
/* clang-format on */

enum { RULES = sizeof(rules) / sizeof(*rules) };

static const struct rule *rule_of(uint8_t type)
{
	for (size_t i = 0; i < RULES; i++)
		if (rules[i].type == type)
			return &rules[i];
	return NULL;
}

static bool length_fits(const struct rule *rule, uint8_t bytes)
{
	return bytes >= rule->least && bytes <= rule->most &&
	       (bytes - rule->least) % rule->step == 0;
}

/* Takes one known item into @p by its rule; false if it spoils the message. */
static bool take_item(const struct rule *rule, const struct item *item, bool configuration_counts,
		      struct payload *p)
{
	if (!length_fits(rule, item->bytes))
		return false;
	if (!rule->configuration)
		return rule->read(item, p);
	if (configuration_counts && !rule->read(item, p))
		p->impossible++;
	return true;
}

enum verdict payload_parse(const uint8_t *bytes, size_t size, enum payload_kind kind,
			   bool from_server, struct payload *ret_payload)
{
	bool configuration_counts = kind == PAYLOAD_RESPONSE && from_server;
	struct payload p = { .mtu = UINT16_MAX, .workers = 1, .version = 1 };
	struct reader r = reader_over(bytes, size);
	bool seen[RULES] = { false };
	size_t items = 0;

	for (struct item item; next_item(&r, &item); items++) {
		const struct rule *rule = rule_of(item.type);

		if (!rule) {
			if (item.type & ITEM_CRITICAL && !p.unknown_critical)
				p.unknown_critical = item.type;
			continue;
		}
		if (rule->once && seen[rule - rules])
			return VERDICT_BAD_PAYLOAD;
		seen[rule - rules] = true;
		if (!take_item(rule, &item, configuration_counts, &p))
			return VERDICT_BAD_PAYLOAD;
	}
	if (!r.ok)
		return VERDICT_BAD_PAYLOAD;
	if (p.refusal != REFUSAL_NONE ? kind != PAYLOAD_RESPONSE || items > 1 : p.spi_count == 0)
		return VERDICT_BAD_PAYLOAD;

	*ret_payload = p;
	return p.unknown_critical ? VERDICT_UNKNOWN_ITEM : VERDICT_PASS;
}

bool payload_forced_down(const struct payload *ours, const struct payload *theirs,
			 uint8_t version_in_use)
{
	return ours->version > version_in_use && theirs->version > version_in_use;
}

/* ---- building ---- */

/**
 * struct items - a list of items being written
 * @out:  where to; writes nothing more once it is full
 * @used: bytes of all items, whether they fitted or not
 */
struct items {
	struct writer out;
	size_t used;
};

static void put_head(struct items *items, uint8_t type, size_t bytes)
{
	items->used += 2 + bytes;
	writer_u8(&items->out, type);
	writer_u8(&items->out, (uint8_t)bytes);
}

static void put_item(struct items *items, uint8_t type, const void *value, size_t bytes)
{
	put_head(items, type, bytes);
	writer_copy(&items->out, value, bytes);
}

static void put_u8(struct items *items, uint8_t type, uint8_t value)
{
	put_item(items, type, &value, sizeof(value));
}

static void put_spis(struct items *items, const struct payload *p)
{
	put_head(items, ITEM_SPIS, p->spi_count * sizeof(be32));
	for (size_t i = 0; i < p->spi_count; i++)
		writer_u32(&items->out, p->spi[i]);
}

/* An address as the wire has it: IPv4 without the mapping. */
static const uint8_t *wire_address(const struct address *a, size_t *ret_bytes)
{
	*ret_bytes = address_is_ipv4(a) ? IPV4_BYTES : IPV6_BYTES;
	return a->b + sizeof(a->b) - *ret_bytes;
}

/* An item whose type goes by the address family, with @more bytes for the caller to write. */
static void put_address(struct items *items, uint8_t type_ipv4, uint8_t type_ipv6,
			const struct address *a, size_t more)
{
	size_t bytes;
	const uint8_t *wire = wire_address(a, &bytes);

	put_head(items, bytes == IPV4_BYTES ? type_ipv4 : type_ipv6, bytes + more);
	writer_copy(&items->out, wire, bytes);
}

static void put_prefix(struct items *items, uint8_t type_ipv4, uint8_t type_ipv6,
		       const struct prefix *prefix)
{
	put_address(items, type_ipv4, type_ipv6, &prefix->address, sizeof(prefix->length));
	writer_u8(&items->out, prefix->length);
}

static void put_configuration(struct items *items, const struct payload *p)
{
	for (size_t i = 0; i < p->address_count; i++)
		put_prefix(items, ITEM_ADDRESS_IPV4, ITEM_ADDRESS_IPV6, &p->address[i]);
	for (size_t i = 0; i < p->route_count; i++)
		put_prefix(items, ITEM_ROUTE_IPV4, ITEM_ROUTE_IPV6, &p->route[i]);
	for (size_t i = 0; i < p->dns_count; i++)
		put_address(items, ITEM_DNS_IPV4, ITEM_DNS_IPV6, &p->dns[i], 0);
	if (p->search_domain[0])
		put_item(items, ITEM_SEARCH_DOMAIN, p->search_domain, strlen(p->search_domain));
	if (!endpoint_is_none(&p->seen_as)) {
		put_address(items, ITEM_SEEN_AS, ITEM_SEEN_AS, &p->seen_as.remote, sizeof(be16));
		writer_u16(&items->out, p->seen_as.remote_port);
	}
}

static void put_offer(struct items *items, const struct payload *p)
{
	be16 mtu = be16_from(p->mtu);
	be32 flags = be32_from(p->flags);

	put_spis(items, p);
	if (p->mtu)
		put_item(items, ITEM_MTU, &mtu, sizeof(mtu));
	if (p->workers)
		put_u8(items, ITEM_WORKERS, p->workers);
	if (p->flags)
		put_item(items, ITEM_FLAGS, &flags, sizeof(flags));
	if (p->transport)
		put_u8(items, ITEM_TRANSPORT, (uint8_t)p->transport);
	if (p->version)
		put_u8(items, ITEM_VERSION, p->version);
}

static void put_refusal(struct items *items, const struct payload *p)
{
	uint8_t value[2] = { (uint8_t)p->refusal, p->refusal_detail };

	put_item(items, ITEM_REFUSED, value, p->refusal == REFUSAL_UNKNOWN_ITEM ? 2 : 1);
}

size_t payload_build(const struct payload *payload, enum payload_kind kind, uint8_t *room,
		     size_t size)
{
	struct items items = { writer_over(room, size), 0 };

	if (payload->refusal != REFUSAL_NONE) {
		put_refusal(&items, payload);
	} else {
		put_offer(&items, payload);
		if (kind == PAYLOAD_RESPONSE)
			put_configuration(&items, payload);
	}
	writer_zeros(&items.out, items.out.left);
	return items.used;
}

/* ---- in-band messages, docs/protocol.md section 6 ---- */

enum {
	IN_BAND_PING = 0x01,
	IN_BAND_PONG = 0x02,
	IN_BAND_CLOSE = 0x03,
	IN_BAND_REKEY = 0x04,
	IN_BAND_SOFTWARE = 0x05,
};

static const uint8_t in_band_magic[4] = { 'm', 'v', 'p', '1' };

static bool hear_software(const struct item *item, struct in_band *m)
{
	if (item->bytes < 1 || item->bytes > SOFTWARE_MAX)
		return false;
	for (size_t i = 0; i < item->bytes; i++)
		if (item->value[i] < ' ' || item->value[i] > '~')
			return false;
	memcpy(m->software, item->value, item->bytes);
	m->software[item->bytes] = '\0';
	return true;
}

/* Takes one item into @m; false if it has the wrong form.  Unknown ones are skipped. */
static bool hear_item(const struct item *item, struct in_band *m)
{
	switch (item->type) {
	case IN_BAND_PING:
		if (item->bytes != PING_BYTES)
			return false;
		m->has_ping = true;
		memcpy(m->ping, item->value, PING_BYTES);
		return true;
	case IN_BAND_PONG:
		if (item->bytes != PING_BYTES)
			return false;
		m->has_pong = true;
		memcpy(m->pong, item->value, PING_BYTES);
		return true;
	case IN_BAND_CLOSE:
		if (item->bytes != 1)
			return false;
		m->has_close = true;
		m->close = item->value[0] <= CLOSE_KEY_ELSEWHERE ? item->value[0] : CLOSE_STOPPING;
		return true;
	case IN_BAND_REKEY:
		m->rekey_please = true;
		return item->bytes == 0;
	case IN_BAND_SOFTWARE:
		return hear_software(item, m);
	default:
		return true;
	}
}

enum verdict in_band_parse(const uint8_t *bytes, size_t size, struct in_band *ret_message)
{
	struct reader r = reader_over(bytes, size);
	struct in_band m = { 0 };
	const uint8_t *magic;

	if (size > 0) {
		magic = reader_take(&r, sizeof(in_band_magic));
		if (!magic || memcmp(magic, in_band_magic, sizeof(in_band_magic)) != 0)
			return VERDICT_FOREIGN_DUMMY;
	}
	for (struct item item; next_item(&r, &item);)
		if (!hear_item(&item, &m))
			return VERDICT_IN_BAND_MALFORMED;
	if (!r.ok)
		return VERDICT_IN_BAND_MALFORMED;
	*ret_message = m;
	return VERDICT_CONSUMED;
}

size_t in_band_build(const struct in_band *message, uint8_t *room)
{
	struct items items = { writer_over(room, IN_BAND_MAX_BYTES), 0 };

	writer_copy(&items.out, in_band_magic, sizeof(in_band_magic));
	if (message->has_ping)
		put_item(&items, IN_BAND_PING, message->ping, PING_BYTES);
	if (message->has_pong)
		put_item(&items, IN_BAND_PONG, message->pong, PING_BYTES);
	if (message->has_close)
		put_u8(&items, IN_BAND_CLOSE, (uint8_t)message->close);
	if (message->rekey_please)
		put_head(&items, IN_BAND_REKEY, 0);
	if (message->software[0])
		put_item(&items, IN_BAND_SOFTWARE, message->software, strlen(message->software));
	writer_u8(&items.out, ITEM_END);
	return sizeof(in_band_magic) + items.used + 1;
}
