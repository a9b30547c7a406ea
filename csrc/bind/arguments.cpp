// SPDX-License-Identifier: GPL-2.0-only
/*
 * Conversion and counting of arguments.
 */
#include "arguments.h"

bool arguments_count_failed(const char *function, Py_ssize_t given, Py_ssize_t least,
			    Py_ssize_t most)
{
	Py_ssize_t limit = given < least ? least : most;
	const char *relation = least == most ? "exactly" : given < least ? "at least" : "at most";

	raise_type("%s() takes %s %zd argument%s (%zd given)", function, relation, limit,
		   limit == 1 ? "" : "s", given);
	return false;
}

bool argument_int_range(long value)
{
	raise_overflow("signed integer is %s",
		       value > 0 ? "greater than maximum" : "less than minimum");
	return false;
}

bool argument_size(PyObject *object, Py_ssize_t *out)
{
	if (PyLong_CheckExact(object)) {
		*out = PyLong_AsSsize_t(object);
	} else {
		PyObject *number = PyNumber_Index(object);

		if (!number)
			return false;
		*out = PyLong_AsSsize_t(number);
		Py_DECREF(number);
	}
	return *out != -1 || !PyErr_Occurred();
}

bool argument_unsigned(PyObject *object, unsigned *out)
{
	unsigned long value = PyLong_AsUnsignedLongMask(object);

	if (value == static_cast<unsigned long>(-1) && PyErr_Occurred())
		return false;
	*out = static_cast<unsigned>(value);
	return true;
}
