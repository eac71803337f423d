/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "aead/choose.h"

#include "aead/backends.h"
#include "log.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

const struct aead *const *aead_backends(void)
{
	static const struct aead *const backends[] = {
#ifdef HAVE_IPSEC_MB
		&aead_ipsecmb,
#endif
		&aead_sodium,
#ifdef MINIVPN_BENCHMARK
		&aead_null,
#endif
		NULL,
	};

	return backends;
}

const struct aead *aead_named(const char *name)
{
	for (const struct aead *const *b = aead_backends(); *b; b++)
		if (strcmp((*b)->name, name) == 0)
			return *b;
	return NULL;
}

/* The cipher that is none cannot give the right answers. */
static bool must_prove_itself(const struct aead *aead)
{
#ifdef MINIVPN_BENCHMARK
	return aead != &aead_null;
#else
	(void)aead;
	return true;
#endif
}

static int start_and_test(const struct aead *aead, struct aead_choice *ret_choice)
{
	struct aead_choice choice = { .aead = aead };

	if (aead->context_bytes > 0) {
		choice.context = calloc(1, aead->context_bytes);
		if (!choice.context)
			return -ENOMEM;
	}
	if (aead->start && !aead->start(choice.context)) {
		free(choice.context);
		return -ENODEV;
	}
	if (must_prove_itself(aead) && !aead_self_test(aead, choice.context)) {
		log_warning("aead: self-test failed, not used: %s", aead->name);
		aead_choice_drop(&choice);
		return -EBADMSG;
	}

	*ret_choice = choice;
	return 0;
}

int aead_choose(const char *name, struct aead_choice *ret_choice)
{
	const struct aead *const *b = aead_backends();
	int rc = -ENOENT;

	if (name) {
		const struct aead *aead = aead_named(name);

		return aead ? start_and_test(aead, ret_choice) : -ENOENT;
	}
	for (; *b && rc != 0; b++)
		rc = start_and_test(*b, ret_choice);
	return rc;
}

void aead_choice_drop(struct aead_choice *choice)
{
	if (choice->aead && choice->aead->stop)
		choice->aead->stop(choice->context);
	free(choice->context);
	*choice = (struct aead_choice){ 0 };
}
