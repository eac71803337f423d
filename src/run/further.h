/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What workers beside the first one need: queues of the device, sockets of the port with the kernel
 * steering between them, AEAD contexts.  A kernel that refuses any of it leaves one worker.
 */
#ifndef RUN_FURTHER_H
#define RUN_FURTHER_H

#include "aead/choose.h"
#include "host/steward.h"
#include "run/tunnel.h"
#include "run/worker.h"

/**
 * struct further - what they need; by number of the worker, the first one's left out
 * @workers: how many there are, with the first; 0 before further_open()
 */
struct further {
	unsigned workers;
	struct tun tun[WORKERS_MAX - 1];
	int udp[WORKERS_MAX - 1];
	struct aead_choice aead[WORKERS_MAX - 1];
};

/** further_wanted() - how many workers the tunnel wants: as many as CPUs that we may use, if it says so */
unsigned further_wanted(const struct tunnel *tunnel);

/**
 * further_open() - open it all, or nothing, and then say why there is but one worker
 * @workers: how many there are to be, with the first
 * @tun:     the first one's queue, of a device with so many
 * @udp:     the first one's socket
 * @aead:    the back-end in use
 *
 * Needs rights.
 */
void further_open(struct further *further, unsigned workers, const struct tunnel *tunnel,
		  const struct tun *tun, int udp, const struct aead *aead, struct steward *steward,
		  uint32_t buffer_bytes);

/**
 * further_equip() - make transports of the sockets, and hand everything over
 * @ret_config: its @further
 *
 * What was handed over is worker_open()'s, or, if that fails, ends with the process.
 * Return: 0 or negative errno
 */
int further_equip(struct further *further, struct worker_config *ret_config);

/** further_close() - close what was not handed over, and end the contexts, which nobody uses any more */
void further_close(struct further *further);

#endif
