/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "host/sysctl.h"

#include "host/foreign.h"
#include "host/journal.h"
#include "host/state.h"
#include "log.h"
#include "scope.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

enum { VALUE_BYTES = 16, PATH_BYTES = 16 + STEP_SYSCTL_BYTES };

#define INTERFACES_IPV4 "net/ipv4/conf"
#define INTERFACES_IPV6 "net/ipv6/conf"

static int open_setting(const char *key, int flags, int *ret_fd)
{
	char path[PATH_BYTES];
	int fd;

	snprintf(path, sizeof(path), "/proc/sys/%s", key);
	fd = open(path, flags | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	*ret_fd = fd;
	return 0;
}

int sysctl_read(const char *key, int32_t *ret_value)
{
	char text[VALUE_BYTES] = "";
	scoped_fd fd = -1;
	int error = open_setting(key, O_RDONLY, &fd);

	if (error)
		return error;
	if (read(fd, text, sizeof(text) - 1) <= 0)
		return -EIO;
	*ret_value = (int32_t)strtol(text, NULL, 10);
	return 0;
}

static int set(const char *key, int32_t value)
{
	char text[VALUE_BYTES];
	int length = snprintf(text, sizeof(text), "%d\n", value);
	scoped_fd fd = -1;
	int error = open_setting(key, O_WRONLY, &fd);

	if (error)
		return error;
	return write(fd, text, (size_t)length) == length ? 0 : -errno;
}

/* Looking through the other instances' journals for one that has changed a setting. */
struct search {
	const char *own_name;
	const struct step_sysctl *wanted;
	bool found;
	struct step_sysctl theirs;
};

static void search_journal(void *context, const char *name)
{
	struct search *search = context;
	scoped_memory struct steps *steps = NULL;

	if (search->found || strcmp(name, search->own_name) == 0 || !state_is_alive(name))
		return;
	steps = malloc(sizeof(*steps));
	if (!steps || journal_read(name, steps) != 0)
		return;
	for (size_t i = 0; i < steps->count; i++) {
		const struct step_sysctl *other = &steps->step[i].sysctl;

		if (steps->step[i].kind != STEP_SYSCTL || other->before == other->value ||
		    other->value != search->wanted->value ||
		    strcmp(other->key, search->wanted->key) != 0)
			continue;
		search->found = true;
		search->theirs = *other;
	}
}

static bool another_has(const char *name, const struct step_sysctl *sysctl,
			struct step_sysctl *ret_theirs)
{
	struct search search = { .own_name = name, .wanted = sysctl };

	state_each(search_journal, &search);
	if (search.found)
		*ret_theirs = search.theirs;
	return search.found;
}

/* Has somebody use for the setting who does not say so?  Of forwarding, who translates addresses. */
static bool others_need(const struct step_sysctl *sysctl)
{
	if (strcmp(sysctl->key, STEP_FORWARDING_IPV4) == 0)
		return foreign_translates(true);
	return strcmp(sysctl->key, STEP_FORWARDING_IPV6) == 0 && foreign_translates(false);
}

int sysctl_prepare(const char *name, struct step_sysctl *sysctl)
{
	struct step_sysctl theirs;
	int error;

	if (another_has(name, sysctl, &theirs)) {
		sysctl->before = theirs.before;
		sysctl->needed = theirs.needed;
		return 0;
	}
	error = sysctl_read(sysctl->key, &sysctl->before);
	if (!error && sysctl->before != sysctl->value)
		sysctl->needed = others_need(sysctl);
	return error;
}

int sysctl_take(const struct step_sysctl *sysctl)
{
	int32_t now;
	int error = sysctl_read(sysctl->key, &now);

	if (error || sysctl->kept || now == sysctl->value)
		return error;
	return set(sysctl->key, sysctl->value);
}

int sysctl_release(const char *name, const struct step_sysctl *sysctl)
{
	struct step_sysctl ignored;
	int32_t now;
	int error = sysctl_read(sysctl->key, &now);

	if (error)
		return error;
	if (sysctl->kept)
		return now == sysctl->value ? 0 : set(sysctl->key, sysctl->value);
	if (now != sysctl->value || sysctl->before == sysctl->value ||
	    another_has(name, sysctl, &ignored))
		return 0;
	if (!sysctl->needed && others_need(sysctl)) {
		log_notice("host: the setting /proc/sys/%s stays %d: somebody has begun to "
			   "translate addresses, and needs it",
			   sysctl->key, now);
		return 0;
	}
	return set(sysctl->key, sysctl->before);
}

/* Is the interface one that listens now, or that goes on listening because of another instance? */
static bool is_advertised(const char *name, const char *interface)
{
	struct step_sysctl listening = { .value = 2 };
	char forwarding[STEP_SYSCTL_BYTES];
	struct step_sysctl ignored;
	int32_t accepts = 0, forwards = 0;

	snprintf(listening.key, sizeof(listening.key), INTERFACES_IPV6 "/%.15s/accept_ra",
		 interface);
	snprintf(forwarding, sizeof(forwarding), INTERFACES_IPV6 "/%.15s/forwarding", interface);
	if (sysctl_read(listening.key, &accepts) != 0 || sysctl_read(forwarding, &forwards) != 0)
		return false;
	return accepts == 1 ? forwards == 0
			    : accepts == 2 && another_has(name, &listening, &ignored);
}

void sysctl_advertised(const char *name, const char *interface, struct facts *ret_facts)
{
	DIR *directory = opendir("/proc/sys/" INTERFACES_IPV6);
	const struct dirent *entry;

	ret_facts->advertised_count = 0;
	if (!directory)
		return;
	while ((entry = readdir(directory)) != NULL &&
	       ret_facts->advertised_count < STEPS_ADVERTISED_MAX) {
		/* Also skips "all", "default", "lo" and what a setting's name cannot hold. */
		if (!plan_interface_is_valid(entry->d_name) ||
		    strcmp(entry->d_name, interface) == 0 || !is_advertised(name, entry->d_name))
			continue;
		strcpy(ret_facts->advertised[ret_facts->advertised_count++], entry->d_name);
	}
	closedir(directory);
}

/* --- what forwarding takes along --------------------------------------------------------------- */

static void keep(struct facts *facts, const struct step_sysctl *sysctl)
{
	for (size_t i = 0; i < facts->kept_count; i++)
		if (strcmp(facts->kept[i].key, sysctl->key) == 0)
			return;
	if (facts->kept_count == STEPS_KEPT_MAX)
		return;
	facts->kept[facts->kept_count] = *sysctl;
	facts->kept[facts->kept_count++].kept = 1;
}

/* Keeps a setting if it has this value. */
static void keep_if(struct facts *facts, const char *key, int32_t value)
{
	struct step_sysctl sysctl = { .value = value, .before = value };
	int32_t now;

	snprintf(sysctl.key, sizeof(sysctl.key), "%s", key);
	if (sysctl_read(key, &now) == 0 && now == value)
		keep(facts, &sysctl);
}

static bool is_off(const char *key)
{
	int32_t now;

	return sysctl_read(key, &now) == 0 && now == 0;
}

/* Interfaces that forward while the host does not. */
static void keep_forwarding(const char *interfaces, const char *own, struct facts *facts)
{
	char key[STEP_SYSCTL_BYTES];
	const struct dirent *entry;
	DIR *directory;

	snprintf(key, sizeof(key), "/proc/sys/%s", interfaces);
	directory = opendir(key);
	if (!directory)
		return;
	while ((entry = readdir(directory)) != NULL) {
		if (!plan_interface_is_valid(entry->d_name) || strcmp(entry->d_name, own) == 0)
			continue;
		snprintf(key, sizeof(key), "%s/%.15s/forwarding", interfaces, entry->d_name);
		keep_if(facts, key, 1);
	}
	closedir(directory);
}

struct inheritance {
	const char *own_name;
	struct facts *facts;
};

/* What another instance keeps: it made the host forward, and may not be the last that wants it to. */
static void inherit(void *context, const char *name)
{
	const struct inheritance *inheritance = context;
	scoped_memory struct steps *steps = NULL;

	if (strcmp(name, inheritance->own_name) == 0 || !state_is_alive(name))
		return;
	steps = malloc(sizeof(*steps));
	if (!steps || journal_read(name, steps) != 0)
		return;
	for (size_t i = 0; i < steps->count; i++)
		if (steps->step[i].kind == STEP_SYSCTL && steps->step[i].sysctl.kept)
			keep(inheritance->facts, &steps->step[i].sysctl);
}

void sysctl_kept(const char *name, const char *interface, bool ipv4, bool ipv6,
		 struct facts *ret_facts)
{
	struct inheritance inheritance = { name, ret_facts };

	if (!ipv4 && !ipv6)
		return;
	state_each(inherit, &inheritance);
	if (ipv4 && is_off(STEP_FORWARDING_IPV4)) {
		keep_if(ret_facts, INTERFACES_IPV4 "/all/accept_redirects", 0);
		keep_forwarding(INTERFACES_IPV4, interface, ret_facts);
	}
	if (ipv6 && is_off(STEP_FORWARDING_IPV6))
		keep_forwarding(INTERFACES_IPV6, interface, ret_facts);
}
