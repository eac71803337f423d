/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The engine's own structures, shared by the files that make it up.  Nobody else includes this.
 *
 *   engine.c     batches of packets in and out, what is due
 *   peers.c      the list of peers and the tables that they stand in: all that is allocated
 *   deadlines.c  which peer is due first
 *   spi.c        the table from an SPI to what it names
 *   session.c    one epoch of keys: its SAs; a peer's slots for sessions and how they move
 *   initiator.c  handshakes that we begin: attempts, retransmission, Retry, Response
 *   responder.c  handshakes that others begin: the Init, step by step
 *   hints.c      whose key an Init was made with
 *   budget.c     how much may be searched for that
 *   near.c       which peers were last at an address
 *   liveness.c   Pings, keepalive, dead peers, rekeys by age: the timers of docs/protocol.md section 7
 *   elsewhere.c  two machines with one key
 *   roaming.c    which endpoint a server sends to (docs/protocol.md section 8)
 *   path.c       how large a packet the path takes
 *   lanes.c      what further workers are lent, and what they report
 *   pipeline.c   packets in small groups, and the memory that they will need
 *   staging.c    packets that wait for a session
 *
 * A peer's sessions move through three kinds of slot:
 *
 *     Init accepted ──> pending (2) ──first packet that verifies──> current (1) ──replaced──> old (4)
 *     Response taken ─────────────────────────────────────────────────^
 *
 * Each file's timers are a pair, X_deadline() and X_tick(); a deadline is always derived from the
 * state, never stored beside it.  peer->due is a lower bound: it is brought forward by peer_wake() where
 * an event makes something due earlier, and set right after each tick.
 */
#ifndef CORE_ENGINE_STATE_H
#define CORE_ENGINE_STATE_H

#include "budget.h"
#include "deadlines.h"
#include "hints.h"
#include "pipeline.h"
#include "spi.h"

#include "minivpn/allowed.h"
#include "minivpn/engine.h"
#include "minivpn/replay.h"

#include <assert.h>
#include <sodium.h>
#include <string.h>

struct lane_session;
struct peer_lanes;

enum {
	PENDING_MAX = 2,
	OLD_MAX = 4,
	OUTREACH_MAX = 8,       /* Inits of ours that may still be answered */
	ACCEPTED_MAX = 16,      /* ephemerals of a peer's Inits remembered */
	RESPONSE_ADDRESSES = 4, /* places one Response went to */
	RETRY_TABLE = 256,
	RUNGS_MAX = 10,
};

/* docs/protocol.md section 7, in nanoseconds */
#define INIT_LIFETIME      (15 * NS_PER_S)
#define PENDING_LIFETIME   (15 * NS_PER_S)
#define ATTEMPT_TIME       (5 * NS_PER_S)
#define HANDSHAKE_REST     (5 * NS_PER_S)
#define REFUSAL_REST       (30 * NS_PER_S)
#define CLIENT_WINS_TIME   (2 * NS_PER_S)
#define RESEND_REST        (100 * NS_PER_MS)
#define COOKIE_HELD        (100 * NS_PER_S)
#define COOKIE_SECRET_TIME (120 * NS_PER_S)
#define CLIENT_REKEY_AFTER (120 * NS_PER_S)
#define CLIENT_REKEY_RANGE (10 * NS_PER_S)
#define SERVER_REKEY_AFTER (150 * NS_PER_S)
#define SENDING_LIFETIME   (180 * NS_PER_S)
#define RECEIVING_LIFETIME (190 * NS_PER_S)
#define UNHEARD_PING       (5 * NS_PER_S)
#define UNHEARD_HANDSHAKE  (15 * NS_PER_S) /* where the other end hears no Pings */
#define CHALLENGE_LIFETIME (3 * NS_PER_S)
#define CANDIDATE_REST     (1 * NS_PER_S)
#define PATH_RAISE_AFTER   (600 * NS_PER_S)
#define STAGED_LIFETIME    (30 * NS_PER_S)
#define ELSEWHERE_AFTER    (3 * NS_PER_S)  /* what was on its way has arrived by then */
#define ELSEWHERE_SILENCE  (20 * NS_PER_S) /* longer than a keepalive and its repeats */
#define ELSEWHERE_LIFETIME (45 * NS_PER_S) /* the refused asks again after 30 s */

#define SERVER_ATTEMPTS_MAX 6
#define ANSWERS_A_SECOND    200 /* more Inits answered is load */
#define PONGS_A_SECOND      20
#define REKEY_AFTER_PACKETS ((uint64_t)1 << 31)
#define SEQUENCE_MAX        ((uint64_t)UINT32_MAX)

/* ---- SPIs ---------------------------------------------------------------------------------- */

/** spi_draw() - a new SPI that nothing of ours has, unpredictable but for naming @worker of ours */
uint32_t spi_draw(struct engine *engine, unsigned worker);

/* ---- sessions ------------------------------------------------------------------------------ */

struct sa_in {
	struct spi_entry entry; /* first, so that an entry of kind SPI_SA is its SA */
	struct session *session;
	struct sa_key key;
	struct replay replay; /* its ring begins a cache line */
	uint64_t forged;
};
static_assert(offsetof(struct sa_in, replay.seen) == LINE_BYTES,
	      "what every packet takes is one line");

/** struct sa_out - an SA on which we send; @next: next sequence number, 0 when all are used up */
struct sa_out {
	uint32_t spi, next;
	struct sa_key key;
};

/**
 * struct pending - what is kept of an answered Init until its session is promoted
 * @init_hash:  BLAKE2b of the Init, to know a retransmission byte for byte
 * @response:   our answer, to be sent again
 * @place:      where it went, newest last; @places counts all, the last RESPONSE_ADDRESSES are kept
 */
struct pending {
	uint8_t init_hash[crypto_generichash_BYTES];
	uint8_t response[RESPONSE_MAX_BYTES];
	size_t response_bytes;
	struct {
		struct endpoint to;
		struct instant last;
	} place[RESPONSE_ADDRESSES];
	unsigned places;
};

enum session_state { SESSION_PENDING, SESSION_CURRENT, SESSION_OLD };

/**
 * struct session - one epoch of keys with a peer
 * @generation:    order in which the peer's sessions were made
 * @never_current: client: was pending when we took a Response ("client wins")
 * @worn_out:      so many forgeries were tried on it that it accepts nothing more
 * @heard:         has anything verified in it?
 * @rekey_asked:   a handshake was asked for because of its age or use
 * @software_told: we have told our software in it
 * @hears_in_band, @inner_mtu, @remote_workers: what the handshake agreed on, the peer's from when the
 *                 session becomes current
 * @pending:       only while SESSION_PENDING
 * @replaced:      when it became old
 * @in:            our SAs, a cache line's multiple behind the last of @out
 * @lane:          the parts of it that lanes have, one each, behind the last of @in
 * @data:          which of @out carries packets of this worker
 * @out:           the other end's SAs
 *
 * A line of what packets seldom need comes first; the next one has what every packet takes, with
 * the first SA that we send on.
 */
struct session {
	uint64_t generation;
	struct instant rekey_at, replaced;
	struct pending *pending;
	struct sa_in *in;
	struct lane_session **lane;
	unsigned inner_mtu;
	uint16_t remote_workers;
	uint8_t in_count, out_count;
	bool never_current, rekey_asked, software_told, hears_in_band;

	struct peer *peer __attribute__((aligned(LINE_BYTES)));
	struct instant born;
	enum session_state state : 8;
	bool worn_out, heard;
	uint8_t data;
	struct sa_out out[];
};
static_assert(offsetof(struct session, out[1]) == 2 * LINE_BYTES,
	      "one line of what every packet takes");

/** session_hot() - what of a session every packet takes, LINE_BYTES of it */
static inline const void *session_hot(const struct session *session)
{
	return &session->peer;
}

/**
 * session_create() - a session from the keys of a finished handshake
 * @k_in, @k_out:  Noise keys of the two directions
 * @in, @in_count: the SPIs we listed
 * @offer:         what the other end listed
 *
 * Return: NULL without memory.  The session stands in no slot yet; its SPIs are in the table
 */
struct session *session_create(struct peer *peer, const uint8_t k_in[32], const uint8_t k_out[32],
			       const uint32_t *in, unsigned in_count, const struct payload *offer,
			       struct instant now);

/** session_erase() - wipe it, take its SPIs out of the table, and leave its slot empty */
void session_erase(struct session *session);
/**
 * session_out() - the SA that @worker of ours sends on; NULL if the other end listed too few
 *
 * Of the SAs whose position, counted round, is the worker's, a peer has always the same one: it is drawn
 * once, so that many peers of one worker each fall to different workers of the end that they meet.
 */
const struct sa_out *session_out(const struct session *session, unsigned worker);
bool session_may_send(const struct session *session, struct instant now);
bool session_may_receive(const struct session *session, struct instant now);

/**
 * session_make_current() - put it in the current slot; what it replaces becomes old
 * @from: where the other end was heard
 */
void session_make_current(struct session *session, const struct endpoint *from, struct instant now);

/** session_promote() - the first packet verified in this pending session; it came from @from */
void session_promote(struct session *session, const struct endpoint *from, struct instant now);

/** session_close() - the peer ended @session: it and older ones go */
void session_close(struct session *session, enum close_reason reason, struct instant now);

struct instant sessions_deadline(const struct peer *peer);
void sessions_tick(struct peer *peer, struct instant now);

/* ---- peers --------------------------------------------------------------------------------- */

/**
 * struct schedule - when to repeat something, counted from its first sending
 * @ms:    milliseconds of each sending
 * @count: how many
 * @end_ms: when it has failed
 */
struct schedule {
	uint16_t ms[5];
	uint8_t count;
	uint16_t end_ms;
};

/** schedule_due() - when the sending number @sent (from 0) is due, or the end */
static inline struct instant schedule_due(const struct schedule *s, struct instant started,
					  unsigned sent)
{
	return instant_after(started, (sent < s->count ? s->ms[sent] : s->end_ms) * NS_PER_MS);
}

/** struct challenge - a Ping that proves an address: only who receives there can answer it */
struct challenge {
	uint8_t sent;
	struct instant started;
	struct endpoint to;
	uint8_t bytes[PING_BYTES];
};

/**
 * struct outreach - an Init of ours that may still be answered
 * @to:      where it is sent; another address gets an Init of its own
 * @retried: a genuine Retry has answered it; no second one counts
 */
struct outreach {
	struct peer *peer;
	struct outreach *next, **link; /* among those of all peers */
	struct endpoint to;
	bool retried;
	struct instant created;
	struct attempt attempt;
	unsigned spi_count;
	struct spi_entry spi[PAYLOAD_SPIS_MAX];
	uint8_t message[INIT_BYTES];
};

/* Of a peer's challenges: the candidate is one, the rest are of its promotion (roaming.c). */
enum { CANDIDATE, PROMOTION, CHALLENGES_MAX = PROMOTION + RESPONSE_ADDRESSES };

struct peer {
	/* What every packet touches, in three cache lines (pipeline.h). */
	struct allowed_entry own; /* the first of its prefixes */
	struct session *current;
	struct instant unheard; /* first data sent since @heard; ns 0 = none */
	unsigned inner_agreed;  /* by the handshake's MTU items */
	unsigned outer_limit; /* bytes of outer IP packet the path takes; UINT16_MAX = not known */

	struct endpoint endpoint;
	uint64_t packets_out, bytes_out;
	bool up, pinging;
	uint8_t challenging; /* a bit for each of @challenge that is under way */

	struct deadline due;
	struct instant heard; /* in the current session, or when that began */
	struct instant last_heard;
	uint64_t packets_in, bytes_in;
	struct engine *engine;
	struct verdicts verdicts; /* the first of them */

	void *tag; /* and all that is seldom needed */
	struct peer *next, *previous;
	struct peer *near_next; /* near.c */
	struct address near_at;

	struct handshake_keys ours, theirs; /* by who begins */
	struct prefix address[PAYLOAD_ADDRESSES_MAX];
	unsigned address_count, prefix_count;
	struct allowed_entry *others, second; /* prefixes behind @own: for most it is @second */

	/* session.c */
	struct session *pending[PENDING_MAX], *old[OLD_MAX];
	uint64_t generations, handshakes;
	struct instant up_since, last_success;

	/* initiator.c */
	struct outreach *outreach[OUTREACH_MAX];
	struct outreach *newest; /* the one being sent */
	bool attempting, followed_retry, completed_own;
	unsigned attempts;
	struct instant attempt_ends, init_started, handshake_due, refused_until, response_taken;
	const struct schedule *init_schedule;
	uint8_t init_sent;
	struct cookie cookie;
	struct endpoint cookie_from;
	struct instant cookie_until;
	unsigned remote_workers;
	uint8_t spread; /* session_out(); 0 = not yet drawn */

	/* responder.c */
	uint8_t accepted[ACCEPTED_MAX][EPHEMERAL_BYTES];
	unsigned accepted_next;

	/* liveness.c */
	const struct schedule *ping_schedule;
	struct instant ping_started;
	uint8_t pings_sent;
	struct instant pong_second;
	unsigned pongs;

	/* roaming.c */
	const struct sa_in *candidate_sa; /* compared, never followed */
	uint32_t candidate_sequence;
	bool candidate_spoiled;
	struct instant candidate_rest;
	struct challenge challenge[CHALLENGES_MAX];

	/* elsewhere.c */
	struct instant elsewhere_until;

	/* path.c */
	bool path_proven, path_probing;
	struct instant path_started, path_raise;
	uint8_t path_step, rung_count;
	unsigned best_outer;
	uint8_t rung_ping[RUNGS_MAX][PING_BYTES];
	unsigned rung_outer[RUNGS_MAX];

	/* staging.c */
	struct staged *staged_first, **staged_last;
	unsigned staged;

	/* lanes.c */
	struct peer_lanes *lanes; /* NULL if there are none */
	struct peer *changed_next;
	bool changed;

	char software[SOFTWARE_BYTES];
};

enum { PEER_HOT_BYTES = 3 * LINE_BYTES };
static_assert(offsetof(struct peer, endpoint) == LINE_BYTES &&
		      offsetof(struct peer, due) == 2 * LINE_BYTES &&
		      offsetof(struct peer, verdicts.count[VERDICT_PASS + 1]) == PEER_HOT_BYTES,
	      "three lines of what every packet takes");

/** peer_wake() - something may be due as early as @at */
void peer_wake(struct peer *peer, struct instant at);

/** peer_count() - count a verdict for @peer (or for nobody, NULL) */
void peer_count(struct engine *engine, struct peer *peer, enum verdict verdict);

void peer_event(struct peer *peer, struct engine_event event);

/* ---- the engine ---------------------------------------------------------------------------- */

/**
 * struct staged - a packet that waits
 * @next:          its peer's next, or the next free slot
 * @older, @newer: neighbours among the packets of all peers, by @since
 * @room:          ENVELOPE_HEAD_BYTES, packet, ENVELOPE_TAIL_BYTES
 */
struct staged {
	struct staged *next, *older, *newer;
	struct peer *peer;
	struct instant since;
	size_t bytes;
	uint8_t room[];
};

/** struct near - peers by the remote address of their endpoint; chains through peer->near_next */
struct near {
	struct peer **buckets;
	size_t bucket_count;
};

struct engine {
	struct engine_config config;
	char software[SOFTWARE_BYTES];
	struct verdicts verdicts;

	struct peer *first;
	size_t peer_count;
	struct deadlines deadlines;

	struct spi_table spis;
	struct allowed allowed;
	struct outreach *outreach; /* of all peers */
	struct hints hints;
	struct near near;
	struct budget budget;

	uint8_t cookie_secret[2][32]; /* newest first */
	struct instant cookie_secret_made;
	struct {
		uint8_t ephemeral[8];
		struct endpoint to;
		struct instant last;
	} retry[RETRY_TABLE];
	unsigned retry_next;
	struct instant answered_second; /* Diffie-Hellman for Inits: this many since */
	unsigned answered;

	struct staged *staged_free, *staged_oldest, *staged_newest;
	void *staged_memory;
	size_t staged_room; /* bytes of a slot's room */

	struct instant toobig_window;
	unsigned toobig_answers;

	unsigned lane_count;
	struct lane *lane[PAYLOAD_SPIS_MAX - 1];
	struct peer *changed;     /* of whom the lanes do not know all yet */
	struct verdicts gathered; /* ours and the lanes' */

	uint8_t *scratch; /* one record at a time that the engine makes itself */
	size_t scratch_bytes;
	struct payload answer; /* too large for the stack of every caller */
	struct payload told;
	struct responder responder;
};

/** engine_allocate() - zeroed memory of the shell's; NULL if there is none */
static inline void *engine_allocate(struct engine *engine, size_t bytes)
{
	return engine->config.hooks.allocate(engine->config.hooks.shell, bytes);
}

/** engine_release() - give it back; NULL is nothing */
static inline void engine_release(struct engine *engine, void *memory)
{
	if (memory)
		engine->config.hooks.release(engine->config.hooks.shell, memory);
}

void engine_transmit(struct engine *engine, const struct endpoint *to, const uint8_t *bytes,
		     size_t size, uint8_t tos, bool dont_fragment);
void engine_random(struct engine *engine, void *ret_bytes, size_t n);

/** seal_and_transmit() - seal one payload on @session's next number and send it to @to */
enum verdict seal_and_transmit(struct session *session, uint8_t *payload, size_t bytes,
			       uint8_t next_header, uint8_t tos, const struct endpoint *to,
			       bool dont_fragment);

/** sa_heard() - a packet of @sa verified, whatever is inside; returns whether it promoted its session */
bool sa_heard(struct sa_in *sa, uint32_t sequence, bool newest, const struct endpoint *from,
	      struct instant now);

/** engine_path_headers() - bytes of IP and UDP header in front of a record to @to */
static inline unsigned path_headers(const struct endpoint *to)
{
	return UDP_HEADER_BYTES +
	       (address_is_ipv4(&to->remote) ? IPV4_HEADER_BYTES : IPV6_HEADER_BYTES);
}

/* ---- initiator.c --------------------------------------------------------------------------- */

/**
 * handshake_want() - a handshake is wanted
 * @fault: traffic cannot flow: start at once.  Otherwise not within 5 s of the last success
 */
void handshake_want(struct peer *peer, bool fault, struct instant now);
enum verdict initiator_response(struct engine *engine, const uint8_t *message, size_t bytes,
				struct peer **ret_peer, struct instant now);
enum verdict initiator_retry(struct engine *engine, const uint8_t *message, struct peer **ret_peer,
			     struct instant now);

/** initiator_abandon() - end the attempt and erase the states of all our Inits */
void initiator_abandon(struct peer *peer);

/** initiator_network_changed() - where we are, or the way to the peer, may be another now */
void initiator_network_changed(struct peer *peer, struct instant now);
struct instant initiator_deadline(const struct peer *peer);
void initiator_tick(struct peer *peer, struct instant now);

/**
 * offer_fill() - what every handshake message of ours says of this side; draws SPIs for it
 * @remote_workers: as the other end told
 */
void offer_fill(struct engine *engine, unsigned remote_workers, struct payload *offer);

/** is_forced_down() - do both ends speak a newer version than this one? */
bool is_forced_down(const struct payload *told);

/* ---- responder.c --------------------------------------------------------------------------- */

enum verdict responder_init(struct engine *engine, const uint8_t *message,
			    const struct endpoint *from, struct peer **ret_peer,
			    struct instant now);

/* ---- lanes.c ------------------------------------------------------------------------------- */

/* All of these do nothing where there are no lanes; those that return a bool: false without memory. */
bool lanes_create(struct engine *engine);
void lanes_destroy(struct engine *engine);
bool lanes_grow(struct engine *engine, bool of_prefixes, size_t buckets);
bool lanes_peer_create(struct peer *peer);
void lanes_peer_destroy(struct peer *peer);
bool lanes_peer_own(struct peer *peer, const struct prefix *allowed, unsigned count);
bool lanes_session_begin(struct session *session);
void lanes_session_end(struct session *session);
void lanes_snapshot(const struct peer *peer, struct peer_snapshot *snapshot);

/** peer_changed() - its endpoint, its path or its current session is another now */
void peer_changed(struct peer *peer);

/* ---- liveness.c ---------------------------------------------------------------------------- */

/** liveness_session() - a session became current; @initiated: by our taking a Response */
void liveness_session(struct peer *peer, bool initiated, struct instant now);
void liveness_sent(struct peer *peer, struct instant now);
void liveness_heard(struct peer *peer, struct instant now);
void liveness_network_changed(struct peer *peer, struct instant now);
struct instant liveness_deadline(const struct peer *peer);
void liveness_tick(struct peer *peer, struct instant now);

/**
 * in_band_send() - an in-band message in the current session
 * @pad_to: payload bytes to fill up to with zeros; 0 = none
 */
void in_band_send(struct peer *peer, const struct in_band *message, size_t pad_to,
		  const struct endpoint *to);

/** in_band_send_in() - the same in any session that may be sent in */
void in_band_send_in(struct session *session, const struct in_band *message, size_t pad_to,
		     const struct endpoint *to);

/** in_band_receive() - a dummy packet verified in @session */
enum verdict in_band_receive(struct session *session, const uint8_t *payload, size_t bytes,
			     const struct endpoint *from, struct instant now);

/* ---- near.c -------------------------------------------------------------------------------- */

enum { NEAR_MAX = 32 }; /* so many peers at one address are tried before all */

/** near_put() - @peer is, or is about to be, at @address, and nowhere else; none: nobody knows where */
void near_put(struct peer *peer, const struct address *address);
void near_take(struct peer *peer);
void near_rehash(struct engine *engine, struct peer **buckets, size_t bucket_count);

/** near_first() - peers that may be at @address: the first, then by near_next; compare near_at of each */
struct peer *near_first(const struct engine *engine, const struct address *address);

/* ---- roaming.c ----------------------------------------------------------------------------- */

void roaming_set(struct peer *peer, const struct endpoint *endpoint, struct instant now);

/** roaming_session() - a session became current: numbers of the last one's SA mean nothing in it */
void roaming_session(struct peer *peer);
void roaming_promoted(struct peer *peer, const struct pending *pending, const struct endpoint *from,
		      struct instant now);

/** roaming_packet() - a packet of the current session verified; @newest: above all numbers of its SA */
void roaming_packet(struct peer *peer, const struct sa_in *sa, uint32_t sequence, bool newest,
		    const struct endpoint *from, struct instant now);
void roaming_pong(struct peer *peer, const uint8_t bytes[PING_BYTES], const struct endpoint *from,
		  struct instant now);
struct instant roaming_deadline(const struct peer *peer);
void roaming_tick(struct peer *peer, struct instant now);

/* ---- elsewhere.c --------------------------------------------------------------------------- */

/** elsewhere_packet() - a packet of @session verified; may erase it */
void elsewhere_packet(struct session *session, bool newest, const struct endpoint *from,
		      struct instant now);

/** elsewhere_refuses() - is the key in use by another machine than the one that asks from @from? */
bool elsewhere_refuses(struct peer *peer, const struct endpoint *from, struct instant now);

/* ---- path.c -------------------------------------------------------------------------------- */

unsigned path_inner_mtu(const struct peer *peer);
void path_forget(struct peer *peer);

/** path_agreed() - a handshake settled the largest inner packet that both ends want */
void path_agreed(struct peer *peer, unsigned inner_mtu);
void path_start(struct peer *peer, struct instant now);
void path_learned(struct peer *peer, unsigned mtu_outer, struct instant now);
void path_pong(struct peer *peer, const uint8_t bytes[PING_BYTES], struct instant now);
struct instant path_deadline(const struct peer *peer);
void path_tick(struct peer *peer, struct instant now);

/** path_too_big() - deal with an inner packet larger than path_inner_mtu() */
enum verdict path_too_big(struct peer *peer, const uint8_t *packet, const struct inner *inner,
			  struct instant now);

/* ---- staging.c ----------------------------------------------------------------------------- */

bool staging_prepare(struct engine *engine);
enum verdict staging_put(struct peer *peer, const uint8_t *packet, size_t bytes,
			 struct instant now);
void staging_flush(struct peer *peer, struct instant now);
void staging_drop(struct peer *peer);
struct instant staging_deadline(const struct peer *peer);
void staging_tick(struct peer *peer, struct instant now);

/* ---- datagrams in, of the engine and of lanes ---------------------------------------------- */

/**
 * inbound_opening() - note the sequence number of a record and ask whether it may still be received
 * @d:           of at least ENVELOPE_MIN_BYTES
 * @replay:      of the SA that it names
 * @key:         likewise; outlives @ret_opening
 * @ret_opening: set on VERDICT_PASS
 *
 * Return: VERDICT_PASS or VERDICT_REPLAYED
 */
static inline enum verdict inbound_opening(struct inbound *d, const struct replay *replay,
					   const struct sa_key *key, struct opening *ret_opening)
{
	be32 sequence;

	memcpy(&sequence, d->datagram + offsetof(struct envelope_header, sequence),
	       sizeof(sequence));
	d->sequence = be32_to(sequence);
	if (!replay_would_accept(replay, d->sequence))
		return VERDICT_REPLAYED;
	*ret_opening =
		(struct opening){ .record = d->datagram, .record_bytes = d->bytes, .key = key };
	return VERDICT_PASS;
}

#endif
