// SPDX-License-Identifier: GPL-2.0-only
/*
 * Socket: readiness.
 */
#include "socket.h"

#include <algorithm>
#include <cerrno>

#include "arguments.h"
#include "gil.h"

/* A time of time.monotonic_ns(), or None. */
static bool argument_deadline(PyObject *object, uint64_t *out)
{
	long long value;

	if (object == Py_None) {
		*out = LKLSOCK_NEVER;
		return true;
	}
	value = PyLong_AsLongLong(object);
	if (value == -1 && PyErr_Occurred())
		return false;
	*out = static_cast<uint64_t>(std::max(value, 0LL));
	return true;
}

PyObject *socket_wait(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
	const struct socket_object *s = socket_of(self);
	uint64_t deadline_ns;
	unsigned events;
	long rc;

	if (!arguments_count("wait", count, 2, 2) || !argument_unsigned(args[0], &events) ||
	    !argument_deadline(args[1], &deadline_ns))
		return nullptr;
	for (;;) {
		rc = without_gil([&] { return s->api->socket_wait(s->sock, events, deadline_ns); });
		if (rc != -EINTR)
			break;
		/* PEP 475: the handlers run, and what they raise ends the wait. */
		if (PyErr_CheckSignals() < 0)
			return nullptr;
	}
	return rc < 0 ? raise_call(s->instance, rc) : PyLong_FromLong(rc);
}

static PyObject *number_or_error(const struct socket_object *s, long rc)
{
	return rc < 0 ? raise_call(s->instance, rc) : PyLong_FromLong(rc);
}

PyObject *socket_poll(PyObject *self, PyObject *)
{
	const struct socket_object *s = socket_of(self);

	return number_or_error(s, without_gil([&] { return s->api->socket_poll(s->sock); }));
}

PyObject *socket_shadow(PyObject *self, PyObject *)
{
	const struct socket_object *s = socket_of(self);

	return number_or_error(s, without_gil([&] { return s->api->socket_shadow(s->sock); }));
}

PyObject *socket_shadow_move(PyObject *self, PyObject *object)
{
	const struct socket_object *s = socket_of(self);
	int host_fd;

	if (!argument_int(object, &host_fd))
		return nullptr;
	return socket_done(
		s, without_gil([&] { return s->api->socket_shadow_move(s->sock, host_fd); }));
}
