/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * bench-relay - the least that a tunnel in user space can do, as a measure for those that do more.
 *
 *	bench-relay DEVICE LOCAL REMOTE [AEAD]	addresses of IPv4; the same port at both ends
 *
 * A super-packet leaves as it was read, in one segmented send, and is written as it was sent: two
 * system calls and two of the kernel's copies at each end.  No cipher, no checksums, no replay window,
 * no turns of flows; one peer, and two threads that sleep in their reads, so that nobody asks who is
 * ready.  What the wire carries is as much as of a tunnel: for the headers and records that each packet
 * of a super-packet would have, filling follows behind it.
 *
 *	| head, super-packet                                                        | filling      |
 *	'---- datagram ----''---- datagram ----''---- datagram ----''---- datagram ----''- datagram -'
 *
 * The head tells how long all of it is.  Where a datagram is lost, the super-packet is.
 *
 * With an AEAD it is the least that a tunnel can do which encrypts: each datagram costs either end what
 * sealing a record of that length costs, one call for all that are there.  It takes the time and gives no
 * protection: there is one key and one nonce for everything, and no ICV on the wire, where it would need
 * room between the pieces of a super-packet.  So the receiver cannot open; it seals once more, which
 * takes as long, and with the same key stream leads back to the plaintext.
 */
#include "aead/choose.h"
#include "minivpn/envelope.h"
#include "minivpn/offload.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <linux/udp.h>
#include <net/if.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

enum {
	PORT = 7002,
	BUFFER_BYTES = 4 << 20, /* of the socket, as minivpn has it */
	SUPER_BYTES = 65536, /* the longest super-packet, and the longest run of merged datagrams */
	SEND_BYTES_MAX = 65507,  /* what one segmented send takes, */
	SEND_DATAGRAMS_MAX = 64, /* and into how many every Linux cuts it */
	SUPER_PIECES_MAX = 64,
	RECEIVE_MESSAGES_MAX = 64, /* of one call, */
	SINGLE_BYTES_MAX = 2048,   /* if they are no longer than this */
	ROOM_BYTES = 512 << 10,
	ROOM_NEEDED_BYTES = RECEIVE_MESSAGES_MAX * SINGLE_BYTES_MAX,
	TCP_LENGTH_AT = 12,
	UDP_CHECKSUM_AT = 6,
	UDP_HEADER_BYTES = 8,
	CIPHER_BATCH = 64,
};

static_assert((int)ROOM_NEEDED_BYTES >= (int)SUPER_BYTES, "room for either kind of call");

static const uint32_t super_mark = 0x7e1a9c0d;

/**
 * struct head - what stands before a super-packet on the wire
 * @mark:        super_mark
 * @total_bytes: of everything, with head and filling
 * @super_bytes: of what goes to the device: from @offload to the super-packet's end
 */
struct head {
	uint32_t mark;
	uint32_t total_bytes;
	uint32_t super_bytes;
	struct offload offload;
} __attribute__((packed));

enum { BEFORE_OFFLOAD_BYTES = offsetof(struct head, offload) };

static void fail(const char *what)
{
	fprintf(stderr, "bench-relay: %s: %s\n", what, strerror(errno));
	exit(1);
}

/* ---- the cipher ------------------------------------------------------------------------------ */

/**
 * struct cipher - what one thread seals with; nothing if @choice is none
 * @ops: datagrams that wait for it, @count of them
 */
struct cipher {
	struct aead_choice choice;
	struct aead_op ops[CIPHER_BATCH];
	uint8_t tags[CIPHER_BATCH][AEAD_TAG_BYTES];
	size_t count;
};

static const uint8_t cipher_key[SA_KEY_BYTES] = { 1 };

static void cipher_start(struct cipher *c, const char *name)
{
	if (name && aead_choose(name, &c->choice)) {
		fprintf(stderr, "bench-relay: %s: no such AEAD here\n", name);
		exit(1);
	}
}

static void cipher_flush(struct cipher *c)
{
	if (c->count > 0)
		c->choice.aead->seal(c->choice.context, c->ops, c->count);
	c->count = 0;
}

/* All datagrams of one message, of @size bytes each, of which the last may be shorter. */
static void cipher_add(struct cipher *c, uint8_t *bytes, size_t n, size_t size)
{
	const size_t around = ENVELOPE_HEAD_BYTES + AEAD_TAG_BYTES;

	for (size_t at = 0; c->choice.aead && at < n; at += size) {
		size_t datagram_bytes = size < n - at ? size : n - at;

		if (c->count == CIPHER_BATCH)
			cipher_flush(c);
		c->ops[c->count] = (struct aead_op){
			.key = cipher_key,
			.aad = bytes + at,
			.aad_bytes = ENVELOPE_HEAD_BYTES,
			.text = bytes + at + ENVELOPE_HEAD_BYTES,
			.text_bytes = datagram_bytes > around ? datagram_bytes - around : 0,
			.tag = c->tags[c->count],
		};
		c->count++;
	}
}

/* ---- from the device to the socket ----------------------------------------------------------- */

/* Length of the headers that each packet of a super-packet would have. */
static size_t header_bytes(const struct offload *offload, const uint8_t *packet)
{
	const uint8_t *transport = packet + offload->checksum_start;

	if (offload->checksum_offset == UDP_CHECKSUM_AT)
		return offload->checksum_start + UDP_HEADER_BYTES;
	return offload->checksum_start + (size_t)(transport[TCP_LENGTH_AT] >> 4) * 4;
}

/* How many bytes a tunnel would make of it, in datagrams of which length. */
static size_t tunnelled_bytes(const struct offload *offload, const uint8_t *packet, size_t bytes,
			      size_t *ret_datagram_bytes)
{
	size_t segment = offload->segment_bytes, header, payload, rest;

	*ret_datagram_bytes = envelope_bytes(bytes);
	if (offload->type == OFFLOAD_NONE)
		return *ret_datagram_bytes;
	header = header_bytes(offload, packet);
	payload = bytes - header;
	if (payload <= segment)
		return *ret_datagram_bytes;
	*ret_datagram_bytes = envelope_bytes(header + segment);
	rest = payload % segment;
	return payload / segment * *ret_datagram_bytes +
	       (rest > 0 ? envelope_bytes(header + rest) : 0);
}

/* What the kernel does not take is lost, as on any wire. */
static void send_segmented(int udp, const void *bytes, size_t n, size_t datagram_bytes)
{
	uint16_t size = (uint16_t)datagram_bytes;
	struct iovec piece = { (void *)bytes, n };
	union {
		char bytes[CMSG_SPACE(sizeof(size))];
		struct cmsghdr aligned;
	} detail = { .aligned = { .cmsg_len = CMSG_LEN(sizeof(size)),
				  .cmsg_level = IPPROTO_UDP,
				  .cmsg_type = UDP_SEGMENT } };
	struct msghdr message = { .msg_iov = &piece, .msg_iovlen = 1 };

	memcpy(CMSG_DATA(&detail.aligned), &size, sizeof(size));
	if (n > datagram_bytes) {
		message.msg_control = &detail;
		message.msg_controllen = sizeof(detail);
	}
	sendmsg(udp, &message, 0);
}

static void send_super(int udp, const uint8_t *bytes, size_t n, size_t datagram_bytes)
{
	size_t count = SEND_BYTES_MAX / datagram_bytes, taken;

	if (count > SEND_DATAGRAMS_MAX)
		count = SEND_DATAGRAMS_MAX;
	for (; n > 0; n -= taken, bytes += taken) {
		taken = n < count * datagram_bytes ? n : count * datagram_bytes;
		send_segmented(udp, bytes, taken, datagram_bytes);
	}
}

static void relay_out(int tun, int udp, struct cipher *cipher)
{
	static struct {
		uint8_t unused[64 - sizeof(struct head)]; /* packets begin with a cache line */
		struct head head;
		uint8_t packet[2 * SUPER_BYTES]; /* and filling */
	} room __attribute__((aligned(64)));
	struct iovec pieces[] = { { &room.head.offload, sizeof(room.head.offload) },
				  { room.packet, SUPER_BYTES } };

	for (;;) {
		ssize_t n = readv(tun, pieces, 2);
		struct offload offload = room.head.offload;
		size_t total_bytes, datagram_bytes;

		if (n < (ssize_t)sizeof(offload))
			fail("read from the device");
		room.head.mark = super_mark;
		room.head.super_bytes = (uint32_t)n;
		total_bytes = tunnelled_bytes(&offload, room.packet, (size_t)n - sizeof(offload),
					      &datagram_bytes);
		room.head.total_bytes = (uint32_t)total_bytes;
		cipher_add(cipher, (uint8_t *)&room.head, total_bytes, datagram_bytes);
		cipher_flush(cipher);
		send_super(udp, (const uint8_t *)&room.head, total_bytes, datagram_bytes);
	}
}

/* ---- from the socket to the device ----------------------------------------------------------- */

/**
 * struct arriving - a super-packet of which something has come
 * @total_bytes: what is still to come; 0 if nothing has
 * @super_bytes: what of that is for the device
 * @pieces:      what has come for the device, @count of them
 */
struct arriving {
	size_t total_bytes, super_bytes;
	struct iovec pieces[SUPER_PIECES_MAX];
	unsigned count;
};

static bool is_head(const uint8_t *datagram, size_t bytes)
{
	return bytes >= sizeof(struct head) &&
	       memcmp(datagram, &super_mark, sizeof(super_mark)) == 0;
}

static void begin(struct arriving *a, const uint8_t *datagram)
{
	struct head head;

	memcpy(&head, datagram, sizeof(head));
	a->total_bytes = head.total_bytes - BEFORE_OFFLOAD_BYTES;
	a->super_bytes = head.super_bytes;
	a->count = 0;
}

static void add_piece(struct arriving *a, uint8_t *bytes, size_t n)
{
	struct iovec *last = a->count > 0 ? &a->pieces[a->count - 1] : NULL;

	if (last && (uint8_t *)last->iov_base + last->iov_len == bytes)
		last->iov_len += n;
	else if (a->count < SUPER_PIECES_MAX)
		a->pieces[a->count++] = (struct iovec){ bytes, n };
}

/* What follows of the super-packet, which is written once it is complete. */
static void add(struct arriving *a, uint8_t *bytes, size_t n, int tun)
{
	size_t super = n < a->super_bytes ? n : a->super_bytes;

	if (a->total_bytes < n) { /* something is missing, or nothing has begun */
		a->total_bytes = 0;
		return;
	}
	if (super > 0)
		add_piece(a, bytes, super);
	a->super_bytes -= super;
	a->total_bytes -= n;
	/* The device refuses what it is given before it is up. */
	if (a->total_bytes == 0 && writev(tun, a->pieces, (int)a->count) < 0 && errno != EIO)
		fail("write to the device");
}

/* One message: datagrams of @size bytes, of which the last may be shorter. */
static void take(struct arriving *a, uint8_t *bytes, size_t n, size_t size, int tun)
{
	for (size_t at = 0; at < n; at += size) {
		size_t datagram_bytes = size < n - at ? size : n - at, skipped = 0;

		if (is_head(bytes + at, datagram_bytes)) {
			begin(a, bytes + at);
			skipped = BEFORE_OFFLOAD_BYTES;
		}
		add(a, bytes + at + skipped, datagram_bytes - skipped, tun);
	}
}

/**
 * struct inbox - where what arrives lies one behind the other, so that it can be written in one piece
 * @room:    one is filled; the other takes what has come of a super-packet that no longer fits
 * @current: which is filled, @used bytes of it
 * @wanted:  messages of the next call: one where they come merged, otherwise as many as come
 * @step:    where the next message lies: the length of the longest datagram that came alone
 * @beyond:  where messages lie that are longer than that
 * @bytes:   where each of the last call lies
 */
struct inbox {
	uint8_t room[2][ROOM_BYTES];
	unsigned current;
	size_t used;
	unsigned wanted;
	size_t step;
	uint8_t beyond[RECEIVE_MESSAGES_MAX][SUPER_BYTES];
	uint8_t *bytes[RECEIVE_MESSAGES_MAX];
	struct mmsghdr messages[RECEIVE_MESSAGES_MAX];
	struct iovec pieces[RECEIVE_MESSAGES_MAX][2];
	union {
		char bytes[CMSG_SPACE(sizeof(int))];
		struct cmsghdr aligned;
	} details[RECEIVE_MESSAGES_MAX];
};

/* For another call: at the beginning, where the cache is warm, unless a super-packet is incomplete. */
static void make_room(struct inbox *in, struct arriving *a)
{
	uint8_t *to;

	if (a->total_bytes > 0 && in->used + ROOM_NEEDED_BYTES <= ROOM_BYTES)
		return;
	in->used = 0;
	if (a->total_bytes == 0)
		return;
	in->current ^= 1;
	to = in->room[in->current];
	for (unsigned i = 0; i < a->count; i++) {
		memcpy(to + in->used, a->pieces[i].iov_base, a->pieces[i].iov_len);
		in->used += a->pieces[i].iov_len;
	}
	a->pieces[0] = (struct iovec){ to, in->used };
	a->count = in->used > 0;
}

static int receive(struct inbox *in, int udp)
{
	uint8_t *room = in->room[in->current] + in->used;
	size_t step = in->wanted > 1 ? in->step : SUPER_BYTES;

	for (unsigned i = 0; i < in->wanted; i++) {
		in->pieces[i][0] = (struct iovec){ room + i * step, step };
		in->pieces[i][1] = (struct iovec){ in->beyond[i] + step, SUPER_BYTES - step };
		in->messages[i].msg_hdr =
			(struct msghdr){ .msg_iov = in->pieces[i],
					 .msg_iovlen = 2,
					 .msg_control = &in->details[i],
					 .msg_controllen = sizeof(in->details[i]) };
	}
	/* An error is what became of something sent: it is lost. */
	return recvmmsg(udp, in->messages, in->wanted, MSG_WAITFORONE, NULL);
}

static uint8_t *message_bytes(struct inbox *in, unsigned i)
{
	const struct iovec *piece = in->pieces[i];

	if (in->messages[i].msg_len <= piece->iov_len)
		return piece->iov_base;
	return memcpy(in->beyond[i], piece->iov_base, piece->iov_len);
}

static size_t datagram_bytes(struct mmsghdr *message)
{
	struct cmsghdr *detail = CMSG_FIRSTHDR(&message->msg_hdr);
	int size;

	if (!detail || detail->cmsg_level != IPPROTO_UDP || detail->cmsg_type != UDP_GRO)
		return message->msg_len;
	memcpy(&size, CMSG_DATA(detail), sizeof(size));
	return (size_t)size;
}

static void decrypt(struct inbox *in, int received, struct cipher *cipher)
{
	for (int i = 0; i < received; i++) {
		in->bytes[i] = message_bytes(in, (unsigned)i);
		cipher_add(cipher, in->bytes[i], in->messages[i].msg_len,
			   datagram_bytes(&in->messages[i]));
	}
	cipher_flush(cipher);
}

static void relay_in(int udp, int tun, struct cipher *cipher)
{
	static struct inbox in __attribute__((aligned(4096))) = { .wanted = 1 };
	static struct arriving arriving;

	for (;;) {
		size_t longest = in.step;
		bool merged = false;
		int received;

		make_room(&in, &arriving);
		received = receive(&in, udp);
		decrypt(&in, received, cipher);
		for (int i = 0; i < received; i++) {
			size_t n = in.messages[i].msg_len;
			size_t size = datagram_bytes(&in.messages[i]);

			take(&arriving, in.bytes[i], n, size, tun);
			in.used += in.wanted > 1 ? in.step : n;
			merged |= n > size;
			if (size > longest && size <= SINGLE_BYTES_MAX)
				longest = size;
		}
		in.step = longest;
		in.wanted = merged || received < 1 ? 1 : 2 * (unsigned)received;
		if (in.wanted > RECEIVE_MESSAGES_MAX)
			in.wanted = RECEIVE_MESSAGES_MAX;
	}
}

/* ---- both ------------------------------------------------------------------------------------ */

static int open_tun(const char *name)
{
	struct ifreq request = { .ifr_flags = IFF_TUN | IFF_NO_PI | IFF_VNET_HDR };
	int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);

	snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", name);
	if (fd < 0 || ioctl(fd, TUNSETIFF, &request) < 0 ||
	    ioctl(fd, TUNSETOFFLOAD, TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN) < 0)
		fail(name);
	return fd;
}

static struct sockaddr_in name_of(const char *address)
{
	struct sockaddr_in name = { .sin_family = AF_INET, .sin_port = htons(PORT) };

	if (inet_pton(AF_INET, address, &name.sin_addr) != 1) {
		errno = EINVAL;
		fail(address);
	}
	return name;
}

static int open_udp(const char *local, const char *remote)
{
	struct sockaddr_in here = name_of(local), there = name_of(remote);
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), on = 1, bytes = BUFFER_BYTES;

	if (fd < 0 || bind(fd, (struct sockaddr *)&here, sizeof(here)) < 0 ||
	    connect(fd, (struct sockaddr *)&there, sizeof(there)) < 0 ||
	    setsockopt(fd, IPPROTO_UDP, UDP_GRO, &on, sizeof(on)) < 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof(bytes)) < 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof(bytes)) < 0)
		fail("socket");
	return fd;
}

struct ends {
	int tun, udp;
	struct cipher out, in;
};

static void *run_out(void *argument)
{
	struct ends *ends = argument;

	relay_out(ends->tun, ends->udp, &ends->out);
	return NULL;
}

int main(int argc, char **argv)
{
	static struct ends ends;
	pthread_t out;

	if (argc != 4 && argc != 5) {
		fputs("usage: bench-relay DEVICE LOCAL REMOTE [AEAD]\n", stderr);
		return 2;
	}
	cipher_start(&ends.out, argv[4]);
	cipher_start(&ends.in, argv[4]);
	ends.udp = open_udp(argv[2], argv[3]);
	ends.tun = open_tun(argv[1]);
	errno = pthread_create(&out, NULL, run_out, &ends);
	if (errno)
		fail("thread");
	relay_in(ends.udp, ends.tun, &ends.in);
}
