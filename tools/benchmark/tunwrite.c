/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * bench-tunwrite - what it costs to put packets into a tun device one by one: by a system call each,
 * or by many requests to io_uring in one call.  For packets that cannot be joined: many flows of
 * few packets, ACKs without payload.
 *
 *	bench-tunwrite [SINK [BYTES [BATCH [ROUNDS]]]]
 *
 *	SINK	what becomes of the packets:
 *		forward	they leave by a veth device (if not given)
 *		drop	a blackhole route takes them
 *		here	a UDP socket takes them; its owner runs on the same core as the writer
 *		apart	the same, on another core
 *		napi	as forward, the tun device opened with IFF_NAPI
 *	BYTES	length of a packet with its IP header, 28 to 1500 (64)
 *	BATCH	how many are written in one call, where that can be, at most 64 (64)
 *	ROUNDS	how often each way gets its turn, one after the other, for 4 ms (151)
 *
 * Needs root; works in a network namespace of its own, which goes with it.  The writer runs on core
 * 0.  Printed are medians (and quartiles) of the writer's processor time a packet, which holds all
 * that the kernel does with the packet before the call returns, and how often the writer had to
 * yield its core.  An otherwise idle machine gives the same figures again; a busy one only ratios.
 */
#include "minivpn/checksum.h"
#include "minivpn/offload.h"
#include "minivpn/wire.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <linux/io_uring.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdalign.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
	PACKETS = 64, /* as many flows, of one packet each */
	SLOT_BYTES = 2048,
	IPV4_BYTES = 20,
	UDP_BYTES = 8,
	PACKET_MIN_BYTES = IPV4_BYTES + UDP_BYTES,
	PACKET_MAX_BYTES = 1500,
	PORT = 7001,
	FIRST_PORT = 20000,
	ROUNDS_MAX = 999,
	ROUND_NS = 4000000,
	WARM_UP = 16, /* times all packets, before the clock is read */
	REPEAT = 8,   /* likewise, between two looks at the clock */
	BUFFER_BYTES = 8 << 20,
};

/* The receiving machine, and addresses behind it. */
#define OURS    "10.98.0.1"
#define REMOTE  "10.98.0.2"
#define FAR_OFF "10.97.0.1"

/**
 * struct ring - an io_uring instance
 * @fd:         the instance, -1 if there is none; @enter_fd: what io_uring_enter() is given
 * @enter:      flags for io_uring_enter()
 * @submitted, @seen, @completed: the queues' indices, shared with the kernel
 * @submission, @completion: the queues, of which the sizes are powers of 2
 */
struct ring {
	int fd, enter_fd;
	unsigned enter;
	unsigned *submitted, *seen, *completed;
	unsigned submission_mask, completion_mask;
	struct io_uring_sqe *submission;
	struct io_uring_cqe *completion;
};

enum call { NOTHING, WRITEV, WRITE, RING };

/**
 * struct way - one way to write, and what it cost
 * @operation:  RING: an IORING_OP_
 * @setup:      RING: IORING_SETUP_ flags
 * @registered: RING: the tun device is a registered file, and success is not reported
 * @ns:         a packet, in each round
 * @yields:     how often the writer lost its core, to whoever was woken by what it wrote
 */
struct way {
	const char *name;
	enum call call;
	uint8_t operation;
	unsigned setup;
	bool registered;
	struct ring ring;
	double ns[ROUNDS_MAX];
	uint64_t yields, packets;
};

enum { TUNED = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN };

static struct way ways[] = {
	{ .name = "no write: getppid()" },
	{ .name = "writev()", .call = WRITEV },
	{ .name = "write(), header in front", .call = WRITE },
	{ .name = "io_uring WRITEV", .call = RING, .operation = IORING_OP_WRITEV },
	{ .name = "io_uring WRITEV, tuned",
	  .call = RING,
	  .operation = IORING_OP_WRITEV,
	  .setup = TUNED,
	  .registered = true },
	{ .name = "io_uring WRITE, tuned",
	  .call = RING,
	  .operation = IORING_OP_WRITE,
	  .setup = TUNED,
	  .registered = true },
	{ .name = "io_uring WRITE_FIXED, tuned",
	  .call = RING,
	  .operation = IORING_OP_WRITE_FIXED,
	  .setup = TUNED,
	  .registered = true },
	{ .name = "io_uring WRITE_FIXED, coop.",
	  .call = RING,
	  .operation = IORING_OP_WRITE_FIXED,
	  .setup = IORING_SETUP_COOP_TASKRUN,
	  .registered = true },
};
enum { WAYS = sizeof(ways) / sizeof(*ways) };

static int tun;
static size_t packet_bytes = 64;
static unsigned batch = 64, rounds = 151;
static uint64_t refused;

/* Each packet with its struct offload directly in front, and the two as writev() takes them. */
static alignas(4096) uint8_t room[PACKETS * SLOT_BYTES];
static struct offload header;
static struct iovec pieces[PACKETS][2];

static _Noreturn void fail(const char *what)
{
	fprintf(stderr, "bench-tunwrite: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void run(const char *command)
{
	const char *const words[] = { "sh", "-c", command, NULL };
	pid_t shell;
	int status;

	if (posix_spawnp(&shell, "sh", NULL, NULL, (char *const *)words, environ) != 0 ||
	    waitpid(shell, &status, 0) != shell || status != 0) {
		fprintf(stderr, "bench-tunwrite: failed: %s\n", command);
		exit(1);
	}
}

static int64_t ns_of(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
}

static void stay_on(unsigned core)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(core, &set);
	if (sched_setaffinity(0, sizeof(set), &set) < 0)
		fail("sched_setaffinity");
}

static void open_tun(short flags)
{
	struct ifreq request = { .ifr_flags = (short)(IFF_TUN | IFF_NO_PI | IFF_VNET_HDR | flags),
				 .ifr_name = "bench" };
	unsigned long offloads = TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN;

	tun = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);
	if (tun < 0 || ioctl(tun, TUNSETIFF, &request) < 0)
		fail("tun");
	if (ioctl(tun, TUNSETOFFLOAD, offloads) < 0)
		fail("TUNSETOFFLOAD");
	run("ip link set lo up; ip link set bench mtu 1500 up; ip address add " OURS
	    "/24 dev bench; sysctl -q -w net.ipv4.ip_forward=1");
}

static void make_packet(uint8_t *packet, unsigned flow, const char *to)
{
	uint8_t *udp = packet + IPV4_BYTES;

	packet[0] = 0x45;
	wire_put_u16(packet + 2, (uint16_t)packet_bytes);
	packet[8] = 64; /* TTL */
	packet[9] = IPPROTO_UDP;
	inet_pton(AF_INET, REMOTE, packet + 12);
	inet_pton(AF_INET, to, packet + 16);
	checksum_ipv4_header(packet);
	wire_put_u16(udp, (uint16_t)(FIRST_PORT + flow));
	wire_put_u16(udp + 2, PORT);
	wire_put_u16(udp + 4, (uint16_t)(packet_bytes - IPV4_BYTES));
}

static void make_packets(const char *to)
{
	for (unsigned i = 0; i < PACKETS; i++) {
		uint8_t *packet = room + i * SLOT_BYTES + sizeof(header);

		make_packet(packet, i, to);
		pieces[i][0] = (struct iovec){ &header, sizeof(header) };
		pieces[i][1] = (struct iovec){ packet, packet_bytes };
	}
}

static void register_all(const struct ring *ring)
{
	struct iovec buffer = { room, sizeof(room) };

	if (syscall(SYS_io_uring_register, ring->fd, IORING_REGISTER_FILES, &tun, 1) < 0)
		fail("IORING_REGISTER_FILES");
	if (syscall(SYS_io_uring_register, ring->fd, IORING_REGISTER_BUFFERS, &buffer, 1) < 0)
		fail("IORING_REGISTER_BUFFERS");
}

/* The instance as a descriptor of its own kind, which io_uring_enter() finds faster. */
static void register_ring(struct ring *ring)
{
	struct io_uring_rsrc_update update = { .offset = -1U, .data = (uint64_t)ring->fd };

	if (syscall(SYS_io_uring_register, ring->fd, IORING_REGISTER_RING_FDS, &update, 1) != 1)
		return;
	ring->enter_fd = (int)update.offset;
	ring->enter |= IORING_ENTER_REGISTERED_RING;
}

/* Returns 0 or negative errno if this kernel has no such instance, or not for us. */
static int open_ring(struct ring *ring, unsigned setup)
{
	struct io_uring_params params = { .flags = setup };
	size_t bytes;
	uint8_t *rings;

	ring->fd = ring->enter_fd = (int)syscall(SYS_io_uring_setup, PACKETS, &params);
	if (ring->fd < 0)
		return -errno;
	bytes = params.cq_off.cqes + params.cq_entries * sizeof(struct io_uring_cqe);
	if (bytes < params.sq_off.array + params.sq_entries * sizeof(unsigned))
		bytes = params.sq_off.array + params.sq_entries * sizeof(unsigned);
	rings = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, ring->fd,
		     IORING_OFF_SQ_RING);
	ring->submission =
		mmap(NULL, params.sq_entries * sizeof(*ring->submission), PROT_READ | PROT_WRITE,
		     MAP_SHARED | MAP_POPULATE, ring->fd, IORING_OFF_SQES);
	if (rings == MAP_FAILED || ring->submission == MAP_FAILED)
		fail("mmap");
	ring->submitted = (void *)(rings + params.sq_off.tail);
	ring->seen = (void *)(rings + params.cq_off.head);
	ring->completed = (void *)(rings + params.cq_off.tail);
	ring->completion = (void *)(rings + params.cq_off.cqes);
	ring->submission_mask = params.sq_entries - 1;
	ring->completion_mask = params.cq_entries - 1;
	for (unsigned i = 0; i < params.sq_entries; i++)
		((unsigned *)(void *)(rings + params.sq_off.array))[i] = i;
	if (setup & IORING_SETUP_DEFER_TASKRUN)
		ring->enter |= IORING_ENTER_GETEVENTS;
	register_all(ring);
	register_ring(ring);
	return 0;
}

static void prepare(const struct way *way, struct io_uring_sqe *request, unsigned i)
{
	*request = (struct io_uring_sqe){ .opcode = way->operation, .fd = tun };
	if (way->registered) {
		request->fd = 0; /* of the registered files */
		request->flags = IOSQE_FIXED_FILE | IOSQE_CQE_SKIP_SUCCESS;
	}
	if (way->operation == IORING_OP_WRITEV) {
		request->addr = (uintptr_t)pieces[i];
		request->len = 2;
	} else {
		request->addr = (uintptr_t)(room + i * SLOT_BYTES);
		request->len = (unsigned)(sizeof(header) + packet_bytes);
	}
}

static void take_answers(struct ring *ring)
{
	unsigned seen = *ring->seen, end = __atomic_load_n(ring->completed, __ATOMIC_ACQUIRE);

	for (; seen != end; seen++)
		if (ring->completion[seen & ring->completion_mask].res < 0)
			refused++;
	__atomic_store_n(ring->seen, seen, __ATOMIC_RELEASE);
}

/* All of it is done when this returns: such a write never has to wait. */
static void write_by_ring(struct way *way)
{
	struct ring *ring = &way->ring;

	for (unsigned i = 0; i < PACKETS;) {
		unsigned at = *ring->submitted, n = 0;

		for (; n < batch && i < PACKETS; n++, i++)
			prepare(way, &ring->submission[(at + n) & ring->submission_mask], i);
		__atomic_store_n(ring->submitted, at + n, __ATOMIC_RELEASE);
		if (syscall(SYS_io_uring_enter, ring->enter_fd, n, 0, ring->enter, NULL, 0) !=
		    (long)n)
			fail("io_uring_enter");
		take_answers(ring);
	}
}

static void write_packets(struct way *way)
{
	if (way->call == RING) {
		write_by_ring(way);
		return;
	}
	for (unsigned i = 0; i < PACKETS; i++) {
		long done = 0;

		if (way->call == NOTHING)
			done = syscall(SYS_getppid);
		else if (way->call == WRITEV)
			done = writev(tun, pieces[i], 2);
		else
			done = write(tun, room + i * SLOT_BYTES, sizeof(header) + packet_bytes);
		if (done < 0)
			refused++;
	}
}

static uint64_t yields(void)
{
	struct rusage usage;

	getrusage(RUSAGE_THREAD, &usage);
	return (uint64_t)usage.ru_nivcsw;
}

static void measure(struct way *way, unsigned round)
{
	int64_t end, start_ns;
	uint64_t packets = 0, before;

	for (unsigned i = 0; i < WARM_UP; i++)
		write_packets(way);
	before = yields();
	end = ns_of(CLOCK_MONOTONIC) + ROUND_NS;
	start_ns = ns_of(CLOCK_THREAD_CPUTIME_ID);
	do {
		for (unsigned i = 0; i < REPEAT; i++)
			write_packets(way);
		packets += (uint64_t)REPEAT * PACKETS;
	} while (ns_of(CLOCK_MONOTONIC) < end);
	way->ns[round] = (double)(ns_of(CLOCK_THREAD_CPUTIME_ID) - start_ns) / (double)packets;
	way->yields += yields() - before;
	way->packets += packets;
}

static _Noreturn void take_packets(unsigned core)
{
	struct sockaddr_in any = { .sin_family = AF_INET, .sin_port = htons(PORT) };
	int fd = socket(AF_INET, SOCK_DGRAM, 0), size = BUFFER_BYTES;
	static uint8_t space[PACKETS][SLOT_BYTES];
	static struct mmsghdr messages[PACKETS];
	static struct iovec parts[PACKETS];

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	stay_on(core);
	setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size));
	if (bind(fd, (struct sockaddr *)&any, sizeof(any)) < 0)
		fail("bind");
	for (unsigned i = 0; i < PACKETS; i++) {
		parts[i] = (struct iovec){ space[i], SLOT_BYTES };
		messages[i].msg_hdr = (struct msghdr){ .msg_iov = &parts[i], .msg_iovlen = 1 };
	}
	for (;;) {
		struct pollfd waiting = { .fd = fd, .events = POLLIN };

		poll(&waiting, 1, -1);
		while (recvmmsg(fd, messages, PACKETS, MSG_DONTWAIT, NULL) > 0)
			;
	}
}

/* Returns the process that takes the packets, 0 if none does. */
static pid_t make_sink(const char *sink)
{
	bool here = strcmp(sink, "here") == 0, apart = strcmp(sink, "apart") == 0;
	pid_t child = 0;

	if (here || apart) {
		make_packets(OURS);
		child = fork();
		if (child < 0)
			fail("fork");
		if (child == 0)
			take_packets(apart);
		usleep(200000); /* until its socket is bound */
		return child;
	}
	make_packets(FAR_OFF);
	if (strcmp(sink, "drop") == 0)
		run("ip route add blackhole " FAR_OFF);
	else
		run("ip link add out type veth peer name far; ip link set out up; "
		    "ip link set far up; ip address add 10.97.0.2/24 dev out; "
		    "ip neighbour add " FAR_OFF " lladdr 02:00:00:00:00:01 dev out");
	return child;
}

static int compare(const void *a, const void *b)
{
	const double *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

static void print(struct way *way)
{
	qsort(way->ns, rounds, sizeof(*way->ns), compare);
	printf("%-28s %6.0f ns  (%.0f to %.0f)  %8.4f\n", way->name, way->ns[rounds / 2],
	       way->ns[rounds / 4], way->ns[rounds * 3 / 4],
	       (double)way->yields / (double)way->packets);
}

/* Those that this kernel has no ring for are left out. */
static size_t open_rings(void)
{
	size_t kept = 0;

	for (size_t i = 0; i < WAYS; i++) {
		int error = ways[i].call == RING ? open_ring(&ways[i].ring, ways[i].setup) : 0;

		if (error)
			printf("%s: %s\n", ways[i].name, strerror(-error));
		else
			ways[kept++] = ways[i];
	}
	return kept;
}

static unsigned number(char **argv, int argc, int i, unsigned least, unsigned most, unsigned other)
{
	unsigned long value = i < argc ? strtoul(argv[i], NULL, 10) : other;

	if (value < least || value > most) {
		fprintf(stderr, "bench-tunwrite: %s: %u to %u\n", argv[i], least, most);
		exit(2);
	}
	return (unsigned)value;
}

static bool is_sink(const char *word)
{
	static const char *const sinks[] = { "forward", "drop", "here", "apart", "napi" };

	for (size_t i = 0; i < sizeof(sinks) / sizeof(*sinks); i++)
		if (strcmp(word, sinks[i]) == 0)
			return true;
	return false;
}

int main(int argc, char **argv)
{
	const char *sink = argc > 1 ? argv[1] : "forward";
	struct utsname system;
	size_t n;
	pid_t child;

	if (argc > 5 || !is_sink(sink)) {
		fputs("usage: bench-tunwrite [forward|drop|here|apart|napi [BYTES [BATCH "
		      "[ROUNDS]]]]; see the head of its source\n",
		      stderr);
		return 2;
	}
	packet_bytes = number(argv, argc, 2, PACKET_MIN_BYTES, PACKET_MAX_BYTES, 64);
	batch = number(argv, argc, 3, 1, PACKETS, PACKETS);
	rounds = number(argv, argc, 4, 1, ROUNDS_MAX, 151);
	if (unshare(CLONE_NEWNET) < 0)
		fail("a network namespace");
	open_tun(strcmp(sink, "napi") == 0 ? IFF_NAPI : 0);
	child = make_sink(sink);
	stay_on(0);
	n = open_rings();
	for (unsigned round = 0; round < rounds; round++)
		for (size_t i = 0; i < n; i++)
			measure(&ways[i], round);
	uname(&system);
	printf("Linux %s, %s, %zu bytes, %u in a call, %u rounds\n\n%-28s %9s  %s  %s\n",
	       system.release, sink, packet_bytes, batch, rounds, "", "a packet", "(quartiles)",
	       "yields a packet");
	for (size_t i = 0; i < n; i++)
		print(&ways[i]);
	if (refused > 0)
		printf("refused: %lu\n", refused);
	if (child > 0)
		kill(child, SIGKILL);
	return refused > 0;
}
