// SPDX-License-Identifier: GPL-2.0-only
/*
 * The state lives in a capsule in the interpreter's own dictionary: pybind11
 * gives its modules no room of their own.
 */
#include "interpreter.h"

#include <initializer_list>

#include "errors.h"

static const char CAPSULE[] = "lklsock._lkl.interpreter";

static void capsule_free(PyObject *capsule)
{
	auto *state = static_cast<struct interpreter *>(PyCapsule_GetPointer(capsule, CAPSULE));

	Py_XDECREF(state->socket_type);
	Py_DECREF(state->not_running);
	Py_DECREF(state->boot);
	Py_DECREF(state->panic);
	PyMem_Free(state);
}

static PyObject *capsule_new()
{
	auto *state =
		static_cast<struct interpreter *>(PyMem_Calloc(1, sizeof(struct interpreter)));
	PyObject *capsule;

	if (!state)
		return raise_memory();
	capsule = PyCapsule_New(state, CAPSULE, capsule_free);
	if (!capsule) {
		PyMem_Free(state);
		return nullptr;
	}
	/* Until lklsock.errors hands its own over. */
	for (PyObject **slot : { &state->not_running, &state->boot, &state->panic }) {
		Py_INCREF(PyExc_RuntimeError);
		*slot = PyExc_RuntimeError;
	}
	return capsule;
}

struct interpreter *interpreter_get()
{
	PyObject *dict = PyInterpreterState_GetDict(PyInterpreterState_Get());
	PyObject *capsule;

	if (!dict) {
		raise_memory();
		return nullptr;
	}
	capsule = PyDict_GetItemString(dict, CAPSULE);
	if (!capsule) {
		capsule = capsule_new();
		if (!capsule)
			return nullptr;
		/* The dictionary's reference is the one that keeps it. */
		if (PyDict_SetItemString(dict, CAPSULE, capsule) < 0) {
			Py_DECREF(capsule);
			return nullptr;
		}
		Py_DECREF(capsule);
	}
	return static_cast<struct interpreter *>(PyCapsule_GetPointer(capsule, CAPSULE));
}
