// SPDX-License-Identifier: GPL-2.0-only
/*
 * Errors of the kernel, the library and the caller as Python exceptions.
 */
#include "errors.h"

#include <cerrno>
#include <cstdarg>
#include <netdb.h>

#include "gil.h"
#include "interpreter.h"

/* Enough for an oops with its registers. */
#define TAIL_BYTES 8192

#define RAISE_FORMATTED(type) \
	do { \
		va_list args; \
		va_start(args, format); \
		PyErr_FormatV(type, format, args); \
		va_end(args); \
		return nullptr; \
	} while (0)

PyObject *raise_type(const char *format, ...)
{
	RAISE_FORMATTED(PyExc_TypeError);
}

PyObject *raise_value(const char *format, ...)
{
	RAISE_FORMATTED(PyExc_ValueError);
}

PyObject *raise_overflow(const char *format, ...)
{
	RAISE_FORMATTED(PyExc_OverflowError);
}

PyObject *raise_os(const char *format, ...)
{
	RAISE_FORMATTED(PyExc_OSError);
}

PyObject *raise_memory()
{
	return PyErr_NoMemory();
}

PyObject *raise_errno(int err, const char *path)
{
	errno = err;
	return PyErr_SetFromErrnoWithFilename(PyExc_OSError, path);
}

PyObject *raise_gai(int code)
{
	PyObject *module, *type, *value;

	if (code == EAI_SYSTEM)
		return raise_errno(errno, nullptr);
	module = PyImport_ImportModule("_socket");
	if (!module)
		return nullptr;
	type = PyObject_GetAttrString(module, "gaierror");
	Py_DECREF(module);
	if (!type)
		return nullptr;
	value = Py_BuildValue("(is)", code, gai_strerror(code));
	if (value) {
		PyErr_SetObject(type, value);
		Py_DECREF(value);
	}
	Py_DECREF(type);
	return nullptr;
}

bool errors_set(PyObject *not_running, PyObject *boot, PyObject *panic)
{
	struct interpreter *state = interpreter_get();
	PyObject *given[] = { not_running, boot, panic };
	PyObject **slots[3];

	if (!state)
		return false;
	slots[0] = &state->not_running;
	slots[1] = &state->boot;
	slots[2] = &state->panic;
	for (int i = 0; i < 3; i++) {
		if (!PyExceptionClass_Check(given[i])) {
			raise_type(
				"set_errors() argument %d must be an exception class, not %.500s",
				i + 1, Py_TYPE(given[i])->tp_name);
			return false;
		}
	}
	for (int i = 0; i < 3; i++) {
		PyObject *old = *slots[i];

		Py_INCREF(given[i]);
		*slots[i] = given[i];
		Py_DECREF(old);
	}
	return true;
}

const char *state_name(enum lklsock_state state)
{
	switch (state) {
	case LKLSOCK_LOADED:
		return "loaded";
	case LKLSOCK_RUNNING:
		return "running";
	case LKLSOCK_HALTED:
		return "halted";
	case LKLSOCK_PANICKED:
		return "panicked";
	case LKLSOCK_FORKED:
		break;
	}
	return "forked";
}

PyObject *console_text(const struct instance *instance, size_t limit_bytes)
{
	auto *buf = static_cast<char *>(PyMem_Malloc(limit_bytes + 1));
	PyObject *text;
	size_t len;

	if (!buf)
		return raise_memory();
	len = without_gil([&] {
		return instance_api(instance)->console_tail(buf, limit_bytes + 1);
	});
	text = PyUnicode_DecodeUTF8(buf, static_cast<Py_ssize_t>(len), "replace");
	PyMem_Free(buf);
	return text;
}

/* An exception class of set_errors(): called with message, state, pid, console tail. message is stolen. */
static PyObject *raise_kernel(PyObject *type, PyObject *message, const struct instance *instance,
			      enum lklsock_state state)
{
	PyObject *tail, *value;

	if (!message)
		return nullptr;
	tail = console_text(instance, TAIL_BYTES);
	if (!tail) {
		Py_DECREF(message);
		return nullptr;
	}
	value = PyObject_CallFunction(type, "NslN", message, state_name(state),
				      static_cast<long>(instance_pid(instance)), tail);
	if (value) {
		PyErr_SetObject(reinterpret_cast<PyObject *>(Py_TYPE(value)), value);
		Py_DECREF(value);
	}
	return nullptr;
}

static PyObject *raise_not_running(const struct interpreter *classes,
				   const struct instance *instance)
{
	enum lklsock_state state = instance_state(instance);
	PyObject *message;

	switch (state) {
	case LKLSOCK_PANICKED:
		return raise_kernel(classes->panic,
				    PyUnicode_FromString("the kernel panicked: see the console"),
				    instance, state);
	case LKLSOCK_LOADED:
		message = PyUnicode_FromString("the kernel is not booted: boot it first");
		break;
	case LKLSOCK_FORKED:
		message = PyUnicode_FromFormat(
			"the kernel, and this socket or link, is that of process "
			"%ld: a forked child makes, connects and accepts "
			"its own; a server that hands connections over "
			"serves them in threads (ThreadingMixIn)",
			static_cast<long>(instance_pid(instance)));
		break;
	default:
		message = PyUnicode_FromString("the kernel is halted: load and boot a new one");
		break;
	}
	return raise_kernel(classes->not_running, message, instance, state);
}

PyObject *raise_call(const struct instance *instance, long rc, const char *path)
{
	const struct interpreter *classes;

	if (rc != LKLSOCK_ENOTRUNNING && rc != LKLSOCK_EREENTRY)
		return raise_errno(static_cast<int>(-rc), path);
	classes = interpreter_get();
	if (!classes)
		return nullptr;
	if (rc == LKLSOCK_ENOTRUNNING)
		return raise_not_running(classes, instance);
	return raise_kernel(classes->not_running,
			    PyUnicode_FromString("the kernel was called from a signal handler of a "
						 "thread that is inside it"),
			    instance, instance_state(instance));
}

PyObject *raise_boot(const struct instance *instance, long rc)
{
	const struct interpreter *classes = interpreter_get();
	enum lklsock_state state = instance_state(instance);
	PyObject *message;

	if (!classes)
		return nullptr;
	switch (state) {
	case LKLSOCK_FORKED:
	case LKLSOCK_HALTED:
		return raise_not_running(classes, instance);
	case LKLSOCK_PANICKED:
		message = PyUnicode_FromString(
			"the kernel panicked while it booted: see the console");
		break;
	case LKLSOCK_RUNNING:
		message = PyUnicode_FromString("the kernel is booted already");
		break;
	default:
		message = PyUnicode_FromFormat("the kernel did not boot: %s",
					       rc == LKLSOCK_ENOTRUNNING ?
						       "see the console" :
						       strerror(static_cast<int>(-rc)));
		break;
	}
	return raise_kernel(classes->boot, message, instance, state);
}

PyObject *raise_load(int rc, const char *library, const char *why)
{
	PyObject *text, *path;

	if (rc == -ELIBBAD) {
		text = PyUnicode_DecodeFSDefault(why);
		path = PyUnicode_DecodeFSDefault(library);
		if (text && path)
			PyErr_SetImportError(text, nullptr, path);
		Py_XDECREF(text);
		Py_XDECREF(path);
		return nullptr;
	}
	if (!*why)
		return raise_errno(-rc, library);
	text = Py_BuildValue("(is)", -rc, why);
	if (text) {
		PyErr_SetObject(PyExc_OSError, text);
		Py_DECREF(text);
	}
	return nullptr;
}
