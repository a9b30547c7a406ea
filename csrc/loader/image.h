/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Opens a shared library so that the dynamic linker takes it for a new one,
 * however many times the same file is loaded already: all of its data is
 * fresh then.
 */
#ifndef LOADER_IMAGE_H
#define LOADER_IMAGE_H

#include <stddef.h>

/* The environment variable that, set to 1, has copies made in a file although a memfd would do. */
#define IMAGE_NO_MEMFD "LKLSOCK_NO_MEMFD"

/*
 * library: an absolute path. The file itself while nothing of it is loaded (its pages are shared with other
 * processes), a private copy otherwise.
 * Context: one thread at a time.
 * Return: 0, or -errno; then why says in words what failed, or is empty where the errno says it all.
 */
int image_open(const char *library, void **handle, char *why, size_t why_size);

#endif
