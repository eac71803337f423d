/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Are super-packets, segmented sends, merged receipts and batches used?  Always, but in the build that
 * tools/bench compares with to tell what they are worth (-Dbenchmark=one-at-a-time).
 */
#ifndef IO_BATCHING_H
#define IO_BATCHING_H

#ifdef MINIVPN_ONE_AT_A_TIME
enum { BATCHING = 0 };
#else
enum { BATCHING = 1 };
#endif

#endif
