// SPDX-License-Identifier: GPL-2.0-only
/*
 * Kernel: interfaces, addresses and routes, as far as booting needs them.
 */
#include "kernel.h"

#include <pybind11/stl.h>

#include <string>

#include <sys/socket.h>

/* A packed address of the family. */
static const void *packed(const py::bytes &address, int family)
{
	Py_ssize_t size = PyBytes_GET_SIZE(address.ptr());

	if (family != AF_INET && family != AF_INET6) {
		raise_value("family must be AF_INET or AF_INET6");
		fail();
	}
	if (size != (family == AF_INET ? 4 : 16)) {
		raise_value("a packed address of %s has %d bytes (%zd given)",
			    family == AF_INET ? "AF_INET" : "AF_INET6", family == AF_INET ? 4 : 16,
			    size);
		fail();
	}
	return PyBytes_AS_STRING(address.ptr());
}

static const void *packed(const std::optional<py::bytes> &address, int family)
{
	return address ? packed(*address, family) : nullptr;
}

static void address_add(const kernel &self, int ifindex, int family, const py::bytes &address,
			unsigned prefix_len)
{
	const void *raw = packed(address, family);

	self.ref.call([&] { return self.ref->address_add(ifindex, family, raw, prefix_len); });
}

static void address_del(const kernel &self, int ifindex, int family, const py::bytes &address,
			unsigned prefix_len)
{
	const void *raw = packed(address, family);

	self.ref.call([&] { return self.ref->address_del(ifindex, family, raw, prefix_len); });
}

static void route_add(const kernel &self, int ifindex, int family,
		      const std::optional<py::bytes> &destination, unsigned prefix_len,
		      const std::optional<py::bytes> &gateway, uint32_t metric, uint32_t table)
{
	const void *to = packed(destination, family);
	const void *via = packed(gateway, family);

	self.ref.call([&] {
		return self.ref->route_add(ifindex, family, to, prefix_len, via, metric, table);
	});
}

static void route_del(const kernel &self, int ifindex, int family,
		      const std::optional<py::bytes> &destination, unsigned prefix_len,
		      const std::optional<py::bytes> &gateway, uint32_t metric, uint32_t table)
{
	const void *to = packed(destination, family);
	const void *via = packed(gateway, family);

	self.ref.call([&] {
		return self.ref->route_del(ifindex, family, to, prefix_len, via, metric, table);
	});
}

static void rule_add(const kernel &self, int family, const py::bytes &source, unsigned prefix_len,
		     uint32_t table, uint32_t priority)
{
	const void *from = packed(source, family);

	self.ref.call([&] {
		return self.ref->rule_add(family, from, prefix_len, table, priority);
	});
}

static void rule_del(const kernel &self, int family, const py::bytes &source, unsigned prefix_len,
		     uint32_t table, uint32_t priority)
{
	const void *from = packed(source, family);

	self.ref.call([&] {
		return self.ref->rule_del(family, from, prefix_len, table, priority);
	});
}

void bind_network(py::class_<kernel> &type)
{
	type.def(
		    "interface_up",
		    [](const kernel &self, int ifindex, bool up) {
			    self.ref.call([&] { return self.ref->interface_up(ifindex, up); });
		    },
		    py::arg("ifindex"), py::arg("up") = true)
		.def(
			"interface_mtu",
			[](const kernel &self, int ifindex, unsigned mtu) {
				self.ref.call([&] {
					return self.ref->interface_mtu(ifindex, mtu);
				});
			},
			py::arg("ifindex"), py::arg("mtu"))
		.def(
			"interface_carrier",
			[](const kernel &self, int ifindex, bool carrier) {
				self.ref.call([&] {
					return self.ref->interface_carrier(ifindex, carrier);
				});
			},
			py::arg("ifindex"), py::arg("carrier"))
		.def("address_add", &address_add, py::arg("ifindex"), py::arg("family"),
		     py::arg("address"), py::arg("prefix_len"))
		.def("address_del", &address_del, py::arg("ifindex"), py::arg("family"),
		     py::arg("address"), py::arg("prefix_len"))
		.def("route_add", &route_add, py::arg("ifindex"), py::arg("family"),
		     py::arg("destination") = py::none(), py::arg("prefix_len") = 0,
		     py::arg("gateway") = py::none(), py::arg("metric") = 0, py::arg("table") = 254)
		.def("route_del", &route_del, py::arg("ifindex"), py::arg("family"),
		     py::arg("destination") = py::none(), py::arg("prefix_len") = 0,
		     py::arg("gateway") = py::none(), py::arg("metric") = 0, py::arg("table") = 254)
		.def("rule_add", &rule_add, py::arg("family"), py::arg("source"),
		     py::arg("prefix_len"), py::arg("table"), py::arg("priority") = 0)
		.def("rule_del", &rule_del, py::arg("family"), py::arg("source"),
		     py::arg("prefix_len"), py::arg("table"), py::arg("priority") = 0);
}
