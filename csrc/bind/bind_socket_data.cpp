// SPDX-License-Identifier: GPL-2.0-only
/*
 * Socket: send and receive plain data.
 */
#include "socket.h"

#include <cerrno>
#include <cstring>

#include "address.h"
#include "arguments.h"
#include "buffer.h"
#include "gil.h"

/*
 * Requests up to this size are received on the stack and copied into an object of the very size: cheaper than to make
 * an object of the size asked for and shrink it, and nothing is made when there is nothing to receive.
 */
#define STACK_BYTES 4096

/*
 * malloc maps blocks from about this size on one by one, until the first of that size is freed as it is. One that was
 * shrunk to little is a system call and a page fault or two for each message, for ever.
 */
#define MAPPED_BYTES (128 << 10)

PyObject *socket_failed(const struct socket_object *s, long rc)
{
	if (rc == -EAGAIN)
		Py_RETURN_NONE;
	return raise_call(s->instance, rc);
}

PyObject *socket_count(const struct socket_object *s, long rc)
{
	return rc >= 0 ? PyLong_FromLong(rc) : socket_failed(s, rc);
}

PyObject *socket_done(const struct socket_object *s, long rc)
{
	if (rc < 0)
		return raise_call(s->instance, rc);
	Py_RETURN_NONE;
}

PyObject *socket_send(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
	const struct socket_object *s = socket_of(self);
	int flags = 0;
	buffer data;

	if (!arguments_count("send", count, 1, 2) || !data.take(args[0]) ||
	    (count > 1 && !argument_int(args[1], &flags)))
		return nullptr;
	return socket_count(s, without_gil([&] {
				    return s->api->send(s->sock, data.data,
							static_cast<size_t>(data.size), flags);
			    }));
}

PyObject *socket_sendto(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
	const struct socket_object *s = socket_of(self);
	struct address addr;
	int flags;
	buffer data;

	if (!arguments_count("sendto", count, 3, 3) || !data.take(args[0]) ||
	    !argument_int(args[1], &flags) || !address_parse(s, args[2], "sendto", &addr))
		return nullptr;
	return socket_count(s, without_gil([&] {
				    return s->api->sendto(s->sock, data.data,
							  static_cast<size_t>(data.size), flags,
							  &addr.any, addr.length);
			    }));
}

/* The arguments of recv and recvfrom. */
static bool parse_receive(const char *function, PyObject *const *args, Py_ssize_t count,
			  Py_ssize_t *size, int *flags)
{
	*flags = 0;
	if (!arguments_count(function, count, 1, 2) || !argument_size(args[0], size) ||
	    (count > 1 && !argument_int(args[1], flags)))
		return false;
	if (*size < 0) {
		raise_value("negative buffersize in %s", function);
		return false;
	}
	return true;
}

/* With MSG_TRUNC the result is the message's size, received or not: as many bytes, those not received being zero. */
static PyObject *with_truncated(const char *received, Py_ssize_t size, Py_ssize_t result)
{
	PyObject *data = PyBytes_FromStringAndSize(nullptr, result);

	if (data) {
		memcpy(PyBytes_AS_STRING(data), received, static_cast<size_t>(size));
		memset(PyBytes_AS_STRING(data) + size, 0, static_cast<size_t>(result - size));
	}
	return data;
}

/* data has room for size, of which the kernel filled result. Takes over data. */
static PyObject *finish(PyObject *data, Py_ssize_t size, Py_ssize_t result)
{
	PyObject *fitting;

	if (result == size)
		return data;
	if (result < size && (size < MAPPED_BYTES || result > size / 4)) {
		_PyBytes_Resize(&data, result);
		return data;
	}
	fitting = result < size ? PyBytes_FromStringAndSize(PyBytes_AS_STRING(data), result) :
				  with_truncated(PyBytes_AS_STRING(data), size, result);
	Py_DECREF(data);
	return fitting;
}

/*
 * Receives up to size bytes through call(buf, len). Return: bytes; None for nothing there yet; NULL with an exception
 * set.
 */
template <class Call>
static PyObject *receive(const struct socket_object *s, Py_ssize_t size, int flags, Call &&call)
{
	PyObject *data;
	long rc;

	if (size <= STACK_BYTES) {
		char buf[STACK_BYTES];

		/* TCP counts without writing. */
		if (flags & MSG_TRUNC)
			memset(buf, 0, static_cast<size_t>(size));
		rc = without_gil([&] { return call(buf, static_cast<size_t>(size)); });
		if (rc < 0)
			return socket_failed(s, rc);
		return rc <= size ? PyBytes_FromStringAndSize(buf, rc) :
				    with_truncated(buf, size, rc);
	}
	data = PyBytes_FromStringAndSize(nullptr, size);
	if (!data)
		return nullptr;
	if (flags & MSG_TRUNC)
		memset(PyBytes_AS_STRING(data), 0, static_cast<size_t>(size));
	rc = without_gil([&] { return call(PyBytes_AS_STRING(data), static_cast<size_t>(size)); });
	if (rc < 0) {
		Py_DECREF(data);
		return socket_failed(s, rc);
	}
	return finish(data, size, rc);
}

PyObject *socket_recv(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
	const struct socket_object *s = socket_of(self);
	Py_ssize_t size;
	int flags;

	if (!parse_receive("recv", args, count, &size, &flags))
		return nullptr;
	/* As the stdlib: no system call for nothing. */
	if (size == 0)
		return PyBytes_FromStringAndSize(nullptr, 0);
	return receive(s, size, flags, [&](void *buf, size_t len) {
		return s->api->recv(s->sock, buf, len, flags);
	});
}

/* (data, address), taking over data. */
static PyObject *with_address(const struct socket_object *s, PyObject *data,
			      const struct address *addr)
{
	PyObject *from, *result;

	if (!data || data == Py_None)
		return data;
	from = address_build(s, addr);
	result = from ? PyTuple_New(2) : nullptr;
	if (!result) {
		Py_XDECREF(from);
		Py_DECREF(data);
		return nullptr;
	}
	PyTuple_SET_ITEM(result, 0, data);
	PyTuple_SET_ITEM(result, 1, from);
	return result;
}

PyObject *socket_recvfrom(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
	const struct socket_object *s = socket_of(self);
	struct address addr;
	Py_ssize_t size;
	int flags;

	if (!parse_receive("recvfrom", args, count, &size, &flags))
		return nullptr;
	address_clear(&addr);
	return with_address(s,
			    receive(s, size, flags,
				    [&](void *buf, size_t len) {
					    return s->api->recvfrom(s->sock, buf, len, flags,
								    &addr.any, &addr.length);
				    }),
			    &addr);
}

/* The arguments of recv_into and recvfrom_into; size ends up as the number of bytes wanted. */
static bool parse_into(const char *function, const char *too_small, PyObject *const *args,
		       Py_ssize_t count, buffer *into, Py_ssize_t *size, int *flags)
{
	*size = 0;
	*flags = 0;
	if (!arguments_count(function, count, 1, 3) || !into->take_writable(args[0], function, 1) ||
	    (count > 1 && !argument_size(args[1], size)) ||
	    (count > 2 && !argument_int(args[2], flags)))
		return false;
	if (*size < 0) {
		raise_value("negative buffersize in %s", function);
		return false;
	}
	if (*size == 0)
		*size = into->size;
	if (*size > into->size) {
		raise_value("%s", too_small);
		return false;
	}
	return true;
}

PyObject *socket_recv_into(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
	const struct socket_object *s = socket_of(self);
	Py_ssize_t size;
	buffer into;
	int flags;

	if (!parse_into("recv_into", "buffer too small for requested bytes", args, count, &into,
			&size, &flags))
		return nullptr;
	if (size == 0)
		return PyLong_FromLong(0);
	return socket_count(s, without_gil([&] {
				    return s->api->recv(s->sock, into.data,
							static_cast<size_t>(size), flags);
			    }));
}

PyObject *socket_recvfrom_into(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
	const struct socket_object *s = socket_of(self);
	struct address addr;
	Py_ssize_t size;
	buffer into;
	int flags;
	long rc;

	if (!parse_into("recvfrom_into", "nbytes is greater than the length of the buffer", args,
			count, &into, &size, &flags))
		return nullptr;
	address_clear(&addr);
	rc = without_gil([&] {
		return s->api->recvfrom(s->sock, into.data, static_cast<size_t>(size), flags,
					&addr.any, &addr.length);
	});
	return with_address(s, socket_count(s, rc), &addr);
}
