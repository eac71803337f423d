/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The AEAD back-ends by themselves, and the envelope over each. */
#include "benchmark/measure.h"

#include "aead/choose.h"
#include "minivpn/envelope.h"

#include <stdio.h>
#include <string.h>

enum {
	BATCH = ENVELOPE_BATCH,
	TEXT_MAX_BYTES = 1424,
	SLOT_BYTES = ENVELOPE_HEAD_BYTES + TEXT_MAX_BYTES + ENVELOPE_TAIL_BYTES,
};

static const unsigned sizes[] = { 64, 512, 1424 };
static const struct sa_key key = { .key = { 1, 2, 3 }, .salt = { 4, 5, 6, 7 } };

/**
 * struct cipher - one back-end at work on one batch
 * @sealed: what a batch looks like sealed, so that each opening finds it so
 * @room:   where it is opened and sealed
 */
struct cipher {
	struct aead_choice choice;
	unsigned bytes;
	uint8_t sealed[BATCH][SLOT_BYTES];
	uint8_t room[BATCH][SLOT_BYTES];
	struct aead_op op[BATCH];
	struct sealing sealing[BATCH];
	struct opening opening[BATCH];
};

static void describe_ops(struct cipher *c)
{
	for (unsigned i = 0; i < BATCH; i++) {
		uint8_t *slot = c->room[i];

		c->op[i] = (struct aead_op){
			.key = key.key,
			.nonce = { (uint8_t)i },
			.aad = slot,
			.aad_bytes = ENVELOPE_HEAD_BYTES,
			.text = slot + ENVELOPE_HEAD_BYTES,
			.text_bytes = c->bytes,
			.tag = slot + ENVELOPE_HEAD_BYTES + c->bytes,
		};
	}
}

static void seal_ops(void *subject)
{
	struct cipher *c = subject;

	c->choice.aead->seal(c->choice.context, c->op, BATCH);
}

static void open_ops(void *subject)
{
	struct cipher *c = subject;

	c->choice.aead->open(c->choice.context, c->op, BATCH);
}

static void describe_records(struct cipher *c)
{
	for (unsigned i = 0; i < BATCH; i++) {
		uint8_t *payload = c->room[i] + ENVELOPE_HEAD_BYTES;

		payload[0] = 0x45;
		c->sealing[i] = (struct sealing){
			.payload = payload,
			.payload_bytes = c->bytes - ENVELOPE_TRAILER_BYTES,
			.key = &key,
			.spi = SPI_MIN,
			.sequence = i + 1,
			.next_header = NEXT_HEADER_IPV4,
		};
		c->opening[i] = (struct opening){
			.record = c->room[i],
			.record_bytes = envelope_bytes(c->sealing[i].payload_bytes),
			.key = &key,
		};
	}
}

static void seal_records(void *subject)
{
	struct cipher *c = subject;

	envelope_seal(c->choice.aead, c->choice.context, c->sealing, BATCH);
}

static void open_records(void *subject)
{
	struct cipher *c = subject;

	envelope_open(c->choice.aead, c->choice.context, c->opening, BATCH);
}

static void bring_sealed(void *subject)
{
	struct cipher *c = subject;

	memcpy(c->room, c->sealed, sizeof(c->room));
}

static void tell(const struct cipher *c, const char *group, const char *verb, double ns)
{
	char subject[48];

	snprintf(subject, sizeof(subject), "%s %s", c->choice.aead->name, verb);
	figure(&(struct figure){ group, subject, c->bytes, 0, ns, "ns/packet" });
	if (c->bytes == TEXT_MAX_BYTES)
		figure(&(struct figure){ group, subject, c->bytes, 0, c->bytes / ns, "GB/s" });
}

static void measure_both(struct cipher *c, const char *group, void (*seal)(void *),
			 void (*open)(void *))
{
	struct work sealing = { .run = seal, .subject = c, .operations = BATCH };
	struct work opening = {
		.prepare = bring_sealed, .run = open, .subject = c, .operations = BATCH
	};

	seal(c);
	memcpy(c->sealed, c->room, sizeof(c->sealed));
	tell(c, group, "seal", measure_ns(&sealing));
	tell(c, group, "open", measure_ns(&opening));
}

static void with_each_aead(void (*measure)(struct cipher *c))
{
	static struct cipher c;

	for (const struct aead *const *aead = aead_backends(); *aead; aead++) {
		memset(&c, 0, sizeof(c));
		if (aead_choose((*aead)->name, &c.choice))
			continue; /* not on this machine */
		for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
			c.bytes = sizes[i];
			measure(&c);
		}
		aead_choice_drop(&c.choice);
	}
}

static void measure_ops(struct cipher *c)
{
	describe_ops(c);
	measure_both(c, "aead", seal_ops, open_ops);
}

static void measure_records(struct cipher *c)
{
	describe_records(c);
	measure_both(c, "envelope", seal_records, open_records);
}

void bench_aead(void)
{
	with_each_aead(measure_ops);
}

void bench_envelope(void)
{
	with_each_aead(measure_records);
}
