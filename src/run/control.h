/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The control socket of a running tunnel: one request, one reply, both a JSON object on one line that
 * says by itself what it is, then the connection ends.
 *
 *	{"request": "status"}   ->   {"minivpn": "0.1.0", "reply": "status", ...}
 *	{"request": "client", "name": "laptop"}   likewise, of that name
 *	anything else           ->   {"minivpn": "0.1.0", "error": "..."}
 *	not for who asks        ->   {"minivpn": "0.1.0", "error": "...", "denied": true}
 *
 * What is answered is the word of a process without rights: who acts on it with more of them looks
 * elsewhere for what it must not be told, as where keys are (state_keys()).  A request of root's may
 * bring a descriptor (SCM_RIGHTS): what root can open and this process cannot.
 *
 * The socket lies in the instance's directory (host/state.h), made while there are still rights.  Who
 * may connect says its mode: root, and a group if one was named.  What may be asked for says the kernel's
 * word of who connected (SO_PEERCRED): whoever is not root gets an answer to what is no secret and
 * changes nothing.  Serving it never blocks: what cannot be sent at once waits in a buffer of its own
 * for the socket to be writable.  At most CONTROL_CLIENTS_MAX are connected; a further one displaces the
 * one that came first.
 */
#ifndef RUN_CONTROL_H
#define RUN_CONTROL_H

#include "io/loop.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum {
	CONTROL_CLIENTS_MAX = 8,
	CONTROL_REQUEST_BYTES = 4096,
	CONTROL_CURSOR_BYTES = 256,
	CONTROL_TIMEOUT_S = 5, /* that control_ask() waits for a reply */
};

#define CONTROL_NO_GROUP ((gid_t)-1)

/**
 * struct control_list - the last member of a reply, a list too long to be made at one go: control sends
 * what there is, serves others, and asks for more
 * @member: its name; NULL if the reply has none
 * @more:   some elements, as an array that control takes over: those behind @cursor, a text that it left
 *          there the last time, empty at first.  An empty array is the end.  Whatever changes meanwhile,
 *          what was there all the time is in the list once
 */
struct control_list {
	const char *member;
	json_t *(*more)(void *context, char cursor[CONTROL_CURSOR_BYTES]);
};

/**
 * struct control_request - what is asked
 * @word:   value of its member "request"
 * @name:   what that is about; NULL if nothing
 * @passed: a descriptor that goes with it, or -1, also if it came from who is no @owner; it stays the
 *          sender's, and control closes the receiver's
 * @owner:  to who answers: asked by root, or by the user who made the socket
 */
struct control_request {
	const char *word, *name;
	int passed;
	bool owner;
};

/**
 * control_answer - what answers requests
 * @context: as given to control_start()
 * @ret_list: what is to come behind what is returned; zeroed before
 *
 * Return: the reply's further members, as an object that control takes over ("error" among them if it
 * could not be done, see control_denial()); NULL for a request that is not known
 */
typedef json_t *control_answer(void *context, const struct control_request *request,
			       struct control_list *ret_list);

/** control_denial() - what to answer if that is for the owner alone */
json_t *control_denial(void);

/**
 * struct control_client - one connection
 * @fd:      -1 if there is none
 * @owner:   root's, or of the user who made the socket
 * @serial:  the lowest came first
 * @request: what has come of the request so far
 * @got:     how many bytes of it
 * @passed:  a descriptor that came with it, or -1
 * @reply:   what is to be sent now, @bytes of it, @sent of them already; NULL while it is not known
 * @list:    what is to be sent after that; @cursor is where it stands, @begun whether it has elements
 */
struct control_client {
	int fd;
	bool owner;
	uint64_t serial;
	char request[CONTROL_REQUEST_BYTES];
	size_t got;
	int passed;
	char *reply;
	size_t bytes, sent;
	struct control_list list;
	char cursor[CONTROL_CURSOR_BYTES];
	bool begun;
};

/**
 * struct control - the serving end; visible so that it can be placed
 * @spare: a descriptor to give up when there is no other, so that whoever connects can be hung up on:
 *         otherwise he would be reported again and again
 */
struct control {
	int listener, spare;
	struct loop *loop;
	uint32_t tag;
	control_answer *answer;
	void *context;
	uint64_t served;
	struct control_client client[CONTROL_CLIENTS_MAX];
};

/**
 * control_listen() - make the socket
 * @directory: of the instance
 * @group:     who may connect beside its owner; CONTROL_NO_GROUP: nobody
 * @ret_fd:    listening, non-blocking, close-on-exec
 *
 * Return: 0 or negative errno
 */
int control_listen(const char *directory, gid_t group, int *ret_fd);

/**
 * control_start() - serve it
 * @listener: from control_listen(); control closes it
 * @loop:     reports events of the socket and of its connections with @tag; hand them all to
 *            control_serve()
 *
 * Return: 0 or negative errno
 */
int control_start(struct control *control, int listener, struct loop *loop, uint32_t tag,
		  control_answer *answer, void *context);

/** control_serve() - something happened to the socket or to a connection */
void control_serve(struct control *control, const struct loop_event *event);

/** control_stop() - end all connections and the listening; a zeroed control is fine */
void control_stop(struct control *control);

/**
 * control_ask() - the asking end: connect, ask, wait for the reply
 * @directory: of the instance
 * @request:   its word and name have no character that JSON would escape
 * @ret_reply: the whole reply, an object; the caller's to json_decref()
 *
 * Return: 0; -ENOENT or -ECONNREFUSED if nothing runs there; -EACCES if it is not for us; -EPROTO for a reply that is no object;
 * or negative errno
 */
int control_ask(const char *directory, const struct control_request *request, json_t **ret_reply);

/**
 * control_server() - which process serves it, by the kernel's word
 *
 * Return: 0 or negative errno, as control_ask()
 */
int control_server(const char *directory, pid_t *ret_pid);

#endif
