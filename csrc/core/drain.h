/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Before the kernel is halted: what its closed sockets still have to say.
 */
#ifndef CORE_DRAIN_H
#define CORE_DRAIN_H

#include <stdint.h>

/* Waits until peers have acknowledged everything and links have sent it, for the deadline at most. */
void drain_run(uint64_t deadline_ns);

#endif
