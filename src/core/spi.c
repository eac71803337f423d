/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "engine_state.h"

#include "minivpn/lane.h"

/* SPIs are drawn at random by ourselves, hence some of their bits are hash enough; not the lowest, which
 * name a worker. */
struct spi_entry **spi_bucket(const struct spi_table *table, uint32_t spi)
{
	return &table->buckets[spi >> 4 & (table->bucket_count - 1)];
}

struct spi_entry *spi_find(const struct spi_table *table, uint32_t spi)
{
	struct spi_entry *e = *spi_bucket(table, spi);

	while (e && e->spi != spi)
		e = e->next;
	return e;
}

void spi_insert(struct spi_table *table, struct spi_entry *entry)
{
	struct spi_entry **bucket = spi_bucket(table, entry->spi);

	entry->next = *bucket;
	*bucket = entry;
	table->entries++;
}

void spi_remove(struct spi_table *table, struct spi_entry *entry)
{
	struct spi_entry **link = spi_bucket(table, entry->spi);

	while (*link && *link != entry)
		link = &(*link)->next;
	if (!*link)
		return;
	*link = entry->next;
	table->entries--;
	table->removed++;
}

void spi_rehash(struct spi_table *table, struct spi_entry **buckets, size_t bucket_count)
{
	struct spi_table old = *table;

	*table = (struct spi_table){ buckets, bucket_count, 0, old.removed };
	for (size_t i = 0; i < old.bucket_count; i++) {
		for (struct spi_entry *e = old.buckets[i], *next; e; e = next) {
			next = e->next;
			spi_insert(table, e);
		}
	}
}

uint32_t spi_draw(struct engine *engine, unsigned worker)
{
	uint32_t spi, workers = engine->config.workers;
	be32 drawn;

	do {
		engine_random(engine, &drawn, sizeof(drawn));
		spi = (be32_to(drawn) & ~spi_worker_mask(workers)) | worker;
	} while (spi < SPI_MIN || spi_find(&engine->spis, spi));
	return spi;
}
