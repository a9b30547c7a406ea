// SPDX-License-Identifier: GPL-2.0-only
/*
 * Who the calling thread is.
 */
#include <sys/syscall.h>
#include <unistd.h>

#include "host.h"

/* Read on every call into the kernel: the four bytes are worth their place in the static TLS. */
static __thread int thread_id __attribute__((tls_model("initial-exec")));

int host_thread_id(void)
{
	if (__builtin_expect(!thread_id, 0))
		/* glibc has a function for it since 2.30 only. */
		thread_id = (int)syscall(SYS_gettid);
	return thread_id;
}
