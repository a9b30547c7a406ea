/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Whole reads and writes of the kernel's own files: procfs and sysctl.
 */
#ifndef CORE_FILE_H
#define CORE_FILE_H

#include <stddef.h>

/* From the start, as much as fits. Return: bytes or -errno. */
long file_read(const char *path, void *buf, size_t size);
/* In one write. Return: bytes or -errno. */
long file_write(const char *path, const void *buf, size_t size);

#endif
