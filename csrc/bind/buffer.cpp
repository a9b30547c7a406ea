// SPDX-License-Identifier: GPL-2.0-only
/*
 * The buffer protocol, with the error texts of the stdlib's socket.
 */
#include "buffer.h"

#include <climits>

#include "errors.h"

bool buffer::export_of(PyObject *object, int flags)
{
	if (PyObject_GetBuffer(object, &view, flags) < 0)
		return false;
	held = true;
	data = static_cast<char *>(view.buf);
	size = view.len;
	return true;
}

bool buffer::take_writable(PyObject *object, const char *function, int argument)
{
	if (export_of(object, PyBUF_WRITABLE))
		return true;
	PyErr_Clear();
	raise_type("%s() argument %d must be read-write bytes-like object, not %.50s", function,
		   argument, object == Py_None ? "None" : Py_TYPE(object)->tp_name);
	return false;
}

buffer_list::~buffer_list()
{
	for (int i = 0; i < count; i++)
		PyBuffer_Release(&views[i]);
	if (views != inline_views) {
		PyMem_Free(views);
		PyMem_Free(vectors);
	}
}

bool buffer_list::take(PyObject *iterable, const char *function, bool writable)
{
	PyObject *items = PySequence_Fast(iterable, "");
	Py_ssize_t wanted;

	if (!items) {
		if (PyErr_ExceptionMatches(PyExc_TypeError))
			raise_type("%s() argument 1 must be an iterable", function);
		return false;
	}
	wanted = PySequence_Fast_GET_SIZE(items);
	if (wanted > INT_MAX) {
		raise_os("%s() argument 1 is too long", function);
		Py_DECREF(items);
		return false;
	}
	if (wanted > INLINE) {
		views = static_cast<Py_buffer *>(PyMem_Calloc(wanted, sizeof(*views)));
		vectors = static_cast<struct iovec *>(PyMem_Calloc(wanted, sizeof(*vectors)));
		if (!views || !vectors) {
			raise_memory();
			Py_DECREF(items);
			return false;
		}
	}
	/* The size is read again each time: taking a buffer can run Python code that shortens the list. */
	while (count < wanted && count < PySequence_Fast_GET_SIZE(items)) {
		Py_buffer *view = &views[count];

		if (PyObject_GetBuffer(PySequence_Fast_GET_ITEM(items, count), view,
				       writable ? PyBUF_WRITABLE : PyBUF_SIMPLE) < 0) {
			if (writable) {
				PyErr_Clear();
				raise_type("%s() argument 1 must be an iterable of single-segment "
					   "read-write buffers",
					   function);
			}
			Py_DECREF(items);
			return false;
		}
		vectors[count].iov_base = view->buf;
		vectors[count].iov_len = static_cast<size_t>(view->len);
		count++;
	}
	Py_DECREF(items);
	return true;
}
