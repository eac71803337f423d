/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * ChaCha20-Poly1305 over intel-ipsec-mb's job interface, from version 1.3 (Debian 12) on.  It has finished
 * each job of this cipher when it was submitted, but the interface does not promise it, so jobs may finish
 * later here, in any number, and what is still out at the end of a batch is flushed.
 *
 * For a packet that comes alone all of the library's code has to be fetched first, which takes longer than
 * what it does.  So it is not asked for what cannot be there, nor to look whether the jobs are well made,
 * which are all made here.
 *
 * The library decrypts without judging the tag: that is done here, in constant time, and a
 * plaintext that does not verify is erased before anybody sees it.
 */
#include "aead/backends.h"

#include <intel-ipsec-mb.h>
#include <sodium.h>
#include <stdio.h>

/**
 * struct ipsecmb - what one thread needs
 * @manager: the library's queue of jobs; allocated by the library, whose version knows its size
 * @arch:    which code path it took
 * @out:     jobs submitted that are not finished
 * @tags:    computed by the jobs under way that open; no more than IMB_MAX_JOBS are ever out
 */
struct ipsecmb {
	IMB_MGR *manager;
	IMB_ARCH arch;
	size_t out;
	uint8_t tags[IMB_MAX_JOBS][AEAD_TAG_BYTES];
};

static bool start(void *context)
{
	struct ipsecmb *mb = context;

	if (sodium_init() < 0)
		return false;
	mb->manager = alloc_mb_mgr(0);
	if (!mb->manager)
		return false;

	init_mb_mgr_auto(mb->manager, &mb->arch);
	if (imb_get_errno(mb->manager) != 0) {
		free_mb_mgr(mb->manager);
		return false;
	}
	return true;
}

static void stop(void *context)
{
	struct ipsecmb *mb = context;

	free_mb_mgr(mb->manager);
	sodium_memzero(mb, sizeof(*mb));
}

static void describe(const void *context, char *ret_text)
{
	static const char *const arch_names[] = {
		[IMB_ARCH_SSE] = "sse",
#if IMB_VERSION_NUM < IMB_VERSION(2, 0, 0)
		[IMB_ARCH_AVX] = "avx",
#endif
		[IMB_ARCH_AVX2] = "avx2",
		[IMB_ARCH_AVX512] = "avx512",
	};
	const struct ipsecmb *mb = context;
	unsigned version = imb_get_version();
	const char *arch = NULL;

	if (mb->arch < sizeof(arch_names) / sizeof(*arch_names))
		arch = arch_names[mb->arch];
	snprintf(ret_text, AEAD_DESCRIPTION_BYTES, "ipsec-mb %u.%u (%s)", version >> 16 & 0xff,
		 version >> 8 & 0xff, arch ? arch : "other");
}

/* What both directions have in common. */
static IMB_JOB *describe_job(struct ipsecmb *mb, struct aead_op *op)
{
	IMB_JOB *job = IMB_GET_NEXT_JOB(mb->manager);

	job->cipher_mode = IMB_CIPHER_CHACHA20_POLY1305;
	job->hash_alg = IMB_AUTH_CHACHA20_POLY1305;
	job->enc_keys = op->key;
	job->dec_keys = op->key;
	job->key_len_in_bytes = SA_KEY_BYTES;
	job->iv = op->nonce;
	job->iv_len_in_bytes = AEAD_NONCE_BYTES;
	job->u.CHACHA20_POLY1305.aad = op->aad;
	job->u.CHACHA20_POLY1305.aad_len_in_bytes = op->aad_bytes;
	job->src = op->text;
	job->dst = op->text;
	job->cipher_start_src_offset_in_bytes = 0;
	job->msg_len_to_cipher_in_bytes = op->text_bytes;
	job->hash_start_src_offset_in_bytes = 0;
	job->msg_len_to_hash_in_bytes = op->text_bytes;
	job->auth_tag_output_len_in_bytes = AEAD_TAG_BYTES;
	job->user_data = op;
	return job;
}

/* What a job left undone must not go out as plaintext: erased, it is a forgery to the receiver. */
static void finish_sealing(IMB_JOB *job)
{
	struct aead_op *op = job->user_data;

	if (job->status == IMB_STATUS_COMPLETED)
		return;
	sodium_memzero(op->text, op->text_bytes);
	sodium_memzero(op->tag, AEAD_TAG_BYTES);
}

static void finish_opening(IMB_JOB *job)
{
	struct aead_op *op = job->user_data;

	op->ok = job->status == IMB_STATUS_COMPLETED &&
		 crypto_verify_16(job->auth_tag_output, op->tag) == 0;
	if (!op->ok)
		sodium_memzero(op->text, op->text_bytes);
}

static void submit(struct ipsecmb *mb, void (*finish)(IMB_JOB *job))
{
	IMB_JOB *job = IMB_SUBMIT_JOB_NOCHECK(mb->manager);

	mb->out++;
	while (job) {
		finish(job);
		mb->out--;
		job = mb->out > 0 ? IMB_GET_COMPLETED_JOB(mb->manager) : NULL;
	}
}

static void flush(struct ipsecmb *mb, void (*finish)(IMB_JOB *job))
{
	IMB_JOB *job;

	while (mb->out > 0 && (job = IMB_FLUSH_JOB(mb->manager))) {
		finish(job);
		mb->out--;
	}
}

static void seal(void *context, struct aead_op *ops, size_t n)
{
	struct ipsecmb *mb = context;

	for (size_t i = 0; i < n; i++) {
		IMB_JOB *job = describe_job(mb, &ops[i]);

		job->cipher_direction = IMB_DIR_ENCRYPT;
		job->chain_order = IMB_ORDER_CIPHER_HASH;
		job->auth_tag_output = ops[i].tag;
		submit(mb, finish_sealing);
	}
	flush(mb, finish_sealing);
}

static void open(void *context, struct aead_op *ops, size_t n)
{
	struct ipsecmb *mb = context;

	for (size_t i = 0; i < n; i++) {
		IMB_JOB *job = describe_job(mb, &ops[i]);

		job->cipher_direction = IMB_DIR_DECRYPT;
		job->chain_order = IMB_ORDER_HASH_CIPHER;
		job->auth_tag_output = mb->tags[i % IMB_MAX_JOBS];
		submit(mb, finish_opening);
	}
	flush(mb, finish_opening);
}

const struct aead aead_ipsecmb = {
	.name = "ipsec-mb",
	.context_bytes = sizeof(struct ipsecmb),
	.start = start,
	.stop = stop,
	.describe = describe,
	.seal = seal,
	.open = open,
	.seal_limit = AEAD_SEAL_LIMIT,
	.forgery_limit = AEAD_FORGERY_LIMIT,
};
