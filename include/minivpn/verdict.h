/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The closed list of what can become of a packet or datagram.  Every refusal in the core is one of
 * these, and every one of these is a counter that `minivpn status` shows: there is no drop that
 * is not counted, and no second place where drops are counted.
 */
#ifndef MINIVPN_VERDICT_H
#define MINIVPN_VERDICT_H

#include <stdint.h>

/* X(constant, name in JSON and logs, words for people) */
#define VERDICTS(X)                                                                             \
	/* what is not a refusal */                                                             \
	X(PASS, "pass", "passed")                                                               \
	X(CONSUMED, "consumed", "control traffic taken in")                                     \
	X(STAGED, "staged", "waiting for a session")                                            \
	X(HANDED_OVER, "handed-over", "given to another worker")                                \
	X(NAT_KEEPALIVE, "nat-keepalive", "NAT keepalive")                                      \
	/* the outer datagram */                                                                \
	X(TRUNCATED, "truncated", "shorter than any message")                                   \
	X(MALFORMED, "malformed", "control message of wrong length, version or type")           \
	X(WRONG_REMOTE, "wrong-remote", "not from the server's address")                        \
	X(UNKNOWN_SPI, "unknown-spi", "names no session of ours")                               \
	X(REPLAYED, "replayed", "already received, or too old to tell")                         \
	X(FORGED, "forged", "does not verify")                                                  \
	X(BAD_PADDING, "bad-padding", "authentic, but the ESP trailer is wrong")                \
	X(ECN_DROPPED, "ecn-dropped", "congestion mark that the inner packet cannot carry")     \
	X(EXPIRED, "expired", "session too old or used up")                                     \
	X(FOREIGN_DUMMY, "foreign-dummy", "dummy packet that is not ours")                      \
	X(IN_BAND_MALFORMED, "in-band-malformed", "in-band message that cannot be read")        \
	/* the handshake */                                                                     \
	X(UNKNOWN_KEY, "unknown-key", "handshake that fits none of our keys")                   \
	X(DUPLICATE_INIT, "duplicate-init", "handshake message seen before")                    \
	X(UNWANTED_INIT, "unwanted-init", "handshake while we have one of our own under way")   \
	X(STALE_RESPONSE, "stale-response", "answer to no handshake of ours")                   \
	X(BAD_PAYLOAD, "bad-payload", "authentic handshake with unreadable items")              \
	X(UNKNOWN_ITEM, "unknown-item", "handshake with a critical item we do not know")        \
	X(IMPOSSIBLE_ITEM, "impossible-item", "configuration entry that cannot be used")        \
	X(DOWNGRADED, "downgraded", "both ends speak a newer version: forced down")             \
	X(REFUSED, "refused", "the other end refuses, and says why")                            \
	X(KEY_ELSEWHERE, "key-elsewhere", "handshake with a key that another machine is using") \
	X(RETRIED, "retried", "asked to prove the return address")                              \
	X(OVERLOAD, "overload", "over the budget for handshakes")                               \
	/* the inner packet */                                                                  \
	X(NOT_IP, "not-ip", "inner packet is not IPv4 or IPv6, or its header is wrong")         \
	X(BAD_OFFLOAD, "bad-offload", "the tun header does not fit its packet")                 \
	X(WRONG_SOURCE, "wrong-source", "inner source does not belong to that peer")            \
	X(NO_ROUTE, "no-route", "no peer owns the destination")                                 \
	X(TOO_BIG, "too-big", "larger than the path; the sender was told")                      \
	X(QUEUE_FULL, "queue-full", "pushed out while waiting for a session")                   \
	X(NO_SESSION, "no-session", "no session to send on")                                    \
	/* the machine */                                                                       \
	X(SEND_FAILED, "send-failed", "the kernel would not send it")                           \
	X(SOCKET_FULL, "socket-full", "socket buffer full")                                     \
	X(RECEIVE_FULL, "receive-full", "receive buffer full (merged datagrams count as one)")  \
	X(TUN_FAILED, "tun-failed", "the tun device would not take it")                         \
	X(NO_MEMORY, "no-memory", "out of memory")

enum verdict {
#define X(constant, name, words) VERDICT_##constant,
	VERDICTS(X)
#undef X
		VERDICT_COUNT
};

/** verdict_name() - the verdict's name as JSON and logs use it: lower case, hyphens */
const char *verdict_name(enum verdict v);

/** verdict_words() - the verdict in words for people: no capital, no full stop */
const char *verdict_words(enum verdict v);

/** struct verdicts - one counter for each verdict, all from zero */
struct verdicts {
	uint64_t count[VERDICT_COUNT];
};

#endif
