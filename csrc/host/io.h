/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the files of the I/O service share: io_thread.c (life, timer, kick), io_source.c
 * (descriptors), io_poll.c (one epoll_wait), io_wait.c (the waiting thread that polls).
 */
#ifndef HOST_IO_H
#define HOST_IO_H

#include "host.h"

/* Descriptors of the service; -1: not there. Atomic. */
struct io_fds {
	int epoll;
	int timer;  /* timerfd, edge triggered: needs no read */
	int kick;   /* eventfd, edge triggered: each write is one event */
	int leader; /* eventfd, edge triggered: have the leader look at its word */
	int stop;   /* eventfd, level triggered: everybody leaves */
};

extern struct io_fds io_fds;

static inline int io_fd(const int *fd)
{
	return __atomic_load_n(fd, __ATOMIC_RELAXED);
}

/* One event of an eventfd above. */
void io_signal(const int *fd);

/* Pollers may poll; false: they have to leave. Atomic, sequentially consistent. */
extern bool io_running;

/* What epoll hands back. An internal event has this bit and one of the numbers. */
#define IO_INTERNAL (1ull << 63)
#define IO_TIMER (IO_INTERNAL | 1)
#define IO_KICK (IO_INTERNAL | 2)
#define IO_LEADER (IO_INTERNAL | 3)
#define IO_STOP (IO_INTERNAL | 4)

struct io_batch {
	unsigned irq; /* LKL_IRQ_* to raise */
	bool leader_kick;
	bool stop;
};

/*
 * One epoll_wait, and every event() of what it brought. Return: number of events, 0: time is up
 * (an hour is); or -EINTR.
 */
int io_poll(uint64_t deadline_ns, struct io_batch *batch);

/* Runs event() of a source, given epoll's data. Return: LKL_IRQ_*. */
unsigned io_source_dispatch(uint64_t data, uint32_t epoll_events);
/* The same for all that were rung. */
unsigned io_source_dispatch_rung(void);
/*
 * fork(2), child: closes the copies of descriptors. Locks may have been held by threads that are
 * gone.
 */
void io_source_fork_close(void);

/* lkl_irq(), and what is to run after it. */
void io_irq(unsigned bits);

bool io_leader_is_there(void);
/* The I/O thread got the leader's kick; it stands back then. */
void io_leader_pass_kick(void);
/* The I/O thread leaves polling to leaders, as long as there are any and no kick came since. */
void io_back_stand(int kicks_seen);
int io_back_kicks(void);
void io_back_kick(void);
/* Waits until nobody leads; stop has been signalled. */
void io_leader_wait_gone(void);

#endif
