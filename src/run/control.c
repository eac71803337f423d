/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "run/control.h"

#include "log.h"
#include "scope.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>

static int socket_address(const char *directory, struct sockaddr_un *ret_address)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int n = snprintf(address.sun_path, sizeof(address.sun_path), "%s/control", directory);

	if (n < 0 || (size_t)n >= sizeof(address.sun_path))
		return -ENAMETOOLONG;
	*ret_address = address;
	return 0;
}

/* A file's group is that which its process makes files with.  To change it afterwards takes a right
 * (CAP_CHOWN) that a service manager need not have left us; to become another group we must have. */
static int bind_for_group(int fd, const struct sockaddr_un *address, gid_t group)
{
	gid_t before = (gid_t)setfsgid(group);
	int error = 0;

	if ((gid_t)setfsgid(group) != group)
		error = -EPERM;
	else if (bind(fd, (const struct sockaddr *)address, sizeof(*address)) < 0)
		error = -errno;
	setfsgid(before);
	if (!error && chmod(address->sun_path, 0660) < 0)
		error = -errno;
	return error;
}

int control_listen(const char *directory, gid_t group, int *ret_fd)
{
	scoped_fd fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct sockaddr_un address;
	int r;

	if (fd < 0)
		return -errno;
	r = socket_address(directory, &address);
	if (r < 0)
		return r;
	unlink(address.sun_path); /* left by an instance that was killed; its directory is ours now */
	/* The mode of a bound socket is that of its descriptor, less the umask (unix(7)). */
	if (fchmod(fd, 0600) < 0)
		return -errno;
	if (group == CONTROL_NO_GROUP)
		r = bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 ? -errno : 0;
	else
		r = bind_for_group(fd, &address, group);
	if (r < 0)
		return r;
	if (listen(fd, CONTROL_CLIENTS_MAX) < 0)
		return -errno;
	*ret_fd = take_fd(&fd);
	return 0;
}

int control_start(struct control *control, int listener, struct loop *loop, uint32_t tag,
		  control_answer *answer, void *context)
{
	*control = (struct control){
		.listener = listener, .loop = loop, .tag = tag, .answer = answer, .context = context
	};
	control->spare = fcntl(listener, F_DUPFD_CLOEXEC, 0);
	for (size_t i = 0; i < CONTROL_CLIENTS_MAX; i++)
		control->client[i] = (struct control_client){ .fd = -1, .passed = -1 };
	return loop_watch(loop, listener, tag);
}

static void hang_up(struct control_client *client)
{
	close(client->fd);
	close_fd(&client->passed);
	free(client->reply);
	*client = (struct control_client){ .fd = -1, .passed = -1 };
}

void control_stop(struct control *control)
{
	if (!control->loop)
		return;
	for (size_t i = 0; i < CONTROL_CLIENTS_MAX; i++)
		if (control->client[i].fd >= 0)
			hang_up(&control->client[i]);
	close(control->listener);
	close_fd(&control->spare);
	*control = (struct control){ 0 };
}

/* A free place, if need be that of whoever has had his for longest. */
static struct control_client *place_for_client(struct control *control)
{
	struct control_client *oldest = &control->client[0];

	for (size_t i = 0; i < CONTROL_CLIENTS_MAX; i++) {
		if (control->client[i].fd < 0)
			return &control->client[i];
		if (control->client[i].serial < oldest->serial)
			oldest = &control->client[i];
	}
	hang_up(oldest);
	return oldest;
}

/* Root, and whoever made the socket; not whom this process has become since. */
static bool is_owner(int listener, int fd)
{
	struct ucred maker, peer;
	socklen_t bytes = sizeof(peer);

	if (getsockopt(listener, SOL_SOCKET, SO_PEERCRED, &maker, &bytes) < 0 ||
	    getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &bytes) < 0)
		return false;
	return peer.uid == 0 || peer.uid == maker.uid;
}

static int accept_one(const struct control *control)
{
	return accept4(control->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
}

static void turn_away(struct control *control)
{
	int fd;

	close_fd(&control->spare);
	fd = accept_one(control);
	if (fd >= 0)
		close(fd);
	control->spare = fcntl(control->listener, F_DUPFD_CLOEXEC, 0);
}

static void accept_client(struct control *control)
{
	scoped_fd fd = accept_one(control);
	struct control_client *client;

	if (fd < 0 && (errno == EMFILE || errno == ENFILE))
		turn_away(control);
	if (fd < 0)
		return;
	client = place_for_client(control);
	if (loop_watch(control->loop, fd, control->tag) < 0)
		return;
	client->owner = is_owner(control->listener, fd);
	client->fd = take_fd(&fd);
	client->serial = control->served++;
}

/* ---- One connection ---- */

json_t *control_denial(void)
{
	return json_pack("{s:s, s:b}", "error", "that is for root", "denied", 1);
}

/* What is to be said to a request; its own members as well as the answer's. */
static json_t *reply_to(struct control *control, struct control_client *client)
{
	json_error_t error;
	json_t *members = json_loadb(client->request, client->got, JSON_REJECT_DUPLICATES, &error);
	json_t *reply = json_pack("{s:s}", "minivpn", MINIVPN_VERSION), *answer;
	const struct control_request request = {
		.word = json_string_value(json_object_get(members, "request")),
		.name = json_string_value(json_object_get(members, "name")),
		.passed = client->passed,
		.owner = client->owner,
	};

	if (!request.word) {
		json_object_set_new(reply, "error", json_string("expected {\"request\": \"...\"}"));
	} else {
		answer = control->answer(control->context, &request, &client->list);
		if (answer) {
			if (!json_object_get(answer, "error"))
				json_object_set_new(reply, "reply", json_string(request.word));
			json_object_update(reply, answer);
			json_decref(answer);
		} else {
			json_object_set_new(reply, "error", json_string("unknown request"));
		}
	}
	json_decref(members);
	return reply;
}

enum { DUMP_FLAGS = JSON_COMPACT | JSON_REAL_PRECISION(12) };

/* @text is the connection's now; all of it is to be sent, but for @cut bytes at its end. */
static void set_reply(struct control_client *client, char *text, size_t cut)
{
	free(client->reply);
	client->reply = text;
	client->bytes = strlen(text) - cut;
	client->sent = 0;
}

static int prepare_reply(struct control *control, struct control_client *client)
{
	json_t *reply = reply_to(control, client);
	char *text = json_dumps(reply, DUMP_FLAGS), *opened;

	json_decref(reply);
	if (!text)
		return -ENOMEM;
	set_reply(client, text, 0);
	if (!client->list.member) {
		text[client->bytes++] = '\n'; /* in place of the NUL, which is not sent */
		return 0;
	}
	/* The list goes in where the object ends. */
	if (asprintf(&opened, "%.*s,\"%s\":[", (int)client->bytes - 1, text, client->list.member) <
	    0)
		return -ENOMEM;
	set_reply(client, opened, 0);
	return 0;
}

/* The next elements of the list, or its end and that of the reply. */
static int prepare_more(struct control *control, struct control_client *client)
{
	json_t *array = client->list.more(control->context, client->cursor);
	bool is_end = json_array_size(array) == 0;
	char *text = !array ? NULL : is_end ? strdup("]}\n") : json_dumps(array, DUMP_FLAGS);

	json_decref(array);
	if (!text)
		return -ENOMEM;
	if (!is_end)
		*text = client->begun ? ',' : ' '; /* where its own bracket was */
	set_reply(client, text, is_end ? 0 : 1);
	client->begun = true;
	if (is_end)
		client->list.member = NULL;
	return 0;
}

/* Return: 0 to go on when there is more room, negative when the connection is to end. */
static int send_reply(struct control *control, struct control_client *client)
{
	ssize_t n;
	int r;

	while (client->sent < client->bytes) {
		n = send(client->fd, client->reply + client->sent, client->bytes - client->sent,
			 MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n < 0 && errno == EAGAIN)
			return loop_watch_writable(control->loop, client->fd, control->tag);
		if (n < 0)
			return -errno;
		client->sent += (size_t)n;
	}
	if (!client->list.member)
		return -ESHUTDOWN;
	/* Not at once: packets come first. */
	r = prepare_more(control, client);
	return r < 0 ? r : loop_watch_writable(control->loop, client->fd, control->tag);
}

/* Of several the last; there is room for two where lengths are rounded up (cmsg(3)). */
static void take_descriptors(struct control_client *client, const struct cmsghdr *head)
{
	size_t bytes = head->cmsg_len - CMSG_LEN(0);

	for (size_t at = 0; at < bytes; at += sizeof(int)) {
		close_fd(&client->passed);
		memcpy(&client->passed, CMSG_DATA(head) + at, sizeof(int));
	}
}

/* As recv(2), and keeps a descriptor that came with it.  Only an owner's: the kernel drops all others, which
 * might hold up whoever closes them. */
static ssize_t receive_with_descriptor(struct control_client *client)
{
	struct iovec bytes = { client->request + client->got,
			       sizeof(client->request) - client->got };
	union {
		struct cmsghdr head;
		char room[CMSG_SPACE(sizeof(int))];
	} ancillary;
	struct msghdr message = { .msg_iov = &bytes, .msg_iovlen = 1 };
	struct cmsghdr *head;
	ssize_t n;

	if (client->owner) {
		message.msg_control = &ancillary;
		message.msg_controllen = sizeof(ancillary);
	}
	n = recvmsg(client->fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	head = n < 0 ? NULL : CMSG_FIRSTHDR(&message);
	if (head && head->cmsg_level == SOL_SOCKET && head->cmsg_type == SCM_RIGHTS)
		take_descriptors(client, head);
	return n;
}

static int receive_request(struct control *control, struct control_client *client)
{
	ssize_t n = receive_with_descriptor(client);
	int r;

	if (n < 0)
		return errno == EAGAIN ? 0 : -errno;
	if (n == 0)
		return -ECONNRESET;
	client->got += (size_t)n;
	if (!memchr(client->request, '\n', client->got) && client->got < sizeof(client->request))
		return 0;
	r = prepare_reply(control, client);
	return r < 0 ? r : send_reply(control, client);
}

void control_serve(struct control *control, const struct loop_event *event)
{
	struct control_client *client;
	int r;

	if (event->fd == control->listener) {
		accept_client(control);
		return;
	}
	for (client = control->client; client < control->client + CONTROL_CLIENTS_MAX; client++) {
		if (client->fd != event->fd)
			continue;
		r = client->reply ? send_reply(control, client) : receive_request(control, client);
		if (r < 0)
			hang_up(client);
		return;
	}
}

/* ---- The asking end ---- */

static int connect_to(const char *directory, int *ret_fd)
{
	const struct timeval limit = { .tv_sec = CONTROL_TIMEOUT_S };
	scoped_fd fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_un address;
	int r;

	if (fd < 0)
		return -errno;
	r = socket_address(directory, &address);
	if (r < 0)
		return r;
	if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)) < 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit)) < 0)
		return -errno;
	while (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		if (errno != EINTR)
			return -errno;
	*ret_fd = take_fd(&fd);
	return 0;
}

static int send_with_descriptor(int fd, const char *line, size_t size, int passed)
{
	struct iovec bytes = { (char *)line, size };
	union {
		struct cmsghdr head;
		char room[CMSG_SPACE(sizeof(int))];
	} ancillary = { 0 };
	struct msghdr message = { .msg_iov = &bytes, .msg_iovlen = 1 };

	if (passed >= 0) {
		message.msg_control = &ancillary;
		message.msg_controllen = sizeof(ancillary);
		ancillary.head = (struct cmsghdr){ .cmsg_level = SOL_SOCKET,
						   .cmsg_type = SCM_RIGHTS,
						   .cmsg_len = CMSG_LEN(sizeof(int)) };
		memcpy(CMSG_DATA(&ancillary.head), &passed, sizeof(int));
	}
	while (sendmsg(fd, &message, MSG_NOSIGNAL) < 0)
		if (errno != EINTR)
			return -errno;
	return 0;
}

/* As recv(2); a program that was stopped and goes on (Ctrl-Z) hears of it here, since there is a time limit
 * (signal(7)). */
static ssize_t receive_some(int fd, void *bytes, size_t room)
{
	ssize_t n;

	do
		n = recv(fd, bytes, room, 0);
	while (n < 0 && errno == EINTR);
	return n;
}

/**
 * struct incoming - a reply on its way.  The elements of its list are read as they come, while the other
 * end makes the next ones
 * @text:   @bytes of it are here, of @room
 * @read:   how far it was read
 * @reply:  what stands before the list; NULL while the list has not begun
 * @list:   its elements so far; a member of @reply
 * @is_end: the end of the list is here
 */
struct incoming {
	char *text;
	size_t bytes, room, read;
	json_t *reply, *list;
	bool is_end;
};

enum { LOAD_FLAGS = JSON_REJECT_DUPLICATES };

/* Where the list's name begins, with its comma: a control_list that is not empty opens as nothing else
 * does, with a blank.  In a string its quotes would be escaped. */
static char *find_list(const struct incoming *in, size_t from, char **ret_first)
{
	static const char opening[] = "\":[ ";
	char *at = memmem(in->text + from, in->bytes - from, opening, sizeof(opening) - 1), *name;

	if (!at)
		return NULL;
	for (name = at; name > in->text + 1 && name[-1] != '"' && name[-1] != '\\';)
		name--;
	*ret_first = at + sizeof(opening) - 1;
	return name > in->text + 1 && name[-1] == '"' && name[-2] == ',' ? name - 2 : NULL;
}

/* 0, also if the list has not yet begun. */
static int read_head(struct incoming *in, size_t from)
{
	char *first, *name_end, *comma = find_list(in, from, &first);
	json_error_t error;

	if (!comma)
		return 0;
	*comma = '}';
	in->reply = json_loadb(in->text, (size_t)(comma - in->text) + 1, LOAD_FLAGS, &error);
	name_end = first - strlen("\":[ ");
	*name_end = '\0';
	in->list = json_array();
	if (json_object_set_new(in->reply, comma + 2, in->list) < 0)
		return -EPROTO;
	in->read = (size_t)(first - in->text);
	return 0;
}

/* All elements that are here whole: a comma or a bracket comes behind them. */
static int read_elements(struct incoming *in)
{
	json_error_t error;

	while (in->read < in->bytes && !in->is_end) {
		const char *at = in->text + in->read;
		json_t *element =
			json_loadb(at, in->bytes - in->read,
				   LOAD_FLAGS | JSON_DISABLE_EOF_CHECK | JSON_DECODE_ANY, &error);
		size_t behind = in->read + (size_t)error.position;

		/* One that is cut off is like one that is wrong; more of it will tell. */
		if (!element || behind >= in->bytes) {
			json_decref(element);
			return 0;
		}
		if (json_array_append_new(in->list, element) < 0)
			return -ENOMEM;
		in->is_end = in->text[behind] == ']';
		if (!in->is_end && in->text[behind] != ',')
			return -EPROTO;
		in->read = behind + 1;
	}
	return 0;
}

static int make_room(struct incoming *in)
{
	size_t room = in->room ? 2 * in->room : 16 << 10;
	char *larger;

	if (in->bytes < in->room)
		return 0;
	larger = realloc(in->text, room);
	if (!larger)
		return -ENOMEM;
	in->text = larger;
	in->room = room;
	return 0;
}

/* All that comes until the other end hangs up. */
static int receive_all(int fd, struct incoming *in)
{
	ssize_t n;
	int r;

	while ((r = make_room(in)) == 0) {
		/* The opening may come in two pieces. */
		size_t from = in->bytes > 8 ? in->bytes - 8 : 0;

		n = receive_some(fd, in->text + in->bytes, in->room - in->bytes);
		if (n < 0)
			return errno == EAGAIN ? -ETIMEDOUT : -errno;
		if (n == 0)
			return 0;
		in->bytes += (size_t)n;
		r = in->list ? 0 : read_head(in, from);
		if (r == 0 && in->list)
			r = read_elements(in);
		if (r < 0)
			break;
	}
	return r;
}

/* Of a reply that ends in a list what comes behind it, of another all of it. */
static int conclude(struct incoming *in)
{
	json_error_t error;

	if (in->list)
		return in->is_end && in->bytes - in->read >= 1 && in->text[in->read] == '}'
			       ? 0
			       : -EPROTO;
	in->reply = json_loadb(in->text, in->bytes, LOAD_FLAGS, &error);
	if (!json_is_object(in->reply))
		return -EPROTO;
	return json_is_true(json_object_get(in->reply, "denied")) ? -EACCES : 0;
}

int control_ask(const char *directory, const struct control_request *request, json_t **ret_reply)
{
	struct incoming in = { 0 };
	scoped_fd fd = -1;
	char line[256];
	int r = connect_to(directory, &fd), n;

	if (r < 0)
		return r;
	n = snprintf(line, sizeof(line), "{\"request\": \"%s\"%s%s%s}\n", request->word,
		     request->name ? ", \"name\": \"" : "", request->name ?: "",
		     request->name ? "\"" : "");
	r = send_with_descriptor(fd, line, (size_t)n, request->passed);
	if (r == 0)
		r = receive_all(fd, &in);
	if (r == 0)
		r = conclude(&in);
	free(in.text);
	if (r < 0)
		json_decref(in.reply);
	else
		*ret_reply = in.reply;
	return r;
}

int control_server(const char *directory, pid_t *ret_pid)
{
	struct ucred who;
	socklen_t bytes = sizeof(who);
	scoped_fd fd = -1;
	int r = connect_to(directory, &fd);

	if (r < 0)
		return r;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &bytes) < 0)
		return -errno;
	*ret_pid = who.pid;
	return 0;
}
