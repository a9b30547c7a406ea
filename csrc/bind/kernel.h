// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the pybind11 types share: a reference to an instance, and its errors
 * as C++ exceptions.
 */
#ifndef BIND_KERNEL_H
#define BIND_KERNEL_H

#include <pybind11/pybind11.h>

#include <loader/instance.h>

#include "errors.h"
#include "gil.h"

namespace py = pybind11;

/* The exception is set: on to pybind11, which hands it to Python. */
[[noreturn]] inline void fail()
{
	throw py::error_already_set();
}

/* One reference to a kernel. */
class kernel_ref {
public:
	explicit kernel_ref(struct instance *taken) : instance(taken) {}
	kernel_ref(const kernel_ref &other) : instance(other.instance) { instance_get(instance); }
	kernel_ref &operator=(const kernel_ref &) = delete;
	~kernel_ref()
	{
		without_gil([this] { instance_put(instance); });
	}

	const struct lklsock_api *operator->() const { return instance_api(instance); }

	/* Calls into the kernel without the GIL, and raises what it returns if that is negative. */
	template <class Call> long call(Call &&call, const char *path = nullptr) const
	{
		long rc = without_gil(call);

		if (rc < 0) {
			raise_call(instance, rc, path);
			fail();
		}
		return rc;
	}

	struct instance *const instance;
};

/* The Python type Kernel. */
struct kernel {
	kernel_ref ref;
};

/* The Python type Task. */
class kernel_task {
public:
	kernel_task(const kernel_ref &kernel, struct lklsock_task *taken) : ref(kernel), self(taken)
	{
	}
	kernel_task(const kernel_task &) = delete;
	kernel_task &operator=(const kernel_task &) = delete;
	~kernel_task();

	const kernel_ref ref;
	struct lklsock_task *const self;
};

void bind_kernel(py::module_ &m);
/* Parts of Kernel, with the types that its methods return. */
void bind_door(py::module_ &m, py::class_<kernel> &type);
void bind_link(py::module_ &m, py::class_<kernel> &type);
void bind_network(py::class_<kernel> &type);

#endif
