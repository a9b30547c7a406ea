// SPDX-License-Identifier: GPL-2.0-only
/*
 * lklsock._lkl: the table of contents. The contract is src/lklsock/_lkl.pyi.
 */
#include "kernel.h"

#include <sys/epoll.h>

#include "socket.h"

PYBIND11_MODULE(_lkl, m, py::mod_gil_not_used(), py::multiple_interpreters::per_interpreter_gil())
{
	m.attr("IN") = static_cast<unsigned>(EPOLLIN);
	m.attr("PRI") = static_cast<unsigned>(EPOLLPRI);
	m.attr("OUT") = static_cast<unsigned>(EPOLLOUT);
	m.attr("ERR") = static_cast<unsigned>(EPOLLERR);
	m.attr("HUP") = static_cast<unsigned>(EPOLLHUP);
	m.attr("RDHUP") = static_cast<unsigned>(EPOLLRDHUP);
	m.attr("LKLSOCK_ABI") = LKLSOCK_ABI;

	if (!socket_type_add(m.ptr()))
		fail();
	m.def(
		"socket_by_shadow",
		[](int fd, int family) {
			PyObject *found = socket_by_shadow(fd, family);

			if (!found)
				fail();
			return py::reinterpret_steal<py::object>(found);
		},
		py::arg("fd"), py::arg("family"));
	bind_kernel(m);
}
