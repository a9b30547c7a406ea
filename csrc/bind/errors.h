// SPDX-License-Identifier: GPL-2.0-only
/*
 * Exceptions: errors.cpp is the only file of the extension that raises.
 *
 * Every function sets the exception and returns NULL.
 */
#ifndef BIND_ERRORS_H
#define BIND_ERRORS_H

#include <Python.h>

#include <loader/instance.h>

/* What set_errors() hands over, for this interpreter. Return: false with an exception set. */
bool errors_set(PyObject *not_running, PyObject *boot, PyObject *panic);

#define PRINTF_LIKE __attribute__((format(printf, 1, 2)))

PRINTF_LIKE PyObject *raise_type(const char *format, ...);
PRINTF_LIKE PyObject *raise_value(const char *format, ...);
PRINTF_LIKE PyObject *raise_overflow(const char *format, ...);
/* An OSError that has a text and no errno. */
PRINTF_LIKE PyObject *raise_os(const char *format, ...);

#undef PRINTF_LIKE

PyObject *raise_memory();
/* socket.gaierror, with the code and text of getaddrinfo(3). */
PyObject *raise_gai(int code);
/* path may be NULL. */
PyObject *raise_errno(int err, const char *path);

/*
 * The negative result of a call into the kernel: OSError for an errno, else what set_errors() got, with state, pid and
 * the console's tail. path, or NULL, is the file or device that the call was about.
 */
PyObject *raise_call(const struct instance *instance, long rc, const char *path = nullptr);
/* The same for lklsock_api.boot(), whose every failure but a forbidden second call is a boot error. */
PyObject *raise_boot(const struct instance *instance, long rc);
/* instance_load() failed. */
PyObject *raise_load(int rc, const char *library, const char *why);

/* "loaded", "running", ... */
const char *state_name(enum lklsock_state state);
/* The console's text, the newest limit_bytes of it. */
PyObject *console_text(const struct instance *instance, size_t limit_bytes);

#endif
