/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Instances of liblkl.so: each is one copy of the library in this process,
 * that is, one kernel. The first is the installed file itself, each further
 * one a copy (see image.h).
 *
 *   life of a copy:  load -> references come and go -> the last one goes: halt if running, then unload
 *
 * A kernel that panicked gives its memory and descriptors back; its code stays mapped, for a thread may have been left
 * in it. After fork(2) the child's
 * instances are dead: their state is LKLSOCK_FORKED, nothing of them is entered or unloaded any more, and
 * what the child loads is a copy.
 */
#ifndef LOADER_INSTANCE_H
#define LOADER_INSTANCE_H

#include <stdbool.h>
#include <sys/types.h>

#include <lklsock.h>

#ifdef __cplusplus
extern "C" {
#endif

struct instance;

/*
 * A new instance with one reference. Context: any thread, may sleep.
 * Return: 0, or -errno; then why says in words what failed, or is empty where the errno says it all. -ELIBBAD: the
 * file is there, and is not a liblkl.so that fits.
 */
int instance_load(const char *library, struct instance **out, char *why, size_t why_size);
void instance_get(struct instance *instance);
/* The last reference halts and unloads. Context: not inside a kernel, may sleep. */
void instance_put(struct instance *instance);

/*
 * Between these, kernels do not start their threads again after a fork(2): for who counts threads right after it.
 * Calls work meanwhile. A child starts without any hold.
 */
void instance_fork_hold(void);
void instance_fork_release(void);

/*
 * The kernel of the process, which its interpreters share, for as long as somebody has it and it runs.
 * Return: false if another one is that already, and is not to be replaced.
 */
bool instance_share(struct instance *instance, bool replace);
/* Return: it, with a reference, or NULL. */
struct instance *instance_shared(void);

/* Of the kernel that has this shadow, with a reference, and one to the socket; or NULL. */
struct instance *instance_by_shadow(int host_fd, struct lklsock_socket **sock);

const struct lklsock_api *instance_api(const struct instance *instance);
/* The process that loaded it. */
pid_t instance_pid(const struct instance *instance);
enum lklsock_state instance_state(const struct instance *instance);

#ifdef __cplusplus
}
#endif

#endif
