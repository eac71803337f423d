/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How a server gets its keys while it runs.  It says which files were touched since it got them last;
 * whoever runs this reads these, or, if it does not know, all that it asks for, and hands them over in
 * one piece (keys/keybundle.h).
 */
#include "cli/hub.h"
#include "cli/instances.h"
#include "cli/say.h"
#include "keys/keybundle.h"
#include "keys/keywatch.h"
#include "scope.h"

#include <sodium.h>
#include <string.h>
#include <sys/stat.h>

static int strike_out(const char *path, const char *name)
{
	struct keyfile_complaint complaint;
	struct keytext key = { 0 };
	int r;

	sodium_mlock(&key, sizeof(key));
	r = keyfile_read(path, &key, &complaint);
	if (r == 0 && key.has_old && strcmp(key.name, name) == 0) {
		key.has_old = false;
		r = keyfile_replace(path, &key, &complaint);
	}
	sodium_munlock(&key, sizeof(key)); /* wipes too */
	return r == 0 ? 0 : hub_complaint(&complaint, r);
}

/* Old keys that are used up go out of their files: the server would take them again after a restart. */
static int tidy(struct hub *hub)
{
	char path[PATH_MAX];
	const char *name, *file;
	json_t *value;
	int r = 0;

	if (!hub->is_folder)
		return 0;
	json_object_foreach(hub->retired, name, value)
	{
		file = json_string_value(value);
		if (r || !file || !keyfolder_has_name(file))
			continue;
		if (access(hub_path_of(hub, file, path), F_OK) == 0)
			r = strike_out(path, name);
	}
	return r;
}

/**
 * struct missing - names of files that the server has asked for, in the order of their names
 * @at: how many of them were met
 */
struct missing {
	const json_t *names;
	size_t at;
};

static bool is_missing(void *context, const char *name)
{
	struct missing *missing = context;
	const char *next;

	while ((next = json_string_value(json_array_get(missing->names, missing->at)))) {
		int order = strcmp(next, name);

		if (order > 0)
			break;
		missing->at++;
		if (order == 0)
			return true;
	}
	return false;
}

static int send_bundle(const struct hub *hub, struct keybundle *bundle, json_t **ret_reply)
{
	scoped_fd fd = keybundle_send(bundle);
	int r;

	if (fd < 0) {
		say("the keys cannot be handed over: %s", strerror(-fd));
		return EXIT_FAILURE;
	}
	r = instance_ask(hub->interface, "reload", fd, ret_reply);
	return r ? r : -1;
}

/* Return: -1 if the server has a bundle and its reply is here, otherwise an exit status. */
static int bring(const struct hub *hub, enum keybundle_texts texts, uint64_t until,
		 json_t **ret_reply)
{
	struct keyfile_complaint complaint;
	struct missing missing = { 0 };
	struct keybundle bundle;
	json_t *reply;
	int r;

	r = keybundle_gather(hub->keys, texts, &bundle, &complaint);
	if (r < 0)
		return hub_complaint(&complaint, r);
	bundle.kind.until = until;
	r = send_bundle(hub, &bundle, &reply);
	missing.names = r < 0 ? json_object_get(reply, "unread") : NULL;
	if (missing.names) {
		r = keybundle_fill(&bundle, is_missing, &missing, &complaint);
		json_decref(reply);
		r = r < 0 ? hub_complaint(&complaint, r) : send_bundle(hub, &bundle, &reply);
	}
	keybundle_release(&bundle);
	if (r < 0)
		*ret_reply = reply;
	return r;
}

/* First what files there are, with the texts that the server asks for.  If even then something is
 * missing, the server is not the same any more, and gets all. */
static int bring_folder(const struct hub *hub, uint64_t until, json_t **ret_reply)
{
	int r = bring(hub, KEYBUNDLE_YOUNG, until, ret_reply);

	if (r >= 0 || !json_object_get(*ret_reply, "unread"))
		return r;
	json_decref(*ret_reply);
	return bring(hub, KEYBUNDLE_ALL, until, ret_reply);
}

static int bring_files(const struct hub *hub, const char *const *name, size_t count, uint64_t until,
		       json_t **ret_reply)
{
	struct keyfile_complaint complaint;
	struct keybundle bundle;
	int r = keybundle_gather_part(hub->keys, name, count, &bundle, &complaint);

	if (r < 0)
		return hub_complaint(&complaint, r);
	bundle.kind.until = until;
	r = send_bundle(hub, &bundle, ret_reply);
	keybundle_release(&bundle);
	return r;
}

/* The names of files that the server has seen touched: true if these are all, and may be asked for.  It
 * has fewer rights than we: it gets nothing but key files of its own folder. */
static bool read_touched(const struct hub *hub, const json_t *touched,
			 const char *name[KEYWATCH_FILES_MAX], size_t *ret_count)
{
	const json_t *files = json_object_get(touched, "files");
	size_t count = json_array_size(files);
	struct stat s;

	if (!json_is_true(json_object_get(touched, "known")) || count > KEYWATCH_FILES_MAX ||
	    stat(hub->keys, &s) < 0 ||
	    (json_int_t)s.st_dev != json_integer_value(json_object_get(touched, "device")) ||
	    (json_int_t)s.st_ino != json_integer_value(json_object_get(touched, "inode")))
		return false;
	for (size_t i = 0; i < count; i++) {
		name[i] = json_string_value(json_array_get(files, i));
		if (!name[i] || !keyfolder_has_name(name[i]))
			return false;
	}
	*ret_count = count;
	return true;
}

/* What was touched, if that is known, otherwise whatever there is. */
static int bring_keys(const struct hub *hub, json_t **ret_reply)
{
	const char *name[KEYWATCH_FILES_MAX];
	uint64_t until;
	size_t count;
	json_t *touched;
	int r = instance_ask(hub->interface, "touched", -1, &touched);

	if (r)
		return r;
	until = (uint64_t)json_integer_value(json_object_get(touched, "until"));
	if (hub->is_folder && read_touched(hub, touched, name, &count))
		r = bring_files(hub, name, count, until, ret_reply);
	else
		r = bring_folder(hub, until, ret_reply);
	json_decref(touched);
	return r;
}

/* Return: exit status. */
static int conclude(json_t *reply, json_t **ret_reply)
{
	const char *error = json_string_value(json_object_get(reply, "error"));

	if (error)
		say("nothing is changed: %s", error);
	if (!error && ret_reply)
		*ret_reply = json_incref(reply);
	json_decref(reply);
	return error ? EXIT_USAGE : 0;
}

int hub_reload(struct hub *hub, json_t **ret_reply)
{
	json_t *reply = NULL;
	int r = tidy(hub);

	if (r == 0)
		r = bring_keys(hub, &reply);
	return r < 0 ? conclude(reply, ret_reply) : r;
}

int hub_bring(struct hub *hub, const char *file)
{
	json_t *reply = NULL;
	int r = bring_files(hub, &file, 1, 0, &reply);

	return r < 0 ? conclude(reply, NULL) : r;
}
