/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The network process's end of the line to the steward: see steward.h. */
#include "host/message.h"
#include "host/steward.h"

#include "scope.h"

#include <errno.h>
#include <string.h>

static int ask(struct steward *steward, const struct request *request, struct reply *ret_reply,
	       int *ret_passed)
{
	int error = message_send(steward->fd, request, sizeof(*request), -1);

	if (!error)
		error = message_receive(steward->fd, ret_reply, sizeof(*ret_reply), ret_passed);
	return error ? error : ret_reply->error;
}

int steward_apply(struct steward *steward, const struct plan *plan, struct step *ret_failed)
{
	struct request request = { .kind = REQUEST_APPLY };
	struct reply reply = { .error = 0 };
	int error;

	request.plan = *plan;
	error = ask(steward, &request, &reply, NULL);
	if (error && ret_failed)
		*ret_failed = reply.failed;
	return error;
}

int steward_endpoint(struct steward *steward, const struct endpoint *server)
{
	struct request request = { .kind = REQUEST_ENDPOINT };
	struct reply reply;

	request.endpoint = *server;
	return ask(steward, &request, &reply, NULL);
}

static int change_route(struct steward *steward, enum request_kind kind,
			const struct prefix *network)
{
	struct request request = { .kind = kind };
	struct reply reply;

	request.network = *network;
	return ask(steward, &request, &reply, NULL);
}

int steward_add_route(struct steward *steward, const struct prefix *network)
{
	return change_route(steward, REQUEST_ADD_ROUTE, network);
}

int steward_remove_route(struct steward *steward, const struct prefix *network)
{
	return change_route(steward, REQUEST_REMOVE_ROUTE, network);
}

int steward_open_udp(struct steward *steward, const struct address *local, uint16_t port,
		     bool shared, uint32_t buffer_bytes, int *ret_fd)
{
	struct request request = { .kind = REQUEST_OPEN_UDP };
	struct reply reply;
	scoped_fd passed = -1;
	int error;

	request.udp.local = *local;
	request.udp.port = port;
	request.udp.shared = shared;
	request.udp.buffer_bytes = buffer_bytes;
	error = ask(steward, &request, &reply, &passed);
	if (error)
		return error;
	if (passed < 0)
		return -EPROTO;
	*ret_fd = take_fd(&passed);
	return 0;
}
