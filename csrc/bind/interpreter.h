// SPDX-License-Identifier: GPL-2.0-only
/*
 * What this extension keeps for each interpreter.
 */
#ifndef BIND_INTERPRETER_H
#define BIND_INTERPRETER_H

#include <Python.h>

struct interpreter {
	PyTypeObject *socket_type;
	/* Exception classes; see set_errors() in _lkl.pyi. */
	PyObject *not_running, *boot, *panic;
};

/* That of the running interpreter; made on the first call. Return: NULL with an exception set when out of memory. */
struct interpreter *interpreter_get();

#endif
