// SPDX-License-Identifier: GPL-2.0-only
/*
 * Link: what carries the frames of a net device.
 */
#include "kernel.h"

#include <pybind11/stl.h>

#include <cstring>
#include <mutex>
#include <string>
#include <tuple>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <unistd.h>

namespace {

constexpr Py_ssize_t TUNNEL_KEY_BYTES = 32;

/* One direction, in the order of struct lklsock_impair. */
using impairment = std::tuple<uint64_t, uint64_t, uint64_t, uint32_t, double, double, double>;

/*
 * The Python type Link: owns a link until it is closed, a wrapper takes it over,
 * or it is dropped when attached: then the kernel has it. The lock keeps a link from being closed while another thread uses it.
 */
class link_handle {
public:
	link_handle(const kernel_ref &kernel, struct lklsock_link *taken) : ref(kernel), self(taken)
	{
	}
	link_handle(const link_handle &) = delete;
	link_handle &operator=(const link_handle &) = delete;
	~link_handle()
	{
		if (self)
			without_gil([this] { ref->link_release(self); });
	}

	/* Runs call(link) on a link that is still ours, and raises what it returns if that is negative. */
	template <class Call> long use(Call &&call)
	{
		bool gone = false;
		long rc = 0;

		if (is_foreign()) {
			raise_call(ref.instance, LKLSOCK_ENOTRUNNING);
			fail();
		}
		without_gil([&] {
			std::lock_guard<std::mutex> guard(lock);

			gone = !self;
			if (!gone)
				rc = call(self);
		});
		if (gone) {
			raise_value("the link is closed, or wrapped in another");
			fail();
		}
		if (rc < 0) {
			raise_call(ref.instance, rc);
			fail();
		}
		return rc;
	}

	/* A wrapper over it, which owns it if call(inner, out) does well. */
	template <class Call> std::unique_ptr<link_handle> wrap(Call &&call)
	{
		struct lklsock_link *outer = nullptr;

		use([&](struct lklsock_link *inner) {
			long rc = call(inner, &outer);

			if (rc >= 0)
				self = nullptr;
			return rc;
		});
		return std::make_unique<link_handle>(ref, outer);
	}

	void close()
	{
		struct lklsock_link *closing = nullptr;
		long rc = 0;

		if (is_foreign())
			return;
		without_gil([&] {
			{
				std::lock_guard<std::mutex> guard(lock);

				std::swap(closing, self);
			}
			if (closing)
				rc = ref->link_close(closing);
		});
		/* Gone with its kernel: closing is done. */
		if (rc < 0 && rc != LKLSOCK_ENOTRUNNING) {
			raise_call(ref.instance, rc);
			fail();
		}
	}

	const kernel_ref ref;

private:
	/* A forked child: the lock may be held for ever by a thread that was left behind. */
	bool is_foreign() const { return instance_pid(ref.instance) != getpid(); }

	std::mutex lock;
	struct lklsock_link *self;
};

} // namespace

static struct lklsock_impair direction(const impairment &given)
{
	struct lklsock_impair out = {};

	std::tie(out.delay_ns, out.jitter_ns, out.rate_bit_per_s, out.queue_bytes, out.loss,
		 out.reorder, out.duplicate) = given;
	return out;
}

/* Raises if it is none. */
static const uint8_t *mac_address(const py::bytes &mac)
{
	if (PyBytes_GET_SIZE(mac.ptr()) != 6) {
		raise_value("a MAC address has 6 bytes (%zd given)", PyBytes_GET_SIZE(mac.ptr()));
		fail();
	}
	return reinterpret_cast<const uint8_t *>(PyBytes_AS_STRING(mac.ptr()));
}

static std::unique_ptr<link_handle> link_tap(const kernel &self, const std::string &name)
{
	struct lklsock_link *link = nullptr;

	self.ref.call([&] { return self.ref->link_tap(name.c_str(), &link); }, name.c_str());
	return std::make_unique<link_handle>(self.ref, link);
}

static std::unique_ptr<link_handle> link_fd(const kernel &self, int fd, const py::bytes &mac)
{
	const uint8_t *raw = mac_address(mac);
	struct lklsock_link *link = nullptr;

	self.ref.call([&] { return self.ref->link_fd(fd, raw, &link); });
	return std::make_unique<link_handle>(self.ref, link);
}

static std::unique_ptr<link_handle> link_packet(const kernel &self, const std::string &device,
						const py::bytes &mac)
{
	const uint8_t *raw = mac_address(mac);
	struct lklsock_link *link = nullptr;

	self.ref.call([&] { return self.ref->link_packet(device.c_str(), raw, &link); },
		      device.c_str());
	return std::make_unique<link_handle>(self.ref, link);
}

/* packed: 4 or 16 bytes; or none: any. */
static struct sockaddr_storage host_address(const std::string &packed, uint16_t port)
{
	struct sockaddr_storage out = {};

	if (packed.size() == 4) {
		auto *in = reinterpret_cast<struct sockaddr_in *>(&out);

		in->sin_family = AF_INET;
		in->sin_port = htons(port);
		std::memcpy(&in->sin_addr, packed.data(), packed.size());
	} else if (packed.size() == 16) {
		auto *in6 = reinterpret_cast<struct sockaddr_in6 *>(&out);

		in6->sin6_family = AF_INET6;
		in6->sin6_port = htons(port);
		std::memcpy(&in6->sin6_addr, packed.data(), packed.size());
	} else if (!packed.empty()) {
		raise_value("an address has 4 or 16 bytes (%zu given)", packed.size());
		fail();
	}
	return out;
}

static std::unique_ptr<link_handle> link_vxlan(const kernel &self, uint32_t vni,
					       const std::string &remote, uint16_t port,
					       const std::string &source, const std::string &device,
					       uint16_t local_port, uint16_t source_port)
{
	struct lklsock_link *link = nullptr;
	struct lklsock_vxlan vxlan = {};

	vxlan.remote = host_address(remote, port);
	vxlan.source = host_address(source, 0);
	vxlan.local_port = local_port;
	vxlan.source_port = source_port;
	vxlan.device = device.c_str();
	vxlan.vni = vni;
	self.ref.call([&] { return self.ref->link_vxlan(&vxlan, &link); });
	return std::make_unique<link_handle>(self.ref, link);
}

static std::unique_ptr<link_handle> link_tunnel(const kernel &self, const std::string &remote,
						uint16_t port, const std::string &source,
						const std::string &device, const py::bytes &key,
						uint32_t keepalive_ms, const py::bytes &mac)
{
	struct lklsock_link *link = nullptr;
	struct lklsock_tunnel tunnel = {};

	if (PyBytes_GET_SIZE(key.ptr()) != TUNNEL_KEY_BYTES) {
		raise_value("a key has 32 bytes (%zd given)", PyBytes_GET_SIZE(key.ptr()));
		fail();
	}
	tunnel.remote = host_address(remote, port);
	tunnel.source = host_address(source, 0);
	tunnel.device = device.c_str();
	tunnel.key = reinterpret_cast<const uint8_t *>(PyBytes_AS_STRING(key.ptr()));
	tunnel.keepalive_ms = keepalive_ms;
	std::memcpy(tunnel.mac, mac_address(mac), sizeof(tunnel.mac));
	self.ref.call([&] { return self.ref->link_tunnel(&tunnel, &link); });
	return std::make_unique<link_handle>(self.ref, link);
}

static std::unique_ptr<link_handle> link_gateway(const kernel &self, const std::string &address,
						 uint16_t port, const py::bytes &keys,
						 int report_fd)
{
	struct lklsock_link *link = nullptr;
	struct lklsock_gateway gateway = {};
	const Py_ssize_t bytes = PyBytes_GET_SIZE(keys.ptr());

	if (!bytes || bytes % TUNNEL_KEY_BYTES) {
		raise_value("keys have 32 bytes each (%zd given)", bytes);
		fail();
	}
	gateway.listen = host_address(address, port);
	gateway.keys = reinterpret_cast<const uint8_t *>(PyBytes_AS_STRING(keys.ptr()));
	gateway.key_count = static_cast<unsigned>(bytes / TUNNEL_KEY_BYTES);
	gateway.report_fd = report_fd;
	self.ref.call([&] { return self.ref->link_gateway(&gateway, &link); });
	return std::make_unique<link_handle>(self.ref, link);
}

static std::unique_ptr<link_handle> link_wire(const kernel &self, int fd)
{
	struct lklsock_link *link = nullptr;

	self.ref.call([&] { return self.ref->link_wire(fd, &link); });
	return std::make_unique<link_handle>(self.ref, link);
}

static std::unique_ptr<link_handle> link_wire_path(const kernel &self, const std::string &path,
						   bool listen)
{
	struct lklsock_link *link = nullptr;

	self.ref.call([&] { return self.ref->link_wire_path(path.c_str(), listen, &link); },
		      path.c_str());
	return std::make_unique<link_handle>(self.ref, link);
}

static std::unique_ptr<link_handle> link_impair(link_handle &self, uint64_t seed,
						const impairment &tx, const impairment &rx)
{
	struct lklsock_impair out = direction(tx), in = direction(rx);

	return self.wrap([&](struct lklsock_link *inner, struct lklsock_link **outer) {
		return self.ref->link_impair(inner, seed, &out, &in, outer);
	});
}

static void link_impair_set(link_handle &self, const impairment &tx, const impairment &rx)
{
	struct lklsock_impair out = direction(tx), in = direction(rx);

	self.use([&](struct lklsock_link *link) {
		return self.ref->link_impair_set(link, &out, &in);
	});
}

static void link_cut(link_handle &self, bool cut, bool carrier)
{
	self.use([&](struct lklsock_link *link) { return self.ref->link_cut(link, cut, carrier); });
}

static std::unique_ptr<link_handle> link_follow(link_handle &self, const std::string &uplink)
{
	return self.wrap([&](struct lklsock_link *inner, struct lklsock_link **outer) {
		return self.ref->link_follow(inner, uplink.c_str(), outer);
	});
}

static std::unique_ptr<link_handle> link_pcap(link_handle &self, int fd, uint32_t snaplen)
{
	return self.wrap([&](struct lklsock_link *inner, struct lklsock_link **outer) {
		return self.ref->link_pcap(inner, fd, snaplen, outer);
	});
}

static long link_attach(link_handle &self, const std::string &ifname, const py::bytes &mac,
			unsigned mtu)
{
	const uint8_t *raw = mac_address(mac);

	return self.use([&](struct lklsock_link *link) {
		return self.ref->link_attach(link, ifname.c_str(), raw, mtu);
	});
}

static long link_mtu(link_handle &self)
{
	return self.use([&](struct lklsock_link *link) { return self.ref->link_mtu(link); });
}

static py::dict link_counters(link_handle &self)
{
	struct lklsock_link_counters n = {};
	py::dict out;

	self.use([&](struct lklsock_link *link) {
		self.ref->link_counters(link, &n);
		return 0L;
	});
#define COUNTER(name) out[#name] = n.name
	COUNTER(tx_frames);
	COUNTER(tx_bytes);
	COUNTER(rx_frames);
	COUNTER(rx_bytes);
	COUNTER(tx_dropped);
	COUNTER(rx_dropped);
	COUNTER(rx_malformed);
	COUNTER(tx_too_long);
	COUNTER(path_errors);
#undef COUNTER
	return out;
}

void bind_link(py::module_ &m, py::class_<kernel> &type)
{
	py::class_<link_handle>(m, "Link", py::is_final(), "A link, wrapped or not.")
		.def("impair", &link_impair, py::arg("seed"), py::arg("tx"), py::arg("rx"))
		.def("impair_set", &link_impair_set, py::arg("tx"), py::arg("rx"))
		.def("cut", &link_cut, py::arg("cut"), py::arg("carrier"))
		.def("follow", &link_follow, py::arg("uplink"))
		.def("pcap", &link_pcap, py::arg("fd"), py::arg("snaplen") = 0)
		.def("attach", &link_attach, py::arg("ifname"), py::arg("mac"), py::arg("mtu"))
		.def_property_readonly("mtu", &link_mtu)
		.def("close", &link_handle::close)
		.def("counters", &link_counters);

	type.def("tap", &link_tap, py::arg("name"))
		.def("fd", &link_fd, py::arg("fd"), py::arg("mac"))
		.def("packet", &link_packet, py::arg("device"), py::arg("mac"))
		.def("vxlan", &link_vxlan, py::arg("vni"), py::arg("remote"), py::arg("port"),
		     py::arg("source"), py::arg("device"), py::arg("local_port"),
		     py::arg("source_port"))
		.def("tunnel", &link_tunnel, py::arg("remote"), py::arg("port"), py::arg("source"),
		     py::arg("device"), py::arg("key"), py::arg("keepalive_ms"), py::arg("mac"))
		.def("gateway", &link_gateway, py::arg("address"), py::arg("port"), py::arg("keys"),
		     py::arg("report_fd"))
		.def("wire", &link_wire, py::arg("fd"))
		.def("wire_path", &link_wire_path, py::arg("path"), py::arg("listen"));
}
