// SPDX-License-Identifier: GPL-2.0-only
/*
 * Socket: the type, its life, and its table of methods.
 */
#include "socket.h"

#include <cerrno>

#include "errors.h"
#include "gil.h"
#include "interpreter.h"

PyObject *socket_new(PyTypeObject *type, struct instance *instance, struct lklsock_socket *sock,
		     int family)
{
	PyObject *self = type->tp_alloc(type, 0);
	struct socket_object *s = socket_of(self);
	const struct lklsock_api *api = instance_api(instance);

	if (!self) {
		without_gil([&] { api->socket_put(sock); });
		return nullptr;
	}
	instance_get(instance);
	s->api = api;
	s->sock = sock;
	s->instance = instance;
	s->family = family;
	return self;
}

static void socket_dealloc(PyObject *self)
{
	const struct socket_object *s = socket_of(self);
	PyTypeObject *type = Py_TYPE(self);

	/* The last reference closes the socket, and may halt the kernel. */
	without_gil([&] {
		s->api->socket_put(s->sock);
		instance_put(s->instance);
	});
	type->tp_free(self);
	Py_DECREF(type);
}

/*
 * As close(2) on the host: a signal ends the lingering, not the close. Return: false if its handler
 * raised, which comes out once the socket is closed.
 */
static bool linger(const struct socket_object *s)
{
	for (;;) {
		long rc = without_gil([&] { return s->api->socket_linger(s->sock); });

		if (rc != -EINTR && rc != -EAGAIN)
			return true;
		if (PyErr_CheckSignals() < 0)
			return false;
		if (rc == -EINTR)
			return true;
	}
}

static PyObject *socket_close(PyObject *self, PyObject *)
{
	const struct socket_object *s = socket_of(self);
	bool raised = !linger(s);
	long rc = without_gil([&] { return s->api->socket_close(s->sock); });

	if (raised)
		return nullptr;

	/* Closed already, or gone with its kernel: closing is done. */
	if (rc == -EBADF || rc == LKLSOCK_ENOTRUNNING)
		rc = 0;
	return socket_done(s, rc);
}

static PyObject *socket_lkl_fd(PyObject *self, void *)
{
	const struct socket_object *s = socket_of(self);
	int fd = s->api->socket_lkl_fd(s->sock);

	return PyLong_FromLong(fd < 0 ? -1 : fd);
}

PyObject *socket_by_shadow(int host_fd, int family)
{
	const struct interpreter *state = interpreter_get();
	struct instance *instance;
	struct lklsock_socket *sock;
	PyObject *self;

	if (!state)
		return nullptr;
	instance = without_gil([&] { return instance_by_shadow(host_fd, &sock); });
	if (!instance)
		Py_RETURN_NONE;
	self = socket_new(state->socket_type, instance, sock, family);
	without_gil([&] { instance_put(instance); });
	return self;
}

#define FAST(name, signature) \
	{ #name, reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(socket_##name)), \
	  METH_FASTCALL, #name signature "\n--\n\n" }
#define ONE(name, signature) { #name, socket_##name, METH_O, #name signature "\n--\n\n" }
#define NONE(name) { #name, socket_##name, METH_NOARGS, #name "($self)\n--\n\n" }

static PyMethodDef methods[] = {
	NONE(close),
	ONE(bind, "($self, address, /)"),
	ONE(listen, "($self, backlog, /)"),
	NONE(accept),
	ONE(connect, "($self, address, /)"),
	FAST(send, "($self, data, flags=0, /)"),
	FAST(sendto, "($self, data, flags, address, /)"),
	FAST(sendmsg, "($self, buffers, ancdata=(), flags=0, address=None, /)"),
	FAST(recv, "($self, bufsize, flags=0, /)"),
	FAST(recv_into, "($self, buffer, nbytes=0, flags=0, /)"),
	FAST(recvfrom, "($self, bufsize, flags=0, /)"),
	FAST(recvfrom_into, "($self, buffer, nbytes=0, flags=0, /)"),
	FAST(recvmsg, "($self, bufsize, ancbufsize=0, flags=0, /)"),
	FAST(recvmsg_into, "($self, buffers, ancbufsize=0, flags=0, /)"),
	ONE(shutdown, "($self, how, /)"),
	NONE(getsockname),
	NONE(getpeername),
	FAST(getsockopt, "($self, level, option, buflen=0, /)"),
	FAST(setsockopt, "($self, level, option, value, optlen=0, /)"),
	FAST(getsockopt_buffer, "($self, level, option, value, /)"),
	FAST(ioctl, "($self, request, buffer, /)"),
	FAST(wait, "($self, events, deadline_ns, /)"),
	NONE(poll),
	NONE(shadow),
	ONE(shadow_move, "($self, fd, /)"),
	ONE(join_host, "($self, fd, /)"),
	NONE(leave_host),
	NONE(leave_kernel),
	ONE(replace_kernel, "($self, other, /)"),
	ONE(refresh, "($self, came_short, /)"),
	FAST(bridge, "($self, fd=-1, /)"),
	{},
};

#undef FAST
#undef ONE
#undef NONE

static PyGetSetDef properties[] = {
	{ "lkl_fd", socket_lkl_fd, nullptr, "The descriptor inside the kernel; -1 when closed.",
	  nullptr },
	{},
};

static PyType_Slot slots[] = {
	{ Py_tp_doc, const_cast<char *>("A non-blocking socket inside a kernel.") },
	{ Py_tp_dealloc, reinterpret_cast<void *>(socket_dealloc) },
	{ Py_tp_methods, methods },
	{ Py_tp_getset, properties },
	{},
};

static PyType_Spec spec = {
	"lklsock._lkl.Socket",
	sizeof(struct socket_object),
	0,
	Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION | Py_TPFLAGS_IMMUTABLETYPE,
	slots,
};

PyTypeObject *socket_type_add(PyObject *module)
{
	struct interpreter *state = interpreter_get();
	PyObject *type;

	if (!state)
		return nullptr;
	type = PyType_FromModuleAndSpec(module, &spec, nullptr);
	if (!type)
		return nullptr;
	if (PyModule_AddObjectRef(module, "Socket", type) < 0) {
		Py_DECREF(type);
		return nullptr;
	}
	Py_XDECREF(state->socket_type);
	state->socket_type = reinterpret_cast<PyTypeObject *>(type);
	return state->socket_type;
}
