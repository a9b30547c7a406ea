// SPDX-License-Identifier: GPL-2.0-only
/*
 * Slots of the I/O service: whose turn it is to run event().
 */
#include "io_slot.h"

#define SLOTS 65536u

#define RUNNING (1u << 16)
#define WAITED (1u << 17)
#define ORPHAN (1u << 18)
#define GENERATION_SHIFT 19
#define GENERATION_ONE (1u << GENERATION_SHIFT)

static struct slot slots[SLOTS];

/* Guards the list of free slots only, never an event(). */
static pthread_mutex_t slots_lock = PTHREAD_MUTEX_INITIALIZER;
static bool slot_used[SLOTS];
static uint32_t slot_lowest; /* none below is free */
static uint32_t slots_touched;

struct slot *io_slot(uint32_t index)
{
	return &slots[index];
}

uint32_t io_slot_index(const struct slot *slot)
{
	return (uint32_t)(slot - slots);
}

static uint32_t generation_of(uint32_t state)
{
	return state >> GENERATION_SHIFT;
}

uint32_t io_slot_generation(const struct slot *slot)
{
	return generation_of(__atomic_load_n(&slot->state, __ATOMIC_RELAXED));
}

uint32_t io_slots_touched(void)
{
	return slots_touched;
}

static struct slot *free_slot_take(void)
{
	struct slot *found = NULL;

	pthread_mutex_lock(&slots_lock);
	while (slot_lowest < SLOTS && slot_used[slot_lowest])
		slot_lowest++;
	if (slot_lowest < SLOTS) {
		found = &slots[slot_lowest];
		slot_used[slot_lowest++] = true;
		if (slots_touched < slot_lowest)
			slots_touched = slot_lowest;
	}
	pthread_mutex_unlock(&slots_lock);
	return found;
}

static void slot_give(struct slot *slot)
{
	uint32_t index = io_slot_index(slot);

	pthread_mutex_lock(&slots_lock);
	slot_used[index] = false;
	if (slot_lowest > index)
		slot_lowest = index;
	pthread_mutex_unlock(&slots_lock);
}

struct slot *io_slot_take(struct host_io_source *source)
{
	struct slot *slot = free_slot_take();

	if (!slot)
		return NULL;
	slot->source = source;
	/* Publishes the source to pollers. */
	__atomic_fetch_and(&slot->state, ~SLOT_EVENTS, __ATOMIC_RELEASE);
	return slot;
}

static bool runner_is_self(struct slot *slot)
{
	return pthread_equal(__atomic_load_n(&slot->runner, __ATOMIC_RELAXED), pthread_self());
}

void io_slot_retire(struct slot *slot)
{
	uint32_t state = __atomic_add_fetch(&slot->state, GENERATION_ONE, __ATOMIC_SEQ_CST);

	if (runner_is_self(slot)) {
		slot->source = NULL;
		__atomic_fetch_or(&slot->state, ORPHAN, __ATOMIC_SEQ_CST);
		return;
	}
	while (state & RUNNING) {
		state = __atomic_or_fetch(&slot->state, WAITED, __ATOMIC_SEQ_CST);
		if (state & RUNNING)
			host_futex_wait((int *)&slot->state, (int)state, HOST_NEVER);
		state = __atomic_load_n(&slot->state, __ATOMIC_ACQUIRE);
	}
	slot->source = NULL;
	/* WAITED may have been set just after the runner left. */
	__atomic_fetch_and(&slot->state, ~WAITED, __ATOMIC_RELAXED);
	slot_give(slot);
}

bool io_slot_enter(struct slot *slot, uint32_t generation, uint32_t events)
{
	uint32_t state = __atomic_load_n(&slot->state, __ATOMIC_ACQUIRE);

	do {
		if (generation_of(state) != generation)
			return false;
	} while (!__atomic_compare_exchange_n(&slot->state, &state, state | events | RUNNING, false,
					      __ATOMIC_SEQ_CST, __ATOMIC_ACQUIRE));
	return !(state & RUNNING);
}

/* Gives up being the runner, of a slot whose source may be gone. */
static void slot_leave(struct slot *slot, uint32_t state)
{
	if (state & WAITED)
		host_futex_wake((int *)&slot->state, INT32_MAX);
	if (state & ORPHAN)
		slot_give(slot);
}

uint32_t io_slot_events(struct slot *slot, uint32_t generation)
{
	uint32_t state = __atomic_load_n(&slot->state, __ATOMIC_ACQUIRE);
	uint32_t events, next;

	do {
		events = generation_of(state) == generation ? state & SLOT_EVENTS : 0;
		next = state & ~SLOT_EVENTS;
		if (!events)
			next &= ~(RUNNING | WAITED | ORPHAN);
	} while (!__atomic_compare_exchange_n(&slot->state, &state, next, false, __ATOMIC_SEQ_CST,
					      __ATOMIC_ACQUIRE));
	if (!events)
		slot_leave(slot, state);
	return events;
}
