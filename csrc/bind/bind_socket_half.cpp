// SPDX-License-Identifier: GPL-2.0-only
/*
 * Socket: its half of the kernel, and one of the host.
 */
#include "socket.h"

#include "arguments.h"
#include "errors.h"
#include "gil.h"

PyObject *socket_join_host(PyObject *self, PyObject *object)
{
	const struct socket_object *s = socket_of(self);
	int host_fd;

	if (!argument_int(object, &host_fd))
		return nullptr;
	return socket_done(s,
			   without_gil([&] { return s->api->socket_join_host(s->sock, host_fd); }));
}

PyObject *socket_leave_host(PyObject *self, PyObject *)
{
	const struct socket_object *s = socket_of(self);

	return socket_done(s, without_gil([&] { return s->api->socket_leave_host(s->sock); }));
}

PyObject *socket_leave_kernel(PyObject *self, PyObject *)
{
	const struct socket_object *s = socket_of(self);

	return socket_done(s, without_gil([&] { return s->api->socket_leave_kernel(s->sock); }));
}

PyObject *socket_replace_kernel(PyObject *self, PyObject *object)
{
	const struct socket_object *s = socket_of(self);
	const struct socket_object *other;

	if (!Py_IS_TYPE(object, Py_TYPE(self)))
		return raise_type("replace_kernel() takes a Socket, not %s",
				  Py_TYPE(object)->tp_name);
	other = socket_of(object);
	if (other->instance != s->instance)
		return raise_value("the sockets are of different kernels");
	return socket_done(s, without_gil([&] {
				   return s->api->socket_replace_kernel(s->sock, other->sock);
			   }));
}

PyObject *socket_refresh(PyObject *self, PyObject *object)
{
	const struct socket_object *s = socket_of(self);
	unsigned came_short;

	if (!argument_unsigned(object, &came_short))
		return nullptr;
	return socket_done(
		s, without_gil([&] { return s->api->socket_refresh(s->sock, came_short); }));
}

PyObject *socket_bridge(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
	const struct socket_object *s = socket_of(self);
	int host_fd = -1;
	long rc;

	if (!arguments_count("bridge", count, 0, 1) || (count && !argument_int(args[0], &host_fd)))
		return nullptr;
	rc = without_gil([&] { return s->api->socket_bridge(s->sock, host_fd); });

	return rc < 0 ? raise_call(s->instance, rc) : PyLong_FromLong(rc);
}
