/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Services of the machine for the rest of the host half: memory, clock,
 * futex, random bytes, and the one I/O thread. Only host/ and link/ call the operating
 * system.
 */
#ifndef HOST_H
#define HOST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HOST_NEVER UINT64_MAX

/* gettid(2), without a system call after the first. Context: any, signal handlers too. */
int host_thread_id(void);

/* Units: ns. */
uint64_t host_clock_monotonic(void);
uint64_t host_clock_realtime(void);

/* Zeroed, lazily backed memory. Return: 0 or -errno. */
int host_memory_map(size_t bytes, void **out);
void host_memory_unmap(void *mem, size_t bytes);

/* Fills the buffer. Return: bytes, or -errno. */
long host_random_fill(void *buf, size_t bytes);

/*
 * Sleeps while *word == value. deadline_ns: CLOCK_MONOTONIC, HOST_NEVER for none.
 * Return: 0 (woken, or the word differs), -ETIMEDOUT, -EINTR (a signal handler ran).
 */
int host_futex_wait(int *word, int value, uint64_t deadline_ns);
void host_futex_wake(int *word, int count);

/* EPOLL*: a descriptor's readiness now; EPOLLHUP if there is none. */
uint32_t host_poll(int fd);

/*
 * A file descriptor that the I/O thread looks after. Interest is one-shot, bit by bit:
 * host_io_arm() adds to it, an event clears the bits that it tells, EPOLLERR and EPOLLHUP clear
 * all. They are told only while some bit is armed. event() runs on whatever thread polls (the I/O
 * thread or one that waits), never on two at once for one source, CPU not held; it returns the
 * LKL_IRQ_* bits to raise when the batch is through.
 */
struct host_io_source {
	int fd; /* -1: none, only to be rung */
	unsigned (*event)(struct host_io_source *source, uint32_t epoll_events);
	bool borrowed; /* fd is the caller's: fork(2) leaves the child's copy open */
	/* The service's own. */
	uint32_t armed; /* EPOLL*; atomic */
	uint32_t slot;
};

/* Return: 0 or -errno. */
int host_io_start(void);
/* Ends the thread; no event() runs any more once it returned. */
void host_io_stop(void);
/* Nothing is told before the first host_io_arm(). Return: 0 or -errno. */
int host_io_add(struct host_io_source *source);
/*
 * Waits until a running event() of it has returned (unless called from it). Context: CPU not
 * held.
 */
void host_io_del(struct host_io_source *source);
/* Context: any, CPU held or not; never blocks. */
void host_io_arm(struct host_io_source *source, uint32_t epoll_events);
/* event(source, HOST_IO_RUNG) soon, on a polling thread. Context: any, CPU held or not. */
#define HOST_IO_RUNG 0x400u
void host_io_ring(struct host_io_source *source);
/*
 * Puts fd (consumed) in the place of the source's: its number, interest and slot stay, so that
 * users of the number need not know. A late event of the old one may still come. Return: 0 or
 * -errno.
 */
int host_io_replace(struct host_io_source *source, int fd);

/* lkl_irq(LKL_IRQ_TIMER) at this time. One a process image. Context: CPU held. */
void host_timer_set(uint64_t at_ns);
/* Have the I/O thread run kernel work that is left over. Context: any. */
void host_io_kick(void);
/*
 * fn runs after every lkl_irq() that a polling thread raised, CPU not held: what the kernel
 * queued meanwhile is told then. Set before host_io_start().
 */
void host_io_set_after_irq(void (*fn)(void));

/*
 * Sleeps like host_futex_wait(), and polls for the I/O thread meanwhile if nobody else does: then
 * a frame is handled by the very thread that waits for it. May return 0 early, and -EINTR now and
 * then without a signal.
 */
int host_io_wait(int *word, int value, uint64_t deadline_ns);
/* Wakes every host_io_wait() on word. The caller changed *word before. */
void host_io_wake(int *word);

/*
 * fork(2) around the I/O thread: it is stopped in prepare and started again in parent. In the
 * child the service is dead, and the child's copies of its descriptors and of the sources' are
 * closed.
 */
void host_io_fork_prepare(void);
void host_io_fork_parent(void);
void host_io_fork_child(void);

struct lkl_host_ops;
/* Fills the ops that host/ serves; core/ serves print, panic, readiness and the net_* ones. */
void host_ops_fill(struct lkl_host_ops *ops);

#endif
