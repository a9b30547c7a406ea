/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The contract between the kernel half (arch/lkl) and the host half (csrc/)
 * of liblkl.so. It includes nothing, so that neither world sees the other's
 * headers.
 *
 * "CPU held" means that the calling thread owns the LKL CPU: nobody else runs
 * kernel code, so an op called that way must never block, and must not call
 * back into the kernel (lkl_irq() and lkl_net_event() excepted: they only set
 * bits then).
 */
#ifndef LKL_HOST_H
#define LKL_HOST_H

#define LKL_API __attribute__((visibility("default")))

/* Results of lkl_submit() beyond the errno range. */
#define LKL_DEAD	(-4096L)	/* halted, panicked, or a forked child's copy */
#define LKL_REENTRY	(-4097L)	/* the caller already holds the LKL CPU */

#define LKL_NEVER	(~0ULL)		/* timer_set(): disarm */

struct lkl_iovec {
	void *base;
	unsigned long len;
};

/* Every frame starts with a struct virtio_net_hdr_v1 of this many bytes. */
#define LKL_VNET_HDR	12
/* The largest frame, header included: what a link's rx must be able to take. */
#define LKL_FRAME_MAX	(LKL_VNET_HDR + 14 + 4 + 65535)

/*
 * The most pieces that a frame to be sent is in, header included: 64 kB that were put together of 1,400
 * bytes each, in two or three pieces.
 */
#define LKL_PIECES_MAX	160

/* Interrupts, for lkl_irq(). */
#define LKL_IRQ_TIMER	1u
#define LKL_IRQ_NET	2u
#define LKL_IRQ_KICK	4u	/* nothing but: run what is runnable */

/* What a link tells its net device, for lkl_net_event(); and asks, in net_poll(). */
#define LKL_NET_RX	1u	/* a frame may be there / tell me when one is */
#define LKL_NET_TX	2u	/* there is room again / tell me when there is */
#define LKL_NET_UP	4u	/* carrier came */
#define LKL_NET_DOWN	8u	/* carrier went */
#define LKL_NET_MTU	16u	/* it carries less than it did: see lkl_net_mtu() */

/* What a link can do, for lkl_net_add(). */
#define LKL_NET_CSUM	1u	/* takes and gives partial checksums */
#define LKL_NET_TSO	2u	/* takes and gives TCP segments of up to 64 kB */

/* Readiness, as epoll(7) has it; the kernel's and the host's bits are equal. */
#define LKL_POLLIN	0x0001u
#define LKL_POLLPRI	0x0002u
#define LKL_POLLOUT	0x0004u
#define LKL_POLLERR	0x0008u
#define LKL_POLLHUP	0x0010u
#define LKL_POLLRDHUP	0x2000u

/*
 * The part of a watched file that both halves touch. It lives in host memory
 * as long as the watch.
 */
struct lkl_watch_state {
	int armed;		/* > 0: somebody wants to know; host, atomic */
	unsigned int mask;	/* last readiness told; CPU held to write, atomic */
};

/*
 * One call into the kernel. It lives on the caller's stack; the kernel does
 * not touch it once done is 1.
 */
struct lkl_request {
	long nr;		/* system call number, or -1: fn */
	long args[6];
	long (*fn)(long *args);	/* kernel half's own calls */
	void *task;		/* from lkl_task_new(); NULL: any worker */
	void *watch;		/* from lkl_watch_add(): readiness may change; may be NULL */
	long ret;
	int done;		/* 0 running, -1 running and its owner sleeps, 1 done */
	struct lkl_request *next, **prev;	/* sleeping owners; CPU held */
};

struct lkl_host_ops {
	/* Console text, not terminated. Context: CPU held. */
	void (*print)(const char *text, unsigned int len);
	/* The kernel is dead; text says why. Returns. Context: CPU held, for good. */
	void (*panic)(const char *text);

	/* The calling thread's id, as gettid(2): small and positive. Context: any, signal handlers too. */
	int (*thread_id)(void);

	/* CLOCK_MONOTONIC and CLOCK_REALTIME. Units: ns. Context: any. */
	unsigned long long (*clock_monotonic)(void);
	unsigned long long (*clock_realtime)(void);
	/* lkl_irq(LKL_IRQ_TIMER) at this CLOCK_MONOTONIC time, once. Units: ns. Context: CPU held. */
	void (*timer_set)(unsigned long long at_ns);

	/* futex(2), private. wait: timeout in ns, LKL_NEVER for none; returns on wake, timeout, or signal. */
	void (*futex_wait)(int *word, int value, unsigned long long timeout_ns);
	void (*futex_wake)(int *word, int count);
	/* The I/O thread should call lkl_irq(LKL_IRQ_KICK) soon. Context: CPU held. */
	void (*kick)(void);

	/* Fills the buffer. Return: bytes, or -errno. */
	long (*random)(void *buf, unsigned long len);

	/*
	 * Links. One frame a call, LKL_VNET_HDR first. Return: bytes; -EAGAIN: nothing
	 * there (rx), no room (tx); -EPIPE: the other end is gone; another -errno: this frame is
	 * lost. Context: CPU held.
	 */
	long (*net_tx)(void *link, const struct lkl_iovec *iov, int count);
	long (*net_rx)(void *link, const struct lkl_iovec *iov, int count);
	/* One-shot interest in LKL_NET_RX, LKL_NET_TX; adds to what is armed. Context: CPU held. */
	void (*net_poll)(void *link, unsigned int events);

	/*
	 * A watched file's mask (already in its state) changed. The owner is told after the CPU was
	 * released: this only queues it. Context: CPU held.
	 */
	void (*readiness)(struct lkl_watch_state *state);

	/* Sanitizer builds: the stack changes. NULL elsewhere. stack NULL: a host thread's own. Context: CPU held. */
	void (*stack_switch_begin)(const void *stack, unsigned long size);
	void (*stack_switch_end)(void);
};

/* ------------------------------------------------- host half -> kernel half */

/*
 * Boots on [mem, mem + size). Return: 0, or LKL_DEAD after a panic during boot.
 */
long lkl_boot(const struct lkl_host_ops *ops, void *mem, unsigned long size, const char *command_line);
/* Takes the CPU for good; every later and sleeping call ends with LKL_DEAD. */
void lkl_halt(void);

/* Runs one call to its end. Return: its result, LKL_DEAD or LKL_REENTRY. Context: any thread, CPU not held. */
long lkl_submit(struct lkl_request *request);
/* Raises interrupts. Context: any thread. */
void lkl_irq(unsigned int bits);
/* true while a thread runs kernel code. Context: any. */
int lkl_cpu_busy(void);
/* true if kernel work is left over that nobody's call will do. Context: any. */
int lkl_work_pending(void);

/* A task of its own (namespaces, credentials). Return: task or NULL. */
void *lkl_task_new(void);
/* Gives it back; it stays in its namespaces until it has ended. */
void lkl_task_del(void *task);

/* fork(2): hold the CPU over it; parent releases; the child's copy is dead. */
void lkl_fork_prepare(void);
void lkl_fork_parent(void);
void lkl_fork_child(void);

/* Return: interface index, or -errno. mac: 6 bytes. name: "eth%d" or exact. */
long lkl_net_add(void *link, const char *name, const unsigned char *mac, unsigned int features,
		 unsigned int mtu, void **device);
long lkl_net_del(void *device);
/* Only sets bits; raise LKL_IRQ_NET after it. Context: any. */
void lkl_net_event(void *device, unsigned int events);
/* With LKL_NET_MTU, before it: the MTU is lowered to this. Context: any. */
void lkl_net_mtu(void *device, unsigned int mtu);

/*
 * Watches an open file: whenever its readiness may have changed and
 * state->armed > 0, the file is polled before the CPU is released, state->mask updated
 * and ops->readiness() called if it differs. A watch keeps its file open: delete it
 * before close. Return: watch, or NULL (bad descriptor, no memory).
 */
void *lkl_watch_add(int fd, struct lkl_watch_state *state);
void lkl_watch_del(void *watch);
/* The watch is of another open file from now on; fd -1: of none, and shows nothing. Return: 0 or -errno. */
long lkl_watch_move(void *watch, int fd);
/* Arms (armed += 1) unless one of events is up already. Return: the mask now, or LKL_DEAD. */
long lkl_watch_arm(void *watch, unsigned int events);

struct lkl_statistics {
	unsigned long long requests, cold_requests, sleeping_owners, switches, interrupts,
		timer_sets, handoffs, kicks, watch_polls, watch_changes, parks;
	unsigned long free_pages, total_pages;
};
/* Context: any; figures may be torn between threads. */
void lkl_statistics_read(struct lkl_statistics *out);

#endif
