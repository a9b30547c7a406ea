/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What a freshly booted kernel is told before anybody uses it.
 */
#ifndef CORE_SETUP_H
#define CORE_SETUP_H

#include <lklsock.h>

/* Return: 0, -errno, or a refusal. Context: the door is private. */
long setup_run(const struct lklsock_boot *boot);

#endif
