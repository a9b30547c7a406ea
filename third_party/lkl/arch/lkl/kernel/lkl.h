/* SPDX-License-Identifier: GPL-2.0-only */
/* What the files of the port share. The contract with the host is <lkl_host.h>. */
#ifndef _LKL_H
#define _LKL_H

#include <linux/compiler.h>
#include <linux/types.h>

#include "../include/shared/lkl_host.h"

struct task_struct;

extern const struct lkl_host_ops *lkl_ops;
extern struct lkl_statistics lkl_stats;

/* context.c: coroutines. */
bool lkl_context_enter(void);
void lkl_context_leave(void);
void lkl_context_abandon(void);
void lkl_context_start_boot(void);

/* cpu.c, cpu.h: who owns the CPU. */
void lkl_cpu_die(void);

/* irq.c */
void lkl_cpu_release(void);

/* worker.c: tasks that do calls. All with the CPU held. */
void lkl_worker_tick(void);
bool lkl_worker_leave_user_mode(void);
void lkl_worker_loop(void) __noreturn;
void lkl_worker_wake_next(void);
long lkl_worker_boot(struct lkl_request *request);
void lkl_worker_abandon_all(void);

/* boot.c */
void lkl_panic_init(void);

/* syscall_table.c */
long lkl_syscall_do(struct lkl_request *request);

/* mm/memory.c */
extern unsigned long lkl_memory_start, lkl_memory_end;
void lkl_memory_init(void);
unsigned long lkl_memory_free_pages(void);
bool lkl_memory_low(void);

/* watch.c; CPU held. */
void lkl_watch_mark(void *watch);
void lkl_watch_flush(void);

/* time.c; CPU held. */
void lkl_timer_arm(void);

/* time.c, drivers/net.c: the interrupt handlers. */
void lkl_timer_interrupt(void);
void lkl_net_interrupt(void);

#endif
