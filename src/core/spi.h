/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The table from an SPI of ours to what it names. */
#ifndef CORE_SPI_H
#define CORE_SPI_H

#include <stddef.h>
#include <stdint.h>

enum spi_kind { SPI_SA, SPI_OF_LANE, SPI_INIT, SPI_PROMISED };

/**
 * struct spi_entry - what an SPI of ours names; part of the thing named
 * @kind: SPI_SA: in a struct sa_in (in a lane's own table: a struct lane_sa).  SPI_OF_LANE: in a struct
 *        sa_in that stands for the SA which a lane has.  SPI_INIT: in a struct outreach, the first of its
 *        list, by which a Response names it.  SPI_PROMISED: one of the others of that list
 */
struct spi_entry {
	uint32_t spi;
	enum spi_kind kind;
	struct spi_entry *next;
};

/** struct spi_table - @removed: how often an entry was taken out; what was found before that stands until then */
struct spi_table {
	struct spi_entry **buckets;
	size_t bucket_count, entries;
	uint64_t removed;
};

/** spi_bucket() - the chain that an SPI would be in */
struct spi_entry **spi_bucket(const struct spi_table *table, uint32_t spi);
struct spi_entry *spi_find(const struct spi_table *table, uint32_t spi);
void spi_insert(struct spi_table *table, struct spi_entry *entry);
void spi_remove(struct spi_table *table, struct spi_entry *entry);
void spi_rehash(struct spi_table *table, struct spi_entry **buckets, size_t bucket_count);

#endif
