// SPDX-License-Identifier: GPL-2.0-only
/*
 * Positional arguments of the socket's methods, taken without a tuple.
 */
#ifndef BIND_ARGUMENTS_H
#define BIND_ARGUMENTS_H

#include <Python.h>

#include "errors.h"

/* Every function: false with the exception set that PyArg_ParseTuple would set. */

bool arguments_count_failed(const char *function, Py_ssize_t given, Py_ssize_t least,
			    Py_ssize_t most);

inline bool arguments_count(const char *function, Py_ssize_t given, Py_ssize_t least,
			    Py_ssize_t most)
{
	return (given >= least && given <= most) ||
	       arguments_count_failed(function, given, least, most);
}

bool argument_int_range(long value);

inline bool argument_int(PyObject *object, int *out)
{
	long value = PyLong_AsLong(object);

	if (value == -1 && PyErr_Occurred())
		return false;
	*out = static_cast<int>(value);
	return *out == value || argument_int_range(value);
}

bool argument_size(PyObject *object, Py_ssize_t *out);

/* Takes the low 32 bits of any integer. */
bool argument_unsigned(PyObject *object, unsigned *out);

#endif
