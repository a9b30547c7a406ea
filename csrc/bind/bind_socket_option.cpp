// SPDX-License-Identifier: GPL-2.0-only
/*
 * Socket: options and ioctl.
 */
#include "socket.h"

#include "arguments.h"
#include "buffer.h"
#include "gil.h"

/* As the stdlib's. */
#define OPTION_BYTES_MAX 1024

static bool parse_option(const char *function, PyObject *const *args, Py_ssize_t count,
			 Py_ssize_t least, Py_ssize_t most, int *level, int *option)
{
	return arguments_count(function, count, least, most) && argument_int(args[0], level) &&
	       argument_int(args[1], option);
}

PyObject *socket_getsockopt(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
	const struct socket_object *s = socket_of(self);
	int level, option, size = 0, number = 0;
	char value[OPTION_BYTES_MAX];
	socklen_t len;
	long rc;

	if (!parse_option("getsockopt", args, count, 2, 3, &level, &option) ||
	    (count > 2 && !argument_int(args[2], &size)))
		return nullptr;
	if (size < 0 || size > OPTION_BYTES_MAX)
		return raise_os("getsockopt buflen out of range");
	len = size ? static_cast<socklen_t>(size) : sizeof(number);
	rc = without_gil([&] {
		void *out = size ? static_cast<void *>(value) : &number;

		return s->api->getsockopt(s->sock, level, option, out, &len);
	});
	if (rc < 0)
		return raise_call(s->instance, rc);
	return size ? PyBytes_FromStringAndSize(value, len) : PyLong_FromLong(number);
}

PyObject *socket_getsockopt_buffer(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
	const struct socket_object *s = socket_of(self);
	int level, option;
	socklen_t len;
	PyObject *out;
	buffer value;
	long rc;

	if (!parse_option("getsockopt_buffer", args, count, 3, 3, &level, &option) ||
	    !value.take(args[2]))
		return nullptr;
	out = PyBytes_FromStringAndSize(nullptr, value.size);
	if (!out)
		return nullptr;
	if (value.size)
		memcpy(PyBytes_AS_STRING(out), value.data, static_cast<size_t>(value.size));
	len = static_cast<socklen_t>(value.size);
	rc = without_gil([&] {
		return s->api->getsockopt(s->sock, level, option, PyBytes_AS_STRING(out), &len);
	});
	if (rc < 0) {
		Py_DECREF(out);
		return raise_call(s->instance, rc);
	}
	if (static_cast<Py_ssize_t>(len) < value.size)
		_PyBytes_Resize(&out, static_cast<Py_ssize_t>(len));
	return out;
}

static PyObject *set_option(const struct socket_object *s, int level, int option, const void *value,
			    socklen_t len)
{
	return socket_done(s, without_gil([&] {
				   return s->api->setsockopt(s->sock, level, option, value, len);
			   }));
}

PyObject *socket_setsockopt(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
	const struct socket_object *s = socket_of(self);
	int level, option, number;
	unsigned len;
	buffer value;

	if (!parse_option("setsockopt", args, count, 3, 4, &level, &option))
		return nullptr;
	if (count == 4 && args[2] == Py_None) {
		if (!argument_unsigned(args[3], &len))
			return nullptr;
		return set_option(s, level, option, nullptr, len);
	}
	if (!arguments_count("setsockopt", count, 3, 3))
		return nullptr;
	if (argument_int(args[2], &number))
		return set_option(s, level, option, &number, sizeof(number));
	PyErr_Clear();
	if (!value.take(args[2]))
		return nullptr;
	return set_option(s, level, option, value.data, static_cast<socklen_t>(value.size));
}

PyObject *socket_ioctl(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
	const struct socket_object *s = socket_of(self);
	unsigned long request;
	buffer argument;

	if (!arguments_count("ioctl", count, 2, 2))
		return nullptr;
	request = PyLong_AsUnsignedLongMask(args[0]);
	if (request == static_cast<unsigned long>(-1) && PyErr_Occurred())
		return nullptr;
	if (!argument.take_writable(args[1], "ioctl", 2))
		return nullptr;
	return socket_count(
		s, without_gil([&] { return s->api->ioctl(s->sock, request, argument.data); }));
}
