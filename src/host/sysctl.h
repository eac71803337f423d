/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Settings below /proc/sys that several instances share: read before they are written, and put back by
 * the last instance that needs them, if they are still as it left them.  Who needs what is in the
 * journals.  Everything but reading happens under state_lock().
 */
#ifndef HOST_SYSCTL_H
#define HOST_SYSCTL_H

#include "host/steps.h"

/** sysctl_read() - the value of a setting; @key is below /proc/sys, with slashes */
int sysctl_read(const char *key, int32_t *ret_value);

/**
 * sysctl_prepare() - find out what the setting has to be put back to
 * @name:   our instance
 * @sysctl: @before is filled in: what another instance found, if one has changed it, else what it is
 *          now; equal to @value if there will be nothing to put back.  And @needed
 *
 * Comes first, so that the journal can be written before anything is changed.
 */
int sysctl_prepare(const char *name, struct step_sysctl *sysctl);

/** sysctl_take() - give it its value, unless it has it */
int sysctl_take(const struct step_sysctl *sysctl);

/**
 * sysctl_release() - put it back, unless another instance needs it or somebody has changed it
 *
 * Forwarding stays on for those who have begun to translate addresses since: they found it on.
 */
int sysctl_release(const char *name, const struct step_sysctl *sysctl);

/**
 * sysctl_advertised() - which interfaces listen to router advertisements
 * @name:      our instance
 * @interface: our own interface, which does not count
 * @ret_facts: @advertised is filled in: those that would stop listening if the host forwarded, and
 *             those that go on because another instance told them to
 */
void sysctl_advertised(const char *name, const char *interface, struct facts *ret_facts);

/**
 * sysctl_kept() - what Linux will change when the host stops to forward, and is not ours to change
 *
 * It turns forwarding off for every interface then, and in IPv4 redirects are believed again, which
 * somebody may have switched off for good.
 *
 * @name:      our instance
 * @interface: our own interface, which does not count
 * @ipv4, @ipv6: families that it will begin to forward, if it does not
 * @ret_facts: @kept is filled in, also from other instances, which have made it forward
 */
void sysctl_kept(const char *name, const char *interface, bool ipv4, bool ipv6,
		 struct facts *ret_facts);

#endif
