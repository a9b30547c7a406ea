// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memory of Python objects, lent to the kernel without a copy.
 */
#ifndef BIND_BUFFER_H
#define BIND_BUFFER_H

#include <Python.h>

#include <sys/uio.h>

/* One contiguous buffer. It keeps the object from moving its memory; the caller's argument keeps it alive. */
class buffer {
public:
	buffer() = default;
	~buffer()
	{
		if (held)
			PyBuffer_Release(&view);
	}
	buffer(const buffer &) = delete;
	buffer &operator=(const buffer &) = delete;

	/* To read from. Return: false with an exception set. */
	bool take(PyObject *object)
	{
		/* bytes never move: no need to go through the protocol. */
		if (PyBytes_CheckExact(object)) {
			data = PyBytes_AS_STRING(object);
			size = PyBytes_GET_SIZE(object);
			return true;
		}
		return export_of(object, PyBUF_SIMPLE);
	}

	/* To write to: argument number of function, for the message. */
	bool take_writable(PyObject *object, const char *function, int argument);

	char *data = nullptr;
	Py_ssize_t size = 0;

private:
	bool export_of(PyObject *object, int flags);

	Py_buffer view;
	bool held = false;
};

/* Several, for sendmsg and recvmsg_into: argument 1 of function. */
class buffer_list {
public:
	buffer_list() = default;
	~buffer_list();
	buffer_list(const buffer_list &) = delete;
	buffer_list &operator=(const buffer_list &) = delete;

	bool take(PyObject *iterable, const char *function, bool writable);

	struct iovec *vectors = inline_vectors;
	int count = 0;

private:
	static constexpr int INLINE = 8;

	Py_buffer *views = inline_views;
	Py_buffer inline_views[INLINE];
	struct iovec inline_vectors[INLINE];
};

#endif
