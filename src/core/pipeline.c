/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "engine_state.h"

static bool goes_as_before(const struct outbound_batch *b, size_t i)
{
	return i > 0 && b->packets[i - 1].verdict == VERDICT_PASS &&
	       address_equal(&b->inner[i].destination, &b->inner[i - 1].destination);
}

void outbound_headers(struct outbound_batch *b, struct span s)
{
	for (size_t i = s.from; i < s.to; i++) {
		struct outbound *p = &b->packets[i];

		b->bucket[i] = NULL;
		p->verdict = inner_parse(p->inner, p->inner_bytes, &b->inner[i]);
		if (p->verdict != VERDICT_PASS || goes_as_before(b, i))
			continue;
		b->bucket[i] = allowed_bucket(b->allowed, &b->inner[i].destination);
		ask_for(b->bucket[i], sizeof(*b->bucket[i]));
	}
}

void outbound_entries(const struct outbound_batch *b, struct span s)
{
	for (size_t i = s.from; i < s.to; i++)
		if (b->bucket[i] && *b->bucket[i])
			ask_for(*b->bucket[i], sizeof(struct allowed_entry));
}

static void *owner_of(const struct outbound_batch *b, size_t i)
{
	const struct allowed_entry *first = *b->bucket[i];

	if (first && allowed_is_host(first, &b->inner[i].destination))
		return first->owner;
	return allowed_lookup(b->allowed, &b->inner[i].destination);
}

void outbound_owners(struct outbound_batch *b, struct span s)
{
	for (size_t i = s.from; i < s.to; i++) {
		if (b->bucket[i])
			b->owner[i] = owner_of(b, i);
		else
			b->owner[i] =
				b->packets[i].verdict == VERDICT_PASS ? b->owner[i - 1] : NULL;
	}
}

void outbound_each(const struct outbound_batch *b, struct span s, void (*ask)(const void *owner))
{
	for (size_t i = s.from; i < s.to; i++)
		if (b->bucket[i] && b->owner[i])
			ask(b->owner[i]);
}

static bool is_of_same_sa(const struct inbound_batch *b, size_t i)
{
	return i > 0 && b->datagrams[i - 1].bytes >= ENVELOPE_MIN_BYTES &&
	       inbound_spi(&b->datagrams[i - 1]) == inbound_spi(&b->datagrams[i]);
}

void inbound_spis(struct inbound_batch *b, struct span s)
{
	for (size_t i = s.from; i < s.to; i++) {
		const struct inbound *d = &b->datagrams[i];

		b->bucket[i] = NULL;
		if (d->bytes < ENVELOPE_MIN_BYTES || is_of_same_sa(b, i))
			continue;
		b->bucket[i] = spi_bucket(b->spis, inbound_spi(d));
		ask_for(b->bucket[i], sizeof(*b->bucket[i]));
	}
}

void inbound_entries(const struct inbound_batch *b, struct span s)
{
	for (size_t i = s.from; i < s.to; i++)
		if (b->bucket[i] && *b->bucket[i])
			ask_for(*b->bucket[i], sizeof(struct spi_entry) + sizeof(void *));
}

void inbound_each(const struct inbound_batch *b, struct span s,
		  void (*ask)(const struct spi_entry *entry))
{
	for (size_t i = s.from; i < s.to; i++)
		if (b->bucket[i] && *b->bucket[i])
			ask(*b->bucket[i]);
}
