/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Slots: what stands for a source in epoll. A slot outlives its source (slots are static), so
 * that a poller that still holds an event of a deleted source only meets a generation that does
 * not match.
 *
 * State, one atomic word:
 *
 *	generation (13 bits) | ORPHAN | WAITED | RUNNING | pending events (16 bits)
 *
 *	idle     --event-->            RUNNING: this poller calls event() until nothing is pending
 *	RUNNING  --event elsewhere-->  RUNNING + pending: that poller leaves it to the runner
 *	any      --io_slot_retire-->   generation + 1: the runner calls no more event()
 *	RUNNING  --runner is done-->   idle; wakes io_slot_retire() if WAITED; gives the slot back if
 *	                               ORPHAN (it was retired by its own event())
 */
#ifndef HOST_IO_SLOT_H
#define HOST_IO_SLOT_H

#include <pthread.h>

#include "host.h"

#define SLOT_EVENTS 0xffffu

struct slot {
	struct host_io_source *source; /* valid while the generation matches; NULL: none */
	pthread_t runner;              /* inside event(), or 0; atomic */
	uint32_t state;
	uint32_t rung;      /* generation + 1 when it was rung, or 0; atomic */
	uint32_t next_rung; /* index + 1; valid while in the list of rung ones */
};

/* Return: slot of the source, or NULL: all are in use. */
struct slot *io_slot_take(struct host_io_source *source);
/* Ends the generation, waits for a running event(), and gives the slot back. */
void io_slot_retire(struct slot *slot);

struct slot *io_slot(uint32_t index);
uint32_t io_slot_index(const struct slot *slot);
uint32_t io_slot_generation(const struct slot *slot);
/* Slots from here on were never used. */
uint32_t io_slots_touched(void);

/* Adds events to the pending ones. Return: true: the caller is the runner now. */
bool io_slot_enter(struct slot *slot, uint32_t generation, uint32_t events);
/* Return: pending events, taken; or 0: the caller is no longer the runner. */
uint32_t io_slot_events(struct slot *slot, uint32_t generation);

#endif
