// SPDX-License-Identifier: GPL-2.0-only
/*
 * Kernel: load, boot, halt, console.
 */
#include "kernel.h"

#include <pybind11/stl.h>

#include <cmath>
#include <ctime>
#include <string>

/* The least that lklsock.h promises to boot in. */
#define MEMORY_BYTES_MIN (8ULL << 20)
#define CONSOLE_BYTES (256 << 10)

static std::unique_ptr<kernel> kernel_load(const std::string &library)
{
	struct instance *instance;
	char why[512];
	int rc = without_gil([&] {
		return instance_load(library.c_str(), &instance, why, sizeof(why));
	});

	if (rc < 0) {
		raise_load(rc, library.c_str(), why);
		fail();
	}
	return std::unique_ptr<kernel>(new kernel{ kernel_ref(instance) });
}

static void kernel_boot(const kernel &self, uint64_t memory_bytes, const std::string &command_line,
			const std::optional<std::string> &hostname, int console_level)
{
	struct lklsock_boot boot = {};
	long rc = LKLSOCK_ENOTRUNNING;

	if (memory_bytes < MEMORY_BYTES_MIN) {
		raise_value("memory_bytes must be at least %llu", MEMORY_BYTES_MIN);
		fail();
	}
	if (console_level < 0 || console_level > 8) {
		raise_value("console_level must be 0-8");
		fail();
	}
	boot.memory_bytes = memory_bytes;
	boot.command_line = command_line.c_str();
	boot.hostname = hostname ? hostname->c_str() : nullptr;
	boot.console_level = console_level;
	if (instance_state(self.ref.instance) == LKLSOCK_LOADED)
		rc = without_gil([&] { return self.ref->boot(&boot); });
	if (rc < 0) {
		raise_boot(self.ref.instance, rc);
		fail();
	}
}

static std::unique_ptr<kernel> kernel_shared()
{
	struct instance *instance = without_gil([] { return instance_shared(); });

	return instance ? std::unique_ptr<kernel>(new kernel{ kernel_ref(instance) }) : nullptr;
}

static uint64_t deadline_after(double timeout_s)
{
	struct timespec now;

	if (std::isnan(timeout_s) || timeout_s < 0) {
		raise_value("timeout_s must not be negative");
		fail();
	}
	/* More than a hundred years is for ever. */
	if (timeout_s > 3e9)
		return LKLSOCK_NEVER;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return static_cast<uint64_t>(now.tv_sec) * 1000000000ULL +
	       static_cast<uint64_t>(now.tv_nsec) + static_cast<uint64_t>(timeout_s * 1e9);
}

static py::dict kernel_statistics(const kernel &self)
{
	struct lklsock_statistics n = {};
	py::dict out;

	self.ref.call([&] { return self.ref->statistics(&n); });
#define COUNTER(name) out[#name] = n.name
	COUNTER(requests);
	COUNTER(cold_requests);
	COUNTER(sleeping_owners);
	COUNTER(switches);
	COUNTER(interrupts);
	COUNTER(timer_sets);
	COUNTER(handoffs);
	COUNTER(kicks);
	COUNTER(watch_polls);
	COUNTER(watch_changes);
	COUNTER(parks);
	COUNTER(free_pages);
	COUNTER(total_pages);
#undef COUNTER
	return out;
}

static py::object kernel_console(const kernel &self)
{
	PyObject *text = console_text(self.ref.instance, CONSOLE_BYTES);

	if (!text)
		fail();
	return py::reinterpret_steal<py::object>(text);
}

void bind_kernel(py::module_ &m)
{
	py::class_<kernel> type(m, "Kernel", py::is_final(), "One loaded copy of liblkl.so.");

	type.def(py::init(&kernel_load), py::arg("library"))
		.def("boot", &kernel_boot, py::arg("memory_bytes"), py::arg("command_line") = "",
		     py::arg("hostname") = py::none(), py::arg("console_level") = 5)
		.def(
			"halt",
			[](const kernel &self, double timeout_s) {
				uint64_t deadline_ns = deadline_after(timeout_s);

				self.ref.call([&] { return self.ref->halt(deadline_ns); });
			},
			py::arg("timeout_s") = 1.0)
		.def_property_readonly("state",
				       [](const kernel &self) {
					       return state_name(instance_state(self.ref.instance));
				       })
		.def_property_readonly(
			"pid", [](const kernel &self) { return instance_pid(self.ref.instance); })
		.def_property_readonly(
			"version", [](const kernel &self) { return self.ref->kernel_version(); })
		.def("console", &kernel_console)
		.def("statistics", &kernel_statistics);
	m.def("fork_hold", &instance_fork_hold).def("fork_release", [] {
		without_gil([] { instance_fork_release(); });
	});
	m.def("shared_kernel", &kernel_shared)
		.def(
			"share_kernel",
			[](const kernel &self, bool replace) {
				return without_gil([&] {
					return instance_share(self.ref.instance, replace);
				});
			},
			py::arg("kernel"), py::arg("replace") = false);
	m.def("in_main_interpreter",
	      [] { return PyInterpreterState_Get() == PyInterpreterState_Main(); });
	bind_door(m, type);
	bind_link(m, type);
	bind_network(type);

	m.def(
		"set_errors",
		[](const py::object &not_running, const py::object &boot, const py::object &panic) {
			if (!errors_set(not_running.ptr(), boot.ptr(), panic.ptr()))
				fail();
		},
		py::arg("not_running"), py::arg("boot"), py::arg("panic"));
}
