// SPDX-License-Identifier: GPL-2.0-only
/*
 * The Python type Socket: a reference to one socket of one kernel.
 *
 * It is made by hand and its methods take bare argument vectors, for here every 50 ns count. Its fields never change:
 * any number of threads may use it, and closing is the kernel's matter.
 */
#ifndef BIND_SOCKET_H
#define BIND_SOCKET_H

#include <Python.h>

#include <loader/instance.h>

struct socket_object {
	PyObject_HEAD
	const struct lklsock_api *api;
	struct lklsock_socket *sock; /* one reference */
	struct instance *instance;   /* one reference */
	int family;
};

/* Makes the type and keeps it for this interpreter. Return: a borrowed reference, or NULL. */
PyTypeObject *socket_type_add(PyObject *module);

/* Takes over the reference to sock, also when it fails. */
PyObject *socket_new(PyTypeObject *type, struct instance *instance, struct lklsock_socket *sock,
		     int family);

/* Of any kernel of the process. Return: a Socket, None, or NULL and an exception. */
PyObject *socket_by_shadow(int host_fd, int family);

inline struct socket_object *socket_of(PyObject *self)
{
	return reinterpret_cast<struct socket_object *>(self);
}

using fast_method = PyObject *(PyObject *self, PyObject *const *args, Py_ssize_t count);
using plain_method = PyObject *(PyObject *self, PyObject *arg);

/* bind_socket_data.cpp */
fast_method socket_send, socket_sendto, socket_recv, socket_recv_into, socket_recvfrom,
	socket_recvfrom_into;
/* bind_socket_message.cpp */
fast_method socket_sendmsg, socket_recvmsg, socket_recvmsg_into;
/* bind_socket_name.cpp */
plain_method socket_bind, socket_listen, socket_accept, socket_connect, socket_getsockname,
	socket_getpeername, socket_shutdown;
/* bind_socket_option.cpp */
fast_method socket_getsockopt, socket_setsockopt, socket_getsockopt_buffer, socket_ioctl;
/* bind_socket_wait.cpp */
fast_method socket_wait;
plain_method socket_poll, socket_shadow, socket_shadow_move;
/* bind_socket_half.cpp */
fast_method socket_bridge;
plain_method socket_join_host, socket_leave_host, socket_leave_kernel, socket_replace_kernel,
	socket_refresh;

/* Results of the kernel as Python's: None for "would block". */
PyObject *socket_count(const struct socket_object *s, long rc);
/* None, or the error. */
PyObject *socket_done(const struct socket_object *s, long rc);
/* What a function returns when its kernel call did not transfer anything: rc is negative. */
PyObject *socket_failed(const struct socket_object *s, long rc);

#endif
