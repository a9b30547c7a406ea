// SPDX-License-Identifier: GPL-2.0-only
/*
 * Socket: names and connections.
 */
#include "socket.h"

#include <algorithm>
#include <cerrno>

#include "address.h"
#include "arguments.h"
#include "gil.h"

PyObject *socket_bind(PyObject *self, PyObject *object)
{
	const struct socket_object *s = socket_of(self);
	struct address addr;

	if (!address_parse(s, object, "bind", &addr))
		return nullptr;
	return socket_done(
		s, without_gil([&] { return s->api->bind(s->sock, &addr.any, addr.length); }));
}

PyObject *socket_listen(PyObject *self, PyObject *object)
{
	const struct socket_object *s = socket_of(self);
	int backlog;

	if (!argument_int(object, &backlog))
		return nullptr;
	backlog = std::max(backlog, 0);
	return socket_done(s, without_gil([&] { return s->api->listen(s->sock, backlog); }));
}

PyObject *socket_accept(PyObject *self, PyObject *)
{
	const struct socket_object *s = socket_of(self);
	struct lklsock_socket *sock = nullptr;
	struct address addr;
	PyObject *peer, *from;
	long rc;

	address_clear(&addr);
	rc = without_gil([&] { return s->api->accept(s->sock, &addr.any, &addr.length, &sock); });
	if (rc < 0)
		return socket_failed(s, rc);
	peer = socket_new(Py_TYPE(self), s->instance, sock, s->family);
	if (!peer)
		return nullptr;
	from = address_build(s, &addr);
	if (!from) {
		Py_DECREF(peer);
		return nullptr;
	}
	return Py_BuildValue("NN", peer, from);
}

PyObject *socket_connect(PyObject *self, PyObject *object)
{
	const struct socket_object *s = socket_of(self);
	struct address addr;
	long rc;

	if (!address_parse(s, object, "connect", &addr))
		return nullptr;
	rc = without_gil([&] { return s->api->connect(s->sock, &addr.any, addr.length); });
	if (rc == LKLSOCK_ENOTRUNNING || rc == LKLSOCK_EREENTRY)
		return raise_call(s->instance, rc);
	return PyLong_FromLong(rc < 0 ? -rc : 0);
}

PyObject *socket_shutdown(PyObject *self, PyObject *object)
{
	const struct socket_object *s = socket_of(self);
	int how;

	if (!argument_int(object, &how))
		return nullptr;
	return socket_done(s, without_gil([&] { return s->api->shutdown(s->sock, how); }));
}

template <class Call> static PyObject *name_of(const struct socket_object *s, Call &&call)
{
	struct address addr;
	long rc;

	address_clear(&addr);
	rc = without_gil([&] { return call(&addr.any, &addr.length); });
	return rc < 0 ? raise_call(s->instance, rc) : address_build(s, &addr);
}

PyObject *socket_getsockname(PyObject *self, PyObject *)
{
	const struct socket_object *s = socket_of(self);

	return name_of(s, [&](struct sockaddr *addr, socklen_t *len) {
		return s->api->getsockname(s->sock, addr, len);
	});
}

PyObject *socket_getpeername(PyObject *self, PyObject *)
{
	const struct socket_object *s = socket_of(self);

	return name_of(s, [&](struct sockaddr *addr, socklen_t *len) {
		return s->api->getpeername(s->sock, addr, len);
	});
}
