/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * News of readiness: from the kernel, which may not wait for anybody, to the
 * threads that sleep for it and to the shadows.
 */
#ifndef CORE_READINESS_H
#define CORE_READINESS_H

#include <stddef.h>
#include <stdint.h>

#include <lkl_host.h>

struct lklsock_socket;

/* lkl_host_ops.readiness: queues it. Context: CPU held. */
void readiness_changed(struct lkl_watch_state *state);

extern struct lklsock_socket *readiness_queue; /* atomic */
void readiness_queue_run(void);

/*
 * Tells what is queued. Every thread does so after it had the CPU, and before it sleeps. Never
 * enters the kernel. Context: CPU not held.
 */
static inline void readiness_flush(void)
{
	if (__builtin_expect(!!__atomic_load_n(&readiness_queue, __ATOMIC_RELAXED), 0))
		readiness_queue_run();
}

/* Has everybody who sleeps on the socket look again. Context: any. */
void readiness_wake(struct lklsock_socket *sock);

/* Makes the socket's watch if it has none. Its lock `making` is held. Return: 0 or -errno. */
long readiness_watch(struct lklsock_socket *sock);
/* Deletes it: no news any more. */
void readiness_unwatch(struct lklsock_socket *sock);
/* Has changes told until readiness_disarm(), unless one of events is up. Return: mask, or a refusal. */
long readiness_arm(struct lklsock_socket *sock, unsigned events);
void readiness_disarm(struct lklsock_socket *sock);
/* What is up in either half, as far as was told. Context: any. */
unsigned readiness_mask(const struct lklsock_socket *sock);

long socket_wait(struct lklsock_socket *sock, unsigned events, uint64_t deadline_ns);
long socket_poll(struct lklsock_socket *sock);

#endif
