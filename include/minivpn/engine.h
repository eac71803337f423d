/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The whole protocol as one machine: peers, sessions, handshakes, timers, the envelope between them.
 * It never waits, reads no clock, opens nothing, logs nothing.  Packets and the time go in; records,
 * packets, events and a deadline come out.
 *
 * A shell around it (src/run/worker.c, or a simulated network in tests/sim) does four things:
 *
 *   inner packets from the tun device    engine_outbound()   records to send
 *   datagrams from the socket            engine_inbound()    inner packets for the tun device
 *   the clock reaches engine_deadline()  engine_tick()
 *   the kernel or the user has news      engine_path_mtu(), engine_network_changed(), ...
 *
 * What the engine sends of its own accord (handshakes, Pings, packets that had to wait) leaves through
 * the transmit hook, at any time during one of these calls.  A hook must not call the engine.
 */
#ifndef MINIVPN_ENGINE_H
#define MINIVPN_ENGINE_H

#include "minivpn/aead.h"
#include "minivpn/envelope.h"
#include "minivpn/handshake.h"
#include "minivpn/inner.h"
#include "minivpn/instant.h"
#include "minivpn/payload.h"
#include "minivpn/verdict.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct engine;
struct lane_order;
struct peer; /* a handle: valid from engine_peer_add() to engine_peer_remove() */

enum {
	ENGINE_STAGED_MAX = 128, /* packets that wait for a session, for each peer */
	UDP_HEADER_BYTES = 8,
	PATH_MTU_MIN = 576, /* nothing narrower is believed */
	/* inner MTU over a path of 1500 bytes, by outer family (docs/mtu.md) */
	INNER_MTU_OVER_IPV4 = 1438,
	INNER_MTU_OVER_IPV6 = 1418,
};

/**
 * struct transmission - a datagram that the engine sends by itself
 * @to:            where, and by which of our addresses
 * @bytes, @size:  UDP payload; valid during the call only
 * @tos:           outer DSCP and ECN
 * @dont_fragment: true for ESP; control messages may be fragmented, since they must pass narrow paths
 */
struct transmission {
	const struct endpoint *to;
	const uint8_t *bytes;
	size_t size;
	uint8_t tos;
	bool dont_fragment;
};

enum engine_event_kind {
	EVENT_UP,         /* a session is usable where there was none */
	EVENT_REKEYED,    /* a new session took over from a live one */
	EVENT_DOWN,       /* the last usable session ended; @reason, @closed_by_peer */
	EVENT_CONFIGURED, /* client took a Response: @configuration is what the server gave */
	EVENT_ENDPOINT,   /* server: the peer is now at @endpoint (none: forget it) */
	EVENT_ATTEMPT_FAILED, /* no valid answer from @endpoint within the attempt; @attempts so far in a row.
				 * A client may call engine_peer_endpoint() before the next begins */
	EVENT_REFUSED,     /* the other end refuses: @refusal, @detail */
	EVENT_UNKNOWN_KEY, /* an Init from @endpoint fits none of our keys */
	EVENT_BAD_INIT, /* an Init from @endpoint fits a hint of @peer, but does not verify or parse: @verdict */
	EVENT_BAD_RESPONSE, /* a Response to our Init does not verify or parse: @verdict */
	EVENT_PATH_MTU,     /* the largest inner packet is now @inner_mtu bytes */
	EVENT_KEY_ELSEWHERE, /* server: a second machine, at @elsewhere, uses the key of the one at @endpoint */
	EVENT_SOFTWARE, /* the other end's software: @text */
	EVENT_INSIDE,   /* server: an Init came from @endpoint, which itself is behind @peer */
	EVENT_KIND_COUNT
};

/** struct engine_event - something worth a log line or an action of the shell; see the kinds */
struct engine_event {
	enum engine_event_kind kind;
	struct peer *peer; /* NULL for EVENT_UNKNOWN_KEY */
	const struct endpoint *endpoint, *elsewhere;
	const struct payload *configuration;
	enum close_reason reason;
	bool closed_by_peer;
	enum refusal refusal;
	uint8_t detail;
	enum verdict verdict;
	unsigned attempts;
	unsigned inner_mtu;
	const char *text;
};

/**
 * struct engine_hooks - what the engine asks of its shell
 * @shell:    passed to every hook
 * @random:   fill @n bytes with randomness fit for keys
 * @allocate: zeroed memory, aligned to 64 bytes, or NULL.  Never called on the path of a packet: only
 *            for peers, handshakes and sessions.  It holds keys: lock it, keep it out of core dumps
 * @release:  give it back; the engine has wiped what was secret
 * @transmit: send a datagram
 * @deliver:  put a packet made by the engine (an ICMP answer) into the tun device
 * @event:    see enum engine_event_kind
 * @order:    carry an order to the lane of worker @worker, in order (minivpn/lane.h).  It may be executed at
 *            once, and engine_order_done() called; in engine_destroy() it must.  NULL: there are no lanes,
 *            and the engine itself receives for all workers
 */
struct engine_hooks {
	void *shell;
	void (*random)(void *shell, uint8_t *ret_bytes, size_t n);
	void *(*allocate)(void *shell, size_t bytes);
	void (*release)(void *shell, void *memory);
	void (*transmit)(void *shell, const struct transmission *datagram);
	void (*deliver)(void *shell, const uint8_t *packet, size_t bytes);
	void (*event)(void *shell, const struct engine_event *event);
	void (*order)(void *shell, unsigned worker, struct lane_order *order);
};

/**
 * struct engine_config - what an engine is made of; copied
 * @hooks:         all of them set
 * @role:          ROLE_SERVER follows moving peers and hands out configuration; ROLE_CLIENT keeps one
 *                 peer and starts a handshake without waiting for data
 * @aead:          the AEAD, and @aead_context, its started context; both outlive the engine
 * @inner_mtu:     largest inner packet wanted, 1280 to 65000
 * @workers:       worker threads on this side, 1 to 16
 * @keepalive_ns:  client: Ping after so long a silence; 0 = never
 * @copy_dscp:     outer packets bear the DSCP of the inner ones; else 0
 * @configuration: server: routes, DNS and search domain for every client (its addresses are each
 *                 peer's own); NULL for none; must outlive the engine
 * @software:      name and version told to the other end, at most 64 printable ASCII
 * @peers_expected: a hint for table sizes; any number of peers works
 * @search_ns:     what it takes here to try a thousand keys on an Init, see engine_search_trial(); 0 if
 *                 that was not measured
 */
struct engine_config {
	struct engine_hooks hooks;
	enum role role;
	const struct aead *aead;
	void *aead_context;
	unsigned inner_mtu;
	unsigned workers;
	int64_t keepalive_ns;
	bool copy_dscp;
	const struct payload *configuration;
	const char *software;
	unsigned peers_expected;
	uint32_t search_ns;
};

/**
 * engine_search_trial() - try keys on an Init that none of them fits, for the shell to see how long it takes
 * Return: how many
 */
size_t engine_search_trial(void);

/**
 * engine_create() - an engine without peers
 * Return: NULL if @config's allocate hook gave nothing
 */
struct engine *engine_create(const struct engine_config *config, struct instant now);

/** engine_destroy() - wipe and release everything; sends nothing (see engine_stop()) */
void engine_destroy(struct engine *engine);

/**
 * struct peer_config - a peer to be added; copied
 * @tag:      the shell's own, see peer_tag()
 * @psk:      the key shared with it; not zero
 * @address:  server: the addresses (with the tunnel networks' prefix lengths) it is given
 * @allowed:  inner sources it may use and destinations it is reached for; on a client usually 0.0.0.0/0
 *            and ::/0, on a server its addresses as /32 and /128, and its networks
 * @endpoint: where it is, if that is known; a server with an endpoint starts a handshake at once
 */
struct peer_config {
	void *tag;
	const struct psk *psk;
	struct prefix address[PAYLOAD_ADDRESSES_MAX];
	unsigned address_count;
	const struct prefix *allowed;
	unsigned allowed_count;
	struct endpoint endpoint;
};

/**
 * engine_peer_add() - begin to serve a peer
 * Return: its handle, or NULL without memory.  A prefix that another peer owns already moves to this one
 */
struct peer *engine_peer_add(struct engine *engine, const struct peer_config *config,
			     struct instant now);

/** engine_peer_remove() - cut a peer off at once, telling it why; its handle ends here */
void engine_peer_remove(struct engine *engine, struct peer *peer, enum close_reason reason,
			struct instant now);

/**
 * engine_peer_own() - let a peer own these prefixes instead of those that it has
 *
 * Return: 0, or -1 without memory.  A prefix that another peer owns already moves to this one
 */
int engine_peer_own(struct engine *engine, struct peer *peer, const struct prefix *allowed,
		    unsigned count);

/** peer_tag() - what the shell gave as peer_config.tag */
void *peer_tag(const struct peer *peer);

/** peer_set_tag() - another tag from now on */
void peer_set_tag(struct peer *peer, void *tag);

/** engine_peer_endpoint() - client: the server is (also) to be tried at @endpoint, from now on */
void engine_peer_endpoint(struct engine *engine, struct peer *peer, const struct endpoint *endpoint,
			  struct instant now);

/**
 * struct outbound - an inner packet on its way out
 * @inner:         the packet, with ENVELOPE_HEAD_BYTES of room before and ENVELOPE_TAIL_BYTES behind it
 * @inner_bytes:   bytes of it, at most 65535
 * @verdict:       set: VERDICT_PASS (a record to send), VERDICT_STAGED (copied, leaves later),
 *                 VERDICT_CONSUMED (left in pieces through the transmit hook), or the refusal.  Every
 *                 verdict has been counted
 * @record, @record_bytes: set on PASS: what to send.  The record begins ENVELOPE_HEAD_BYTES before @inner
 *                 and has envelope_bytes(@inner_bytes) bytes, so that the caller can lay packets out in
 *                 such a way that records follow one another without a gap
 * @to:            set on PASS: where to; the pointer is the same for the same peer, and valid until the
 *                 engine is called again
 * @tos:           set on PASS: outer DSCP and ECN (RFC 6040)
 * @peer:          set where a peer was found
 * @source, @destination etc. stay in the packet: it is encrypted in place, look before if you must
 */
struct outbound {
	uint8_t *inner;
	size_t inner_bytes;
	enum verdict verdict;
	uint8_t *record;
	size_t record_bytes;
	const struct endpoint *to;
	uint8_t tos;
	struct peer *peer;
};

/** engine_outbound() - seal @n inner packets, in place, in order */
void engine_outbound(struct engine *engine, struct outbound *packets, size_t n, struct instant now);

/**
 * struct inbound - a datagram that arrived
 * @datagram:    UDP payload, decrypted in place
 * @bytes:       its length
 * @from:        where it came from and which of our addresses it came to; may be shared by many
 * @tos:         outer TOS or traffic class; only the ECN bits count
 * @verdict:     set: VERDICT_PASS (an inner packet for the tun device), VERDICT_CONSUMED,
 *               VERDICT_NAT_KEEPALIVE, VERDICT_HANDED_OVER (it is for a lane: the shell brings it to
 *               spi_worker()), or the refusal.  Every verdict has been counted
 * @inner, @inner_bytes: set on PASS: the inner packet, cut to the length its own header states
 * @peer:        set where one was found
 * @sequence:    set on PASS: its ESP sequence number
 */
struct inbound {
	uint8_t *datagram;
	size_t bytes;
	const struct endpoint *from;
	uint8_t tos;
	enum verdict verdict;
	uint8_t *inner;
	size_t inner_bytes;
	struct peer *peer;
	uint32_t sequence;
};

/** engine_inbound() - take in @n datagrams, in order */
void engine_inbound(struct engine *engine, struct inbound *datagrams, size_t n, struct instant now);

/** engine_deadline() - when engine_tick() is next to be called; INSTANT_NEVER if nothing is due */
struct instant engine_deadline(const struct engine *engine);

/**
 * engine_tick() - do what is due: retries, rekeys, Pings, ends of sessions
 *
 * For so many peers that packets need not wait long; then engine_deadline() has still been reached.
 */
void engine_tick(struct engine *engine, struct instant now);

/**
 * engine_path_mtu() - the kernel learned (ICMP, EMSGSIZE) that the path to @remote takes no more
 * @remote:    address; ports do not matter to a path
 * @mtu_outer: IP packet size in bytes
 */
void engine_path_mtu(struct engine *engine, const struct address *remote, unsigned mtu_outer,
		     struct instant now);

/** engine_network_changed() - addresses or routes changed, or the machine woke up: Ping everybody */
void engine_network_changed(struct engine *engine, struct instant now);

/** engine_stop() - send Close with @reason to every peer and end all sessions; then destroy */
void engine_stop(struct engine *engine, enum close_reason reason, struct instant now);

/** engine_count() - count a refusal that the shell made (VERDICT_SEND_FAILED and its like) */
void engine_count(struct engine *engine, struct peer *peer, enum verdict verdict, uint64_t n);

/**
 * struct peer_snapshot - a peer as status shows it
 * @tag:            the shell's own
 * @endpoint:       where it is; none if not known
 * @up:             is there a session to send on?
 * @up_since:       since when without a gap (if @up)
 * @last_handshake: when the newest session was made; ns 0 = never
 * @last_heard:     last authentic packet; ns 0 = never
 * @session_spi:    first SPI we receive on in the current session; 0 = none
 * @packets_in, @bytes_in, @packets_out, @bytes_out: inner packets and their bytes
 * @handshakes:     sessions made so far
 * @inner_mtu:      largest inner packet it can be sent
 * @path_proven:    has a padded Ping of that size been answered?
 * @staged:         packets that wait for a session
 * @software:       as it told; empty if it did not
 * @verdicts:       by verdict, as far as they can be told to be this peer's
 */
struct peer_snapshot {
	void *tag;
	struct endpoint endpoint;
	bool up;
	struct instant up_since, last_handshake, last_heard;
	uint32_t session_spi;
	uint64_t packets_in, bytes_in, packets_out, bytes_out;
	uint64_t handshakes;
	unsigned inner_mtu;
	bool path_proven;
	unsigned staged;
	char software[SOFTWARE_BYTES];
	struct verdicts verdicts;
};

/** engine_peer_next() - walk the peers: the first for NULL, NULL after the last */
struct peer *engine_peer_next(const struct engine *engine, const struct peer *after);

/** engine_snapshot() - what there is to say of one peer */
void engine_snapshot(const struct engine *engine, const struct peer *peer,
		     struct peer_snapshot *ret_snapshot);

/**
 * struct engine_sa - an SA as somebody needs it who is to open a capture
 * @inbound: do we receive on it?
 * @key:     secret
 * @remote:  where the peer is, and our own address if that is known
 */
struct engine_sa {
	uint32_t spi;
	bool inbound;
	const struct sa_key *key;
	const struct endpoint *remote;
};

/**
 * engine_keylog() - show the keys of every SA of a peer, on an explicit wish of who owns the machine
 * @each: keeps no pointer of what it is shown
 */
void engine_keylog(const struct peer *peer, void (*each)(void *context, const struct engine_sa *sa),
		   void *context);

/** engine_verdicts() - counters over all peers, and of what belongs to none */
const struct verdicts *engine_verdicts(const struct engine *engine);

#endif
