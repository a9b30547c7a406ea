// SPDX-License-Identifier: GPL-2.0-only
/*
 * The instances of this process, and what fork(2) does to them.
 */
#include "instance.h"

#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "image.h"

/* A kernel that nobody halted has this long to say goodbye to its peers. */
#define FORGOTTEN_HALT_NS 1000000000ULL

struct instance {
	void *handle;
	const struct lklsock_api *api;
	atomic_int refs;
	pid_t pid;
	struct instance *next, *previous; /* under lock */
};

/* The list, and every dlopen and dlclose of ours: fork(2) must not see the dynamic linker at work. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct instance *first, *last; /* in the order of loading */
static struct instance *shared;       /* under lock */
static pthread_once_t fork_once = PTHREAD_ONCE_INIT;
static atomic_int holds; /* instance_fork_hold() without its release */

static void fork_prepare(void)
{
	pthread_mutex_lock(&lock);
	for (struct instance *i = first; i; i = i->next)
		i->api->fork_prepare();
}

/* lock held. */
static void resume_all(void)
{
	for (struct instance *i = last; i; i = i->previous)
		i->api->fork_resume();
}

static void fork_parent(void)
{
	for (struct instance *i = last; i; i = i->previous)
		i->api->fork_parent();
	if (!atomic_load(&holds))
		resume_all();
	pthread_mutex_unlock(&lock);
}

static void fork_child(void)
{
	for (struct instance *i = last; i; i = i->previous)
		i->api->fork_child();
	/* Their owners may hold them for ever; the child's own forks are not their business. */
	first = NULL;
	last = NULL;
	shared = NULL;
	atomic_store(&holds, 0);
	pthread_mutex_unlock(&lock);
}

void instance_fork_hold(void)
{
	atomic_fetch_add(&holds, 1);
}

void instance_fork_release(void)
{
	if (atomic_fetch_sub(&holds, 1) != 1)
		return;
	pthread_mutex_lock(&lock);
	resume_all();
	pthread_mutex_unlock(&lock);
}

static void fork_watch(void)
{
	pthread_atfork(fork_prepare, fork_parent, fork_child);
}

/* lock held. */
static void list_add(struct instance *instance)
{
	instance->previous = last;
	if (last)
		last->next = instance;
	else
		first = instance;
	last = instance;
}

/* lock held. */
static void list_remove(struct instance *instance)
{
	if (instance->previous)
		instance->previous->next = instance->next;
	else
		first = instance->next;
	if (instance->next)
		instance->next->previous = instance->previous;
	else
		last = instance->previous;
}

static int api_of(void *handle, const char *library, const struct lklsock_api **api, char *why,
		  size_t why_size)
{
	const struct lklsock_api *(*lkl_api)(unsigned) = dlsym(handle, "lkl_api");

	if (!lkl_api) {
		snprintf(why, why_size, "%s is not a liblkl.so: it has no lkl_api()", library);
		return -ELIBBAD;
	}
	*api = lkl_api(LKLSOCK_ABI);
	if (!*api || (*api)->size < sizeof(**api)) {
		snprintf(why, why_size,
			 "%s and the extension module are of different versions: build both again",
			 library);
		return -ELIBBAD;
	}
	return 0;
}

/* lock held. */
static int open_locked(const char *library, struct instance *instance, char *why, size_t why_size)
{
	int rc = image_open(library, &instance->handle, why, why_size);

	if (rc)
		return rc;
	rc = api_of(instance->handle, library, &instance->api, why, why_size);
	if (rc) {
		dlclose(instance->handle);
		return rc;
	}
	list_add(instance);
	return 0;
}

int instance_load(const char *library, struct instance **out, char *why, size_t why_size)
{
	struct instance *instance;
	char *path;
	int rc;

	why[0] = '\0';
	pthread_once(&fork_once, fork_watch);
	path = realpath(library, NULL);
	if (!path)
		return -errno;
	instance = calloc(1, sizeof(*instance));
	if (!instance) {
		free(path);
		return -ENOMEM;
	}
	instance->pid = getpid();
	atomic_init(&instance->refs, 1);

	pthread_mutex_lock(&lock);
	rc = open_locked(path, instance, why, why_size);
	pthread_mutex_unlock(&lock);

	free(path);
	if (rc)
		free(instance);
	else
		*out = instance;
	return rc;
}

void instance_get(struct instance *instance)
{
	atomic_fetch_add_explicit(&instance->refs, 1, memory_order_relaxed);
}

static void halt(struct instance *instance)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	instance->api->halt((uint64_t)now.tv_sec * 1000000000ULL + (uint64_t)now.tv_nsec +
			    FORGOTTEN_HALT_NS);
}

static void unload(struct instance *instance)
{
	enum lklsock_state state;

	/* One that panicked has things to give back, too. */
	if (instance->api->state() != LKLSOCK_LOADED)
		halt(instance);
	state = instance->api->state();
	pthread_mutex_lock(&lock);
	list_remove(instance);
	if (shared == instance)
		shared = NULL;
	if (state != LKLSOCK_PANICKED)
		dlclose(instance->handle);
	pthread_mutex_unlock(&lock);
}

void instance_put(struct instance *instance)
{
	if (atomic_fetch_sub_explicit(&instance->refs, 1, memory_order_acq_rel) != 1)
		return;
	if (instance_state(instance) != LKLSOCK_FORKED)
		unload(instance);
	free(instance);
}

/* lock held. Return: whether there was a reference left to add one to. */
static bool get_unless_last(struct instance *instance)
{
	int refs = atomic_load_explicit(&instance->refs, memory_order_relaxed);

	while (refs && !atomic_compare_exchange_weak(&instance->refs, &refs, refs + 1))
		;
	return refs != 0;
}

/* lock held. */
static bool is_running(const struct instance *instance)
{
	return instance && instance_state(instance) == LKLSOCK_RUNNING;
}

bool instance_share(struct instance *instance, bool replace)
{
	bool done;

	pthread_mutex_lock(&lock);
	if (replace || !is_running(shared))
		shared = instance;
	done = shared == instance;
	pthread_mutex_unlock(&lock);
	return done;
}

struct instance *instance_shared(void)
{
	struct instance *found = NULL;

	pthread_mutex_lock(&lock);
	if (is_running(shared) && get_unless_last(shared))
		found = shared;
	pthread_mutex_unlock(&lock);
	return found;
}

struct instance *instance_by_shadow(int host_fd, struct lklsock_socket **sock)
{
	struct instance *found = NULL;

	pthread_mutex_lock(&lock);
	for (struct instance *i = first; i && !found; i = i->next) {
		*sock = i->api->socket_by_shadow(host_fd);
		if (!*sock)
			continue;
		/* One that is being unloaded hangs its shadows up. */
		if (get_unless_last(i))
			found = i;
		else
			i->api->socket_put(*sock);
	}
	pthread_mutex_unlock(&lock);
	return found;
}

const struct lklsock_api *instance_api(const struct instance *instance)
{
	return instance->api;
}

pid_t instance_pid(const struct instance *instance)
{
	return instance->pid;
}

enum lklsock_state instance_state(const struct instance *instance)
{
	/* The process id also tells a child that was not made through libc's fork(). */
	return instance->pid == getpid() ? instance->api->state() : LKLSOCK_FORKED;
}
