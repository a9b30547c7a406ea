// SPDX-License-Identifier: GPL-2.0-only
/*
 * The descriptors that the pollers look after: interest, ringing, and running event().
 *
 * Interest (source->armed) and what epoll knows are kept equal without a lock: whoever sets a new
 * bit, or takes an event (which disables the descriptor in epoll) and leaves bits over, calls
 * epoll_ctl() with all bits, and again if more turned up meanwhile. So the last epoll_ctl() of any
 * race carries every bit. epoll may know more bits than armed; such events are dropped.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "io.h"
#include "io_slot.h"

#define DOWN_BITS (EPOLLERR | EPOLLHUP)

/* Slots that were rung, latest first: index + 1, or 0. Atomic; taken as a whole. */
static uint32_t rung_list;

static uint64_t epoll_data(uint32_t index, uint32_t generation)
{
	return (uint64_t)generation << 32 | index;
}

static int source_ctl(struct host_io_source *source, int op, uint32_t events)
{
	uint32_t index = source->slot;
	struct epoll_event event = {
		.events = events | EPOLLONESHOT,
		.data.u64 = epoll_data(index, io_slot_generation(io_slot(index))),
	};

	if (source->fd < 0)
		return 0;
	return syscall(SYS_epoll_ctl, io_fd(&io_fds.epoll), op, source->fd, &event) ? -errno : 0;
}

/* Tells epoll what is armed, until it is what is armed. */
static void source_rearm(struct host_io_source *source)
{
	uint32_t told;

	do {
		told = __atomic_load_n(&source->armed, __ATOMIC_SEQ_CST);
		/*
		 * Nothing may be done about an error; -ENOENT: host_io_replace() is at it and
		 * will.
		 */
		source_ctl(source, EPOLL_CTL_MOD, told);
	} while (__atomic_load_n(&source->armed, __ATOMIC_SEQ_CST) & ~told);
}

int host_io_add(struct host_io_source *source)
{
	struct slot *slot = io_slot_take(source);
	int err;

	if (!slot)
		return -ENOSPC;
	source->slot = io_slot_index(slot);
	__atomic_store_n(&source->armed, 0, __ATOMIC_RELAXED);
	err = source_ctl(source, EPOLL_CTL_ADD, 0);
	if (err)
		io_slot_retire(slot);
	return err;
}

void host_io_del(struct host_io_source *source)
{
	source_ctl(source, EPOLL_CTL_DEL, 0);
	io_slot_retire(io_slot(source->slot));
}

void host_io_arm(struct host_io_source *source, uint32_t epoll_events)
{
	uint32_t before = __atomic_fetch_or(&source->armed, epoll_events, __ATOMIC_SEQ_CST);

	if ((before & epoll_events) != epoll_events)
		source_rearm(source);
}

/* The kick comes after the list has it, so one poller finds it there. */
void host_io_ring(struct host_io_source *source)
{
	uint32_t index = source->slot;
	struct slot *slot = io_slot(index);
	uint32_t first = __atomic_load_n(&rung_list, __ATOMIC_RELAXED);

	/* In the list already, and not yet taken from it. */
	if (__atomic_exchange_n(&slot->rung, io_slot_generation(slot) + 1, __ATOMIC_SEQ_CST))
		return;
	do {
		slot->next_rung = first;
	} while (!__atomic_compare_exchange_n(&rung_list, &first, index + 1, false,
					      __ATOMIC_SEQ_CST, __ATOMIC_RELAXED));
	host_io_kick();
}

int host_io_replace(struct host_io_source *source, int fd)
{
	uint32_t told;
	int err = 0;

	source_ctl(source, EPOLL_CTL_DEL, 0);
	while (syscall(SYS_dup3, fd, source->fd, O_CLOEXEC) < 0 && !err)
		err = errno == EINTR || errno == EBUSY ? 0 : -errno;
	close(fd);
	if (err)
		return err;
	told = __atomic_load_n(&source->armed, __ATOMIC_SEQ_CST);
	err = source_ctl(source, EPOLL_CTL_ADD, told);
	if (!err && __atomic_load_n(&source->armed, __ATOMIC_SEQ_CST) & ~told)
		source_rearm(source);
	return err;
}

/* Takes an event off the interest. Return: what to tell. */
static uint32_t event_claim(struct host_io_source *source, uint32_t told)
{
	uint32_t rung = told & HOST_IO_RUNG, events = told & ~HOST_IO_RUNG;
	uint32_t clear = events & DOWN_BITS ? SLOT_EVENTS : events;
	uint32_t before = __atomic_fetch_and(&source->armed, ~clear, __ATOMIC_SEQ_CST);

	/* The event disabled all in epoll. */
	if (events && before & ~clear)
		source_rearm(source);
	return rung | (before ? events & (before | DOWN_BITS) : 0);
}

unsigned io_source_dispatch(uint64_t data, uint32_t epoll_events)
{
	uint32_t generation = (uint32_t)(data >> 32);
	struct slot *slot = io_slot((uint32_t)data);
	unsigned irq = 0;
	uint32_t events;

	if (!io_slot_enter(slot, generation, epoll_events & SLOT_EVENTS))
		return 0;
	while ((events = io_slot_events(slot, generation))) {
		/* The generation matched while RUNNING: host_io_del() waits for us. */
		struct host_io_source *source = slot->source;

		events = event_claim(source, events);
		if (!events)
			continue;
		__atomic_store_n(&slot->runner, pthread_self(), __ATOMIC_RELAXED);
		irq |= source->event(source, events);
		__atomic_store_n(&slot->runner, 0, __ATOMIC_RELAXED);
	}
	return irq;
}

unsigned io_source_dispatch_rung(void)
{
	uint32_t next = __atomic_exchange_n(&rung_list, 0, __ATOMIC_SEQ_CST);
	unsigned irq = 0;

	while (next) {
		uint32_t index = next - 1;
		struct slot *slot = io_slot(index);
		uint32_t rung;

		/* Before it may be rung, and listed, again. */
		next = slot->next_rung;
		rung = __atomic_exchange_n(&slot->rung, 0, __ATOMIC_SEQ_CST);
		irq |= io_source_dispatch(epoll_data(index, rung - 1), HOST_IO_RUNG);
	}
	return irq;
}

void io_source_fork_close(void)
{
	for (uint32_t i = 0; i < io_slots_touched(); i++) {
		struct host_io_source *source = io_slot(i)->source;

		if (!source)
			continue;
		if (source->fd >= 0 && !source->borrowed)
			close(source->fd);
		source->fd = -1;
	}
}
