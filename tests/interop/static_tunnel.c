/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * static-tunnel - a tun device over one pair of ESP SAs in UDP (RFC 3948), keyed by hand.
 *
 * This is the envelope, the window and the AEAD of the real program with as little around them as can
 * be, so that other people's ESP (the Linux kernel's, scapy's) can be met on a live network before
 * and without our own handshake.  Only tests build it.  It ends with its counters on standard
 * output.
 */
#include "arguments.h"
#include "devices.h"

#include "aead/choose.h"
#include "minivpn/envelope.h"
#include "minivpn/replay.h"
#include "scope.h"

#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>

enum {
	BATCH = ENVELOPE_BATCH,
	PACKET_MAX = 65535,
	SLOT_BYTES = ENVELOPE_HEAD_BYTES + PACKET_MAX + ENVELOPE_TAIL_BYTES,
	PATH_MTU = 1500,
	IPV4_UDP_BYTES = 20 + 8,
	IPV6_UDP_BYTES = 40 + 8,
	NAT_KEEPALIVE_BYTE = 0xff,
};

struct tally {
	uint64_t packets;
	uint64_t bytes;
};

/**
 * struct tunnel - everything there is
 * @sequence:  last number sealed with
 * @out, @in:  inner packets, and their bytes, that went the whole way
 * @slots:     a batch of packets, each with room for header and trailer around it
 */
struct tunnel {
	struct arguments arguments;
	struct aead_choice aead;
	struct sockaddr_storage peer;
	socklen_t peer_bytes;
	int device;
	int socket;
	uint32_t sequence;
	struct replay replay;
	struct tally out;
	struct tally in;
	struct verdicts verdicts;
	uint8_t slots[BATCH][SLOT_BYTES];
};

static void count(struct tunnel *t, enum verdict v)
{
	t->verdicts.count[v]++;
}

/* --- tun to UDP --- */

/* Read one packet and say how it is to be sealed.  False when there is none to seal. */
static bool take_packet(struct tunnel *t, uint8_t *slot, struct sealing *ret, bool *ret_empty)
{
	uint8_t *packet = slot + ENVELOPE_HEAD_BYTES;
	ssize_t n = read(t->device, packet, PACKET_MAX);
	struct inner inner;
	enum verdict verdict;

	*ret_empty = n < 0;
	if (n < 0)
		return false;
	verdict = inner_parse(packet, (size_t)n, &inner);
	if (verdict == VERDICT_PASS && t->sequence == UINT32_MAX)
		verdict = VERDICT_EXPIRED;
	if (verdict != VERDICT_PASS) {
		count(t, verdict);
		return false;
	}

	*ret = (struct sealing){
		.payload = packet,
		.payload_bytes = inner.bytes,
		.key = &t->arguments.out.key,
		.spi = t->arguments.out.spi,
		.sequence = ++t->sequence,
		.next_header = inner.version == 4 ? NEXT_HEADER_IPV4 : NEXT_HEADER_IPV6,
	};
	return true;
}

static enum verdict send_record(struct tunnel *t, const struct sealing *s)
{
	if (sendto(t->socket, s->record, s->record_bytes, 0, (struct sockaddr *)&t->peer,
		   t->peer_bytes) >= 0)
		return VERDICT_PASS;
	return errno == EAGAIN || errno == ENOBUFS ? VERDICT_SOCKET_FULL : VERDICT_SEND_FAILED;
}

static void send_batch(struct tunnel *t)
{
	struct sealing batch[BATCH];
	bool empty = false;
	size_t n = 0;

	while (n < BATCH && !empty)
		n += take_packet(t, t->slots[n], &batch[n], &empty);
	envelope_seal(t->aead.aead, t->aead.context, batch, n);
	for (size_t i = 0; i < n; i++) {
		enum verdict verdict = send_record(t, &batch[i]);

		count(t, verdict);
		if (verdict == VERDICT_PASS) {
			t->out.packets++;
			t->out.bytes += batch[i].payload_bytes;
		}
	}
}

/* --- UDP to tun --- */

/* What can be said before opening (RFC 3948 section 2); VERDICT_PASS if it is to be opened. */
static enum verdict judge_datagram(const struct tunnel *t, const uint8_t *datagram, size_t n,
				   uint32_t *ret_sequence)
{
	const struct envelope_header *header = (const struct envelope_header *)datagram;
	uint32_t spi;

	if (n == 1 && datagram[0] == NAT_KEEPALIVE_BYTE)
		return VERDICT_NAT_KEEPALIVE;
	if (n < sizeof(header->spi))
		return VERDICT_TRUNCATED;
	spi = be32_to(header->spi);
	if (spi == 0)
		return VERDICT_MALFORMED; /* a handshake: there is none here */
	if (n < ENVELOPE_MIN_BYTES)
		return VERDICT_TRUNCATED;
	if (spi != t->arguments.in.spi)
		return VERDICT_UNKNOWN_SPI;
	if (!replay_would_accept(&t->replay, be32_to(header->sequence)))
		return VERDICT_REPLAYED;
	*ret_sequence = be32_to(header->sequence);
	return VERDICT_PASS;
}

/* Receive one datagram and say how it is to be opened.  False when there is none to open. */
static bool take_datagram(struct tunnel *t, uint8_t *slot, struct opening *ret,
			  uint32_t *ret_sequence, bool *ret_empty)
{
	ssize_t n = recv(t->socket, slot, SLOT_BYTES, 0);
	enum verdict verdict;

	*ret_empty = n < 0;
	if (n < 0)
		return false;
	verdict = judge_datagram(t, slot, (size_t)n, ret_sequence);
	if (verdict != VERDICT_PASS) {
		count(t, verdict);
		return false;
	}
	*ret = (struct opening){
		.record = slot,
		.record_bytes = (size_t)n,
		.key = &t->arguments.in.key,
	};
	return true;
}

/* Everything from the opened record to the device. */
static enum verdict deliver(struct tunnel *t, const struct opening *o, uint32_t sequence)
{
	struct inner inner;
	enum verdict verdict = o->verdict;

	if (verdict != VERDICT_FORGED && verdict != VERDICT_TRUNCATED &&
	    !replay_commit(&t->replay, sequence))
		return VERDICT_REPLAYED;
	if (verdict != VERDICT_PASS)
		return verdict;
	if (o->next_header == NEXT_HEADER_NONE)
		return o->payload_bytes == 0 ? VERDICT_CONSUMED : VERDICT_FOREIGN_DUMMY;
	verdict = inner_parse(o->payload, o->payload_bytes, &inner);
	if (verdict != VERDICT_PASS)
		return verdict;
	if (write(t->device, o->payload, inner.bytes) < 0)
		return VERDICT_TUN_FAILED;
	t->in.packets++;
	t->in.bytes += inner.bytes;
	return VERDICT_PASS;
}

static void receive_batch(struct tunnel *t)
{
	struct opening batch[BATCH];
	uint32_t sequences[BATCH];
	bool empty = false;
	size_t n = 0;

	while (n < BATCH && !empty)
		n += take_datagram(t, t->slots[n], &batch[n], &sequences[n], &empty);
	envelope_open(t->aead.aead, t->aead.context, batch, n);
	for (size_t i = 0; i < n; i++)
		count(t, deliver(t, &batch[i], sequences[i]));
}

/* --- the program --- */

static int make(struct tunnel *t)
{
	const struct arguments *a = &t->arguments;
	size_t outer = address_is_ipv4(&a->peer.remote) ? IPV4_UDP_BYTES : IPV6_UDP_BYTES;
	char text[ENDPOINT_TEXT_BYTES];
	int rc;

	rc = aead_choose(a->aead_name, &t->aead);
	if (rc < 0) {
		fprintf(stderr, "static-tunnel: no AEAD to work with: %s\n", strerror(-rc));
		return rc;
	}
	rc = socket_make(&a->local, &t->socket);
	if (rc < 0) {
		fprintf(stderr, "static-tunnel: --local: %s: %s\n", endpoint_print(&a->local, text),
			strerror(-rc));
		return rc;
	}
	rc = device_make(a->tun, (int)envelope_inner_max(PATH_MTU - outer), &t->device);
	if (rc < 0) {
		fprintf(stderr, "static-tunnel: --tun: %s: %s\n", a->tun, strerror(-rc));
		return rc;
	}
	t->peer_bytes = sockaddr_of(&a->peer, &t->peer);
	return 0;
}

/* Until a signal to end comes.  What the batch could not take is found by the next poll(). */
static int run(struct tunnel *t, int signals)
{
	struct pollfd fds[] = {
		{ .fd = t->device, .events = POLLIN },
		{ .fd = t->socket, .events = POLLIN },
		{ .fd = signals, .events = POLLIN },
	};

	while (!fds[2].revents) {
		if (poll(fds, sizeof(fds) / sizeof(*fds), -1) < 0 && errno != EINTR)
			return -errno;
		if (fds[0].revents & POLLERR)
			return -ENODEV; /* somebody removed the device */
		if (fds[0].revents)
			send_batch(t);
		if (fds[1].revents)
			receive_batch(t);
	}
	return 0;
}

static void print_tally(const char *name, const struct tally *tally)
{
	printf("  \"%s\": { \"packets\": %" PRIu64 ", \"bytes\": %" PRIu64 " },\n", name,
	       tally->packets, tally->bytes);
}

static void print_counters(const struct tunnel *t)
{
	char aead[AEAD_DESCRIPTION_BYTES];

	t->aead.aead->describe(t->aead.context, aead);
	printf("{\n  \"aead\": \"%s\",\n", aead);
	print_tally("out", &t->out);
	print_tally("in", &t->in);
	printf("  \"verdicts\": {\n");
	for (enum verdict v = 0; v < VERDICT_COUNT; v++)
		printf("    \"%s\": %" PRIu64 "%s\n", verdict_name(v), t->verdicts.count[v],
		       v + 1 < VERDICT_COUNT ? "," : "");
	printf("  }\n}\n");
}

static int signals_to_descriptor(int *ret_fd)
{
	sigset_t ends;
	int fd;

	sigemptyset(&ends);
	sigaddset(&ends, SIGTERM);
	sigaddset(&ends, SIGINT);
	sigprocmask(SIG_BLOCK, &ends, NULL);
	fd = signalfd(-1, &ends, SFD_CLOEXEC);
	if (fd < 0)
		return -errno;
	*ret_fd = fd;
	return 0;
}

int main(int argc, char **argv)
{
	struct tunnel *t = calloc(1, sizeof(*t));
	scoped_fd signals = -1;
	int rc;

	if (!t)
		abort();
	t->device = t->socket = -1;
	arguments_parse(argc, argv, &t->arguments);
	rc = signals_to_descriptor(&signals);
	if (rc == 0)
		rc = make(t);
	if (rc == 0) {
		printf("ready\n");
		fflush(stdout);
		rc = run(t, signals);
		print_counters(t);
	}

	close_fd(&t->device);
	close_fd(&t->socket);
	aead_choice_drop(&t->aead);
	sa_key_wipe(&t->arguments.out.key);
	sa_key_wipe(&t->arguments.in.key);
	free(t);
	return rc < 0;
}
