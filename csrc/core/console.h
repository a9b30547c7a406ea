/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The newest console text of the kernel, kept for who asks why it died.
 */
#ifndef CORE_CONSOLE_H
#define CORE_CONSOLE_H

#include <stddef.h>

/* Context: one writer at a time - CPU held, or no kernel yet. */
void console_write(const char *text, unsigned len);

/* Copies the newest text that fits, from the start of a line, terminated. Return: length. Context: any. */
size_t console_tail(char *buf, size_t size);

#endif
