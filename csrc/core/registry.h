/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Every socket that is not finished, for who must reach them all: halt, a panic, fork. Its lock
 * is the innermost but the shadows', and the kernel is never entered with it held.
 */
#ifndef CORE_REGISTRY_H
#define CORE_REGISTRY_H

#include <stdint.h>

struct lklsock_socket;

void registry_add(struct lklsock_socket *sock);
void registry_remove(struct lklsock_socket *sock);

/* The socket that this is the shadow of, as a user of it; NULL if there is none that is open. */
struct lklsock_socket *registry_find(int host_fd);

/* Closes all there are. Context: halt. */
void registry_close_all(uint64_t deadline_ns);
/* The kernel is gone: ends every sleeper and hangs up every shadow. Context: any, CPU held too. */
void registry_end_all(void);

/* fork(2): the lock is held from prepare on; the child forgets the shadows. */
void registry_fork_prepare(void);
void registry_fork_parent(void);
void registry_fork_child(void);

#endif
