/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "run/further.h"

#include "io/udp.h"
#include "log.h"
#include "minivpn/lane.h"
#include "scope.h"

#include <errno.h>
#include <sched.h>
#include <string.h>

unsigned further_wanted(const struct tunnel *tunnel)
{
	cpu_set_t ours;
	int count = 1;

	if (tunnel->workers > 0)
		return tunnel->workers;
	if (sched_getaffinity(0, sizeof(ours), &ours) == 0)
		count = CPU_COUNT(&ours);
	return count < WORKERS_MAX ? (unsigned)count : WORKERS_MAX;
}

static int open_socket(const struct tunnel *tunnel, int first, struct steward *steward,
		       uint32_t buffer_bytes, int *ret_fd)
{
	return steward_open_udp(steward, &tunnel->bind_address, udp_local_port(first), true,
				buffer_bytes, ret_fd);
}

static int steer(const struct further *further, int first)
{
	int fds[WORKERS_MAX] = { first };

	memcpy(fds + 1, further->udp, sizeof(further->udp));
	return udp_steer(fds, further->workers, spi_worker_mask(further->workers));
}

void further_open(struct further *further, unsigned workers, const struct tunnel *tunnel,
		  const struct tun *tun, int udp, const struct aead *aead, struct steward *steward,
		  uint32_t buffer_bytes)
{
	const char *what = "sockets that share a port";
	int error = workers > 1 ? udp_share(udp) : 0;

	further->workers = workers;
	for (unsigned i = 0; i < WORKERS_MAX - 1; i++) {
		further->tun[i] = (struct tun){ .fd = -1 };
		further->udp[i] = -1;
	}
	for (unsigned i = 0; i + 1 < workers && !error; i++) {
		what = "queues of the device";
		error = tun_open(tun->name, workers, &further->tun[i]);
		if (error)
			break;
		what = "sockets that share a port";
		error = open_socket(tunnel, udp, steward, buffer_bytes, &further->udp[i]);
		if (error)
			break;
		what = "the AEAD";
		error = aead_choose(aead->name, &further->aead[i]);
	}
	if (!error && workers > 1) {
		what = "steering between sockets";
		error = steer(further, udp);
	}
	if (!error)
		return;
	log_warning("tunnel: one worker instead of %u: %s: %s", workers, what, strerror(-error));
	further_close(further);
	further->workers = 1;
}

int further_equip(struct further *further, struct worker_config *ret_config)
{
	for (unsigned i = 0; i + 1 < further->workers; i++) {
		struct worker_further *w = &ret_config->further[i];
		int error = udp_start(further->udp[i], &w->transport);

		if (error)
			return error;
		further->udp[i] = -1;
		w->tun = further->tun[i];
		further->tun[i] = (struct tun){ .fd = -1 };
		w->aead_context = further->aead[i].context;
	}
	return 0;
}

void further_close(struct further *further)
{
	for (unsigned i = 0; i + 1 < further->workers; i++) {
		tun_close(&further->tun[i]);
		close_fd(&further->udp[i]);
		further->udp[i] = -1;
		aead_choice_drop(&further->aead[i]);
	}
	further->workers = 0;
}
