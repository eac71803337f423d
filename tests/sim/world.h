/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A world for engines: a virtual clock, a bad network, an attacker on it, and machines that lose their
 * memory, their address or their time.  Everything follows from one seed.
 */
#ifndef TESTS_SIM_WORLD_H
#define TESTS_SIM_WORLD_H

#include "minivpn/engine.h"
#include "minivpn/lane.h"

#include "watch.h"

enum {
	SERVER = 0, /* machine 0; the clients follow */
	CLIENTS_MAX = 4,
	MACHINES_MAX = CLIENTS_MAX + 1,
	DATAGRAM_MAX = 2048,
	RECORDED_MAX = 256,
	BURST_MAX = 150,
	WORKERS_MAX = 3,
	RARELY = 10000, /* what chances are counted in */
};

/**
 * struct network - how bad it is
 * @loss, @duplicate, @corrupt: chances of each datagram
 * @attack:   chance that the attacker does something when he sees a datagram
 * @race:     all that clients send arrives from the attacker's address first
 * @delay_ms, @jitter_ms: one way; jitter reorders
 * @outage:   nothing passes
 * @limit:    larger IP packets with Don't Fragment are lost without a word; 0 = none
 */
struct network {
	unsigned loss, duplicate, corrupt, attack;
	unsigned delay_ms, jitter_ms;
	bool outage, race;
	unsigned limit;
};

/**
 * struct machine - a server or client
 * @engine:  NULL while it does not run
 * @asleep:  neither clock nor network reach it
 * @address: by which the world sees it
 * @key:     the client whose key and inner address it has: usually itself
 * @peer:    server: by the client's number; client: [SERVER]
 * @file:    server: its endpoint file
 * @answered: how many replies it has got
 * @events:  how many of each kind
 * @answers, @answer_most: what it sent during the last engine_inbound(), and the largest of that
 * @ticks, @ticks_since: engine_tick() calls since; nothing may make it spin
 * @workers: its engine, and a lane for each further one (crew.c)
 * @orders:  not yet followed, by worker; @ending: they are to be at once
 * @reports: of lanes, not yet taken in; @report_count of them
 */
struct machine {
	struct world *world;
	unsigned number;
	enum role role;
	struct engine *engine;
	bool asleep;
	struct endpoint address;
	unsigned key;
	struct peer *peer[MACHINES_MAX];
	struct endpoint file[MACHINES_MAX];
	unsigned long events[EVENT_KIND_COUNT];
	unsigned long answered;
	unsigned answers;
	size_t answer_most;
	unsigned ticks;
	struct instant ticks_since;
	unsigned workers;
	struct lane_order *orders[WORKERS_MAX];
	bool ending;
	struct sent_report *reports;
	unsigned report_count;
};

/** enum honesty - what may be expected of a datagram */
enum honesty {
	HONEST, /* as it was sent, once or again, from wherever */
	FORGED, /* no key holder made it for whom it reaches: it must have no effect at all */
};

struct datagram {
	struct endpoint from, to;
	enum honesty honesty;
	bool df;
	size_t bytes;
	uint8_t data[DATAGRAM_MAX];
};

/**
 * struct packet - an inner packet as the ledger knows it
 * @from, @to: whose inner addresses it has; machines with one key share theirs
 * @about:     a reply: number of the packet it answers
 * @spoofed:   its inner source is not its sender's: it must not arrive
 */
struct packet {
	struct instant sent;
	uint8_t from, to;
	bool delivered, spoofed;
	uint16_t bytes;
	uint32_t about;
};

enum happening_kind { HAPPENS_DATAGRAM, HAPPENS_TRAFFIC };

struct happening {
	struct instant at;
	uint64_t order;
	enum happening_kind kind;
	unsigned client;
	struct datagram *datagram;
};

/** struct traffic - who asks whom how often; every request that arrives is answered */
struct traffic {
	unsigned period_ms; /* 0 = nobody */
	bool client_asks, server_asks;
	unsigned bytes;
};

struct world {
	const char *scenario;
	uint64_t seed, random;
	bool trace;
	struct instant now;
	struct watch watch;
	struct network network;
	unsigned clients;
	struct machine machine[MACHINES_MAX];
	struct psk psk[MACHINES_MAX];
	struct traffic traffic[MACHINES_MAX];
	struct endpoint attacker;
	struct datagram *recorded[RECORDED_MAX];
	unsigned recorded_count;

	struct happening *queue;
	size_t queued, queue_room;
	uint64_t order;

	struct packet *ledger;
	size_t packets, ledger_room;
	unsigned long delivered;

	struct instant echo_since; /* a request sent from here on ... */
	struct instant echoed;     /* ... was answered; INSTANT_NEVER = not yet */
	unsigned echo_client;
	unsigned keepalive_s;
};

void world_begin(struct world *world, const char *scenario, uint64_t seed, unsigned clients,
		 bool trace);

/** world_end() - stop everybody, and see that nothing is left */
void world_end(struct world *world);

/** world_run() - let @ns pass */
void world_run(struct world *world, int64_t ns);

/** world_chance() - true in @n of RARELY cases; world_below() - a number below @n */
bool world_chance(struct world *world, unsigned n);
uint32_t world_below(struct world *world, uint32_t n);

/** machine_copies_key() - before it starts: @machine has the key of client @of, too */
void machine_copies_key(struct machine *machine, unsigned of);

/** machine_start() - always finds memory, whatever becomes of it later */
void machine_start(struct machine *machine);

/** machine_kill() - end without a word; machine_stop() - say Close first */
void machine_kill(struct machine *machine);
void machine_stop(struct machine *machine, enum close_reason reason);

/** machine_move() - another address, or only another port */
void machine_move(struct machine *machine, bool port_only);

/** machine_sleep(), machine_wake() - suspend; @told: the shell notices and tells the engine */
void machine_sleep(struct machine *machine);
void machine_wake(struct machine *machine, bool told);

/** crew_order() - the engine's hook */
void crew_order(void *shell, unsigned worker, struct lane_order *order);

/** crew_start() - the engine has been made; crew_end() - it is about to be destroyed */
void crew_start(struct machine *machine);
void crew_end(struct machine *machine);

/** crew_outbound(), crew_inbound() - as the engine's own, at the worker that it falls to */
void crew_outbound(struct machine *machine, struct outbound *packets, unsigned n, unsigned flow);
void crew_inbound(struct machine *machine, struct inbound *in, size_t n);

/** crew_settle() - what is on its way between engine and lanes; @orders: to the lanes as well */
void crew_settle(struct machine *machine, bool orders);

/** world_traffic() - from now on client @client and the server talk */
void world_traffic(struct world *world, unsigned client, struct traffic traffic);

/** send_packets() - @count packets of @bytes each, given to the engine in one call */
void send_packets(struct world *world, unsigned from, unsigned to, unsigned count, unsigned bytes);

/** send_spoofed() - a packet from client @from with the inner source of another */
void send_spoofed(struct world *world, unsigned from);

/** world_attack() - the attacker does one thing */
void world_attack(struct world *world);

/** world_inject() - @datagram once more, at once; @moved: from the attacker's own address */
void world_inject(struct world *world, const struct datagram *datagram, bool moved);

bool machine_is_up(const struct machine *machine, unsigned with);
struct peer_snapshot machine_snapshot(const struct machine *machine, unsigned with);

#endif
