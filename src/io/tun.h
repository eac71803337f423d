/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The tun device: open it, read and write packets.  Each packet goes with a struct offload that says
 * whether it is a super-packet and whether its checksum is still to be completed.  Addresses, link
 * state and MTU are arranged elsewhere (host/).
 */
#ifndef IO_TUN_H
#define IO_TUN_H

#include "minivpn/offload.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

enum {
	TUN_NAME_BYTES = 16, /* IFNAMSIZ */
	TUN_QUEUES_MAX = 16, /* that one reader has */
};

/**
 * struct tun - a tun device, or one worker's part of it
 * @fd:     what is written to
 * @queue:  what to wait on and read from, @queues of them; a single one is @fd itself.  The device goes
 *          when the last descriptor of it is closed
 * @name:   the interface's name
 * @index:  the interface's index
 * @tcp:    gives and takes TCP super-packets (TSO)
 * @udp:    gives and takes UDP super-packets (USO, Linux 6.2)
 *
 * A device that does neither may give a packet with its checksum to be completed all the same.
 */
struct tun {
	int fd;
	int queue[TUN_QUEUES_MAX];
	unsigned queues;
	char name[TUN_NAME_BYTES];
	unsigned index;
	bool tcp;
	bool udp;
};

/**
 * tun_open() - make a tun device that is read by one queue, or a further such queue of one
 * @name:    the interface's name; a %d in it is replaced by the first free number
 * @queues:  how many queues it will have, at least 1: how many times tun_open() will be called with
 *           this name
 * @ret_tun: to be closed with tun_close()
 *
 * Return: 0 or negative errno: -ENOENT and -ENXIO (no tun in this kernel or container), -EPERM (no
 * right to), -EBUSY (there is such an interface, and somebody has it), -EINVAL (there is one that is
 * no tun device, or no such name can be)
 */
int tun_open(const char *name, unsigned queues, struct tun *ret_tun);

/**
 * tun_open_spread() - make a tun device with as many queues as there can be, all for one reader
 * @name, @ret_tun: as for tun_open()
 *
 * The kernel puts each flow into one of them, by the hash of its addresses and ports, so that a packet
 * waits behind those of few other flows.  See docs/decisions/0014-queues.md.
 *
 * Return: as tun_open(); -EBUSY if there is such an interface, whatever it is; -EOPNOTSUPP where this
 * cannot be had
 */
int tun_open_spread(const char *name, struct tun *ret_tun);

void tun_close(struct tun *tun);

/**
 * tun_read() - take the next packet out of a queue of the device
 * @queue: which, below @tun->queues
 * @ret_offload: what the device says about it
 * @room, @size: where to; 65535 bytes take whatever comes
 *
 * Return: length of the packet; -EAGAIN when there is none; -EIO while the link is down
 */
ssize_t tun_read(const struct tun *tun, unsigned queue, struct offload *ret_offload, uint8_t *room,
		 size_t size);

/**
 * tun_write() - put one packet or super-packet into the device
 * @pieces: a struct offload, then the packet, in as many pieces as it lies in
 * @count:  how many pieces
 *
 * Return: 0; -EINVAL for a super-packet that this kernel does not take; -EIO while the link is down;
 * -EAGAIN or -ENOBUFS when it can take no more
 */
int tun_write(const struct tun *tun, const struct iovec *pieces, unsigned count);

#endif
