/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The state of the kernel of this library, and who changes it: boot, halt,
 * panic, fork. The states are those of lklsock.h.
 */
#ifndef CORE_LIFE_H
#define CORE_LIFE_H

#include <stdint.h>

#include <lklsock.h>

enum lklsock_state life_state(void);

long life_boot(const struct lklsock_boot *boot);
long life_halt(uint64_t deadline_ns);

void life_fork_prepare(void);
void life_fork_parent(void);
void life_fork_resume(void);
void life_fork_child(void);

#endif
