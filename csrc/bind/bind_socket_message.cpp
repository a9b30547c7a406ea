// SPDX-License-Identifier: GPL-2.0-only
/*
 * Socket: messages of several buffers and ancillary data.
 */
#define PY_SSIZE_T_CLEAN
#include "socket.h"

#include <algorithm>
#include <climits>
#include <cstring>

#include "address.h"
#include "arguments.h"
#include "buffer.h"
#include "gil.h"

namespace {

/* The bytes that msg_control points at; small ones need no allocation. */
class control_buffer {
public:
	control_buffer() = default;
	~control_buffer()
	{
		if (data != inline_data)
			PyMem_Free(data);
	}
	control_buffer(const control_buffer &) = delete;
	control_buffer &operator=(const control_buffer &) = delete;

	bool reserve(size_t bytes)
	{
		if (bytes > sizeof(inline_data)) {
			data = static_cast<char *>(PyMem_Malloc(bytes));
			if (!data)
				return raise_memory();
		}
		memset(data, 0, bytes);
		size = bytes;
		return true;
	}

	char *data = inline_data;
	size_t size = 0;

private:
	alignas(struct cmsghdr) char inline_data[256];
};

} // namespace

/* The space of one item. Return: 0 with an exception set when it is too large. */
static size_t item_space(PyObject *item)
{
	int level, type;
	Py_buffer data;
	Py_ssize_t size;

	if (!PyArg_Parse(item, "(iiy*):[sendmsg() ancillary data items]", &level, &type, &data))
		return 0;
	size = data.len;
	PyBuffer_Release(&data);
	if (size > INT_MAX - static_cast<Py_ssize_t>(CMSG_SPACE(0))) {
		raise_os("ancillary data item too large");
		return 0;
	}
	return CMSG_SPACE(static_cast<size_t>(size));
}

/* Puts one item at out, which has left bytes. Return: bytes used, 0 with an exception set. */
static size_t put_item(PyObject *item, char *out, size_t left)
{
	auto *header = reinterpret_cast<struct cmsghdr *>(out);
	Py_buffer data;
	size_t space;

	if (!PyArg_Parse(item, "(iiy*):[sendmsg() ancillary data items]", &header->cmsg_level,
			 &header->cmsg_type, &data))
		return 0;
	space = CMSG_SPACE(static_cast<size_t>(data.len));
	/* It grew since item_space() saw it. */
	if (space > left) {
		PyBuffer_Release(&data);
		raise_value("ancillary data changed while it was being sent");
		return 0;
	}
	header->cmsg_len = CMSG_LEN(static_cast<size_t>(data.len));
	memcpy(CMSG_DATA(header), data.buf, static_cast<size_t>(data.len));
	PyBuffer_Release(&data);
	return space;
}

static bool pack_items(PyObject *items, control_buffer *control)
{
	size_t total = 0, at = 0;

	for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(items); i++) {
		size_t space = item_space(PyTuple_GET_ITEM(items, i));

		if (!space)
			return false;
		total += space;
		if (total > INT_MAX) {
			raise_os("too much ancillary data");
			return false;
		}
	}
	if (!control->reserve(total))
		return false;
	for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(items); i++) {
		size_t used = put_item(PyTuple_GET_ITEM(items, i), control->data + at, total - at);

		if (!used)
			return false;
		at += used;
	}
	return true;
}

/* (level, type, data) tuples as one block of control messages. */
static bool pack_ancillary(PyObject *iterable, control_buffer *control)
{
	/* A tuple of our own: the conversions can run Python code that changes a list. */
	PyObject *items = PySequence_Tuple(iterable);
	bool done;

	if (!items) {
		if (PyErr_ExceptionMatches(PyExc_TypeError))
			raise_type("sendmsg() argument 2 must be an iterable");
		return false;
	}
	done = pack_items(items, control);
	Py_DECREF(items);
	return done;
}

PyObject *socket_sendmsg(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
	const struct socket_object *s = socket_of(self);
	struct msghdr message = {};
	control_buffer control;
	struct address addr;
	buffer_list buffers;
	int flags = 0;

	if (!arguments_count("sendmsg", count, 1, 4) ||
	    (count > 2 && !argument_int(args[2], &flags)))
		return nullptr;
	if (count > 3 && args[3] != Py_None) {
		if (!address_parse(s, args[3], "sendmsg", &addr))
			return nullptr;
		message.msg_name = &addr.any;
		message.msg_namelen = addr.length;
	}
	if (!buffers.take(args[0], "sendmsg", false) ||
	    (count > 1 && !pack_ancillary(args[1], &control)))
		return nullptr;
	message.msg_iov = buffers.vectors;
	message.msg_iovlen = static_cast<size_t>(buffers.count);
	if (control.size) {
		message.msg_control = control.data;
		message.msg_controllen = control.size;
	}
	return socket_count(s,
			    without_gil([&] { return s->api->sendmsg(s->sock, &message, flags); }));
}

/* The control messages received, as a list of (level, type, data). One that was cut short is clipped. */
static PyObject *unpack_ancillary(const struct msghdr *message)
{
	const char *at = static_cast<const char *>(message->msg_control);
	size_t left = message->msg_controllen;
	PyObject *list = PyList_New(0);

	while (list && left >= sizeof(struct cmsghdr)) {
		const auto *header = reinterpret_cast<const struct cmsghdr *>(at);
		size_t size = std::min<size_t>(header->cmsg_len, left), step;
		PyObject *item;
		int rc;

		if (size < CMSG_LEN(0))
			break;
		item = Py_BuildValue("(iiy#)", header->cmsg_level, header->cmsg_type,
				     at + CMSG_LEN(0), static_cast<Py_ssize_t>(size - CMSG_LEN(0)));
		rc = item ? PyList_Append(list, item) : -1;
		Py_XDECREF(item);
		if (rc < 0)
			Py_CLEAR(list);
		step = std::min<size_t>(CMSG_ALIGN(size), left);
		at += step;
		left -= step;
	}
	return list;
}

/*
 * recvmsg(2) into the buffers, then (data, ancillary, flags, address) where data(n) makes the first of n bytes.
 */
template <class Data>
static PyObject *receive_message(const struct socket_object *s, struct iovec *vectors, int count,
				 Py_ssize_t control_size, int flags, Data &&data)
{
	struct msghdr message = {};
	control_buffer control;
	PyObject *ancillary;
	struct address addr;
	long rc;

	if (control_size < 0 || control_size > INT_MAX)
		return raise_value("invalid ancillary data buffer length");
	if (!control.reserve(static_cast<size_t>(control_size)))
		return nullptr;
	address_clear(&addr);
	message.msg_name = &addr.any;
	message.msg_namelen = addr.length;
	message.msg_iov = vectors;
	message.msg_iovlen = static_cast<size_t>(count);
	message.msg_control = control.data;
	message.msg_controllen = control.size;

	rc = without_gil([&] { return s->api->recvmsg(s->sock, &message, flags); });
	if (rc < 0)
		return socket_failed(s, rc);
	addr.length = std::min(message.msg_namelen, addr.length);
	ancillary = unpack_ancillary(&message);
	if (!ancillary)
		return nullptr;
	return Py_BuildValue("NNiN", data(rc), ancillary, message.msg_flags,
			     address_build(s, &addr));
}

PyObject *socket_recvmsg(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
	Py_ssize_t size, control_size = 0;
	PyObject *data, *result;
	struct iovec vector;
	int flags = 0;

	if (!arguments_count("recvmsg", count, 1, 3) || !argument_size(args[0], &size) ||
	    (count > 1 && !argument_size(args[1], &control_size)) ||
	    (count > 2 && !argument_int(args[2], &flags)))
		return nullptr;
	if (size < 0)
		return raise_value("negative buffer size in recvmsg()");
	data = PyBytes_FromStringAndSize(nullptr, size);
	if (!data)
		return nullptr;
	vector.iov_base = PyBytes_AS_STRING(data);
	vector.iov_len = static_cast<size_t>(size);
	result = receive_message(socket_of(self), &vector, 1, control_size, flags, [&](long n) {
		PyObject *received = data;

		data = nullptr;
		/* With MSG_TRUNC n is the message's size, which may be more than was asked for. */
		if (n < size)
			_PyBytes_Resize(&received, n);
		return received;
	});
	Py_XDECREF(data);
	return result;
}

PyObject *socket_recvmsg_into(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
	Py_ssize_t control_size = 0;
	buffer_list buffers;
	int flags = 0;

	if (!arguments_count("recvmsg_into", count, 1, 3) ||
	    (count > 1 && !argument_size(args[1], &control_size)) ||
	    (count > 2 && !argument_int(args[2], &flags)) ||
	    !buffers.take(args[0], "recvmsg_into", true))
		return nullptr;
	return receive_message(socket_of(self), buffers.vectors, buffers.count, control_size, flags,
			       [](long n) { return PyLong_FromLong(n); });
}
