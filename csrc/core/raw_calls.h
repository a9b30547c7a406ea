/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The raw door of the API: any system call, tasks, and the kernel's figures.
 */
#ifndef CORE_RAW_CALLS_H
#define CORE_RAW_CALLS_H

#include <lklsock.h>

long raw_system_call(struct lklsock_task *task, long nr, const long args[6]);
struct lklsock_task *raw_task_new(void);
void raw_task_free(struct lklsock_task *task);
long raw_statistics(struct lklsock_statistics *out);

#endif
