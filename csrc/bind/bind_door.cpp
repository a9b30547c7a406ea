// SPDX-License-Identifier: GPL-2.0-only
/*
 * Kernel: its doors: system calls, tasks, files, sockets.
 */
#include "kernel.h"

#include <string>

#include "buffer.h"
#include "interpreter.h"
#include "socket.h"

#define ARGUMENTS_MAX 6

kernel_task::~kernel_task()
{
	without_gil([this] { ref->task_free(self); });
}

/* The C pointer of a task of this kernel, or of None. (pybind11 takes no None for a pointer after *args.) */
static struct lklsock_task *task_of(const kernel_ref &kernel, const py::object &object)
{
	const kernel_task *task;

	if (object.is_none())
		return nullptr;
	if (!py::isinstance<kernel_task>(object)) {
		raise_type("task must be a Task or None, not %.50s",
			   Py_TYPE(object.ptr())->tp_name);
		fail();
	}
	task = object.cast<const kernel_task *>();
	if (task->ref.instance != kernel.instance) {
		raise_value("the task is one of another kernel");
		fail();
	}
	return task->self;
}

/* A whole number of 64 bits, signed or not. */
static long number_of(PyObject *object)
{
	PyObject *number = PyNumber_Index(object);
	long long value;
	int overflow;

	if (!number)
		fail();
	value = PyLong_AsLongLongAndOverflow(number, &overflow);
	if (overflow > 0)
		value = static_cast<long long>(PyLong_AsUnsignedLongLong(number));
	Py_DECREF(number);
	if (overflow < 0)
		raise_overflow("an argument of a system call must fit 64 bits");
	if (PyErr_Occurred())
		fail();
	return value;
}

static long kernel_system_call(const kernel &self, long number, const py::args &args,
			       const py::object &task)
{
	struct lklsock_task *as = task_of(self.ref, task);
	buffer buffers[ARGUMENTS_MAX];
	long values[ARGUMENTS_MAX] = {};

	if (args.size() > ARGUMENTS_MAX) {
		raise_type("a system call takes at most %d arguments (%zu given)", ARGUMENTS_MAX,
			   args.size());
		fail();
	}
	for (size_t i = 0; i < args.size(); i++) {
		PyObject *arg = PyTuple_GET_ITEM(args.ptr(), static_cast<Py_ssize_t>(i));

		if (PyIndex_Check(arg)) {
			values[i] = number_of(arg);
			continue;
		}
		if (!buffers[i].take(arg))
			fail();
		values[i] = reinterpret_cast<long>(buffers[i].data);
	}
	return self.ref.call([&] { return self.ref->system_call(as, number, values); });
}

static std::unique_ptr<kernel_task> kernel_new_task(const kernel &self)
{
	struct lklsock_task *taken = without_gil([&] { return self.ref->task_new(); });

	if (!taken) {
		raise_call(self.ref.instance, instance_state(self.ref.instance) == LKLSOCK_RUNNING ?
						      -ENOMEM :
						      LKLSOCK_ENOTRUNNING);
		fail();
	}
	return std::make_unique<kernel_task>(self.ref, taken);
}

static py::bytes kernel_read_file(const kernel &self, const std::string &path, Py_ssize_t size)
{
	PyObject *data;
	long rc;

	if (size < 0) {
		raise_value("negative size in read_file");
		fail();
	}
	data = PyBytes_FromStringAndSize(nullptr, size);
	if (!data)
		fail();
	rc = without_gil([&] {
		return self.ref->file_read(path.c_str(), PyBytes_AS_STRING(data),
					   static_cast<size_t>(size));
	});
	if (rc < 0) {
		Py_DECREF(data);
		raise_call(self.ref.instance, rc, path.c_str());
		fail();
	}
	if (rc < size && _PyBytes_Resize(&data, rc) < 0)
		fail();
	return py::reinterpret_steal<py::bytes>(data);
}

static void kernel_write_file(const kernel &self, const std::string &path, const py::object &data)
{
	buffer content;

	if (!content.take(data.ptr()))
		fail();
	self.ref.call(
		[&] {
			return self.ref->file_write(path.c_str(), content.data,
						    static_cast<size_t>(content.size));
		},
		path.c_str());
}

static py::object kernel_socket(const kernel &self, int family, int type, int proto,
				const py::object &task)
{
	struct lklsock_task *as = task_of(self.ref, task);
	const struct interpreter *state = interpreter_get();
	struct lklsock_socket *sock;
	PyObject *object;

	if (!state)
		fail();
	self.ref.call([&] { return self.ref->socket_open(as, family, type, proto, &sock); });
	object = socket_new(state->socket_type, self.ref.instance, sock, family);
	if (!object)
		fail();
	return py::reinterpret_steal<py::object>(object);
}

void bind_door(py::module_ &m, py::class_<kernel> &type)
{
	py::class_<kernel_task>(m, "Task", py::is_final(), "A kernel task of its own.");

	type.def("system_call", &kernel_system_call, py::arg("number"),
		 py::arg("task") = py::none())
		.def("task", &kernel_new_task)
		.def("read_file", &kernel_read_file, py::arg("path"), py::arg("size") = 65536)
		.def("write_file", &kernel_write_file, py::arg("path"), py::arg("data"))
		.def("socket", &kernel_socket, py::arg("family"), py::arg("type"), py::arg("proto"),
		     py::arg("task") = py::none());
}
