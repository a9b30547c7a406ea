// SPDX-License-Identifier: GPL-2.0-only
/*
 * Addresses, with the checks and error texts of the stdlib's socket.
 */
#define PY_SSIZE_T_CLEAN
#include "address.h"

#include <algorithm>
#include <arpa/inet.h>
#include <cstring>
#include <net/if.h>
#include <netdb.h>
#include <sys/ioctl.h>

#include "arguments.h"
#include "buffer.h"
#include "errors.h"
#include "gil.h"

namespace {

/* A host argument: text stays valid while this lives. */
struct host {
	const char *text = nullptr;
	PyObject *encoded = nullptr;

	host() = default;
	~host() { Py_XDECREF(encoded); }
	host(const host &) = delete;
	host &operator=(const host &) = delete;
};

} // namespace

/* For PyArg_ParseTuple's O&. */
static int host_convert(PyObject *object, void *out)
{
	auto *host = static_cast<struct host *>(out);
	Py_ssize_t len;

	if (PyUnicode_Check(object) && !PyUnicode_IS_ASCII(object)) {
		host->encoded = PyUnicode_AsEncodedString(object, "idna", nullptr);
		if (!host->encoded) {
			raise_type("encoding of hostname failed");
			return 0;
		}
		object = host->encoded;
	}
	if (PyUnicode_Check(object)) {
		host->text = PyUnicode_AsUTF8AndSize(object, &len);
		if (!host->text)
			return 0;
	} else if (PyBytes_Check(object)) {
		host->text = PyBytes_AS_STRING(object);
		len = PyBytes_GET_SIZE(object);
	} else if (PyByteArray_Check(object)) {
		host->text = PyByteArray_AS_STRING(object);
		len = PyByteArray_GET_SIZE(object);
	} else {
		raise_type("str, bytes or bytearray expected, not %s", Py_TYPE(object)->tp_name);
		return 0;
	}
	if (strlen(host->text) != static_cast<size_t>(len)) {
		raise_type("host name must not contain null character");
		return 0;
	}
	return 1;
}

/* An interface of the kernel by its name. */
static bool interface_index(const struct socket_object *s, const char *name, int *out)
{
	struct ifreq request = {};
	long rc;

	strncpy(request.ifr_name, name, sizeof(request.ifr_name) - 1);
	rc = without_gil([&] { return s->api->ioctl(s->sock, SIOCGIFINDEX, &request); });
	if (rc < 0) {
		raise_call(s->instance, rc);
		return false;
	}
	*out = request.ifr_ifindex;
	return true;
}

/* What inet_pton() does not know and getaddrinfo() does, such as "127.1"; a name is not looked up. */
static bool host_numeric(const char *text, int family, void *out)
{
	struct addrinfo hints = {}, *found;
	int rc;

	hints.ai_family = family;
	hints.ai_flags = AI_NUMERICHOST;
	rc = getaddrinfo(text, nullptr, &hints, &found);
	if (rc) {
		raise_gai(rc);
		return false;
	}
	if (family == AF_INET)
		memcpy(out, &reinterpret_cast<struct sockaddr_in *>(found->ai_addr)->sin_addr, 4);
	else
		memcpy(out, &reinterpret_cast<struct sockaddr_in6 *>(found->ai_addr)->sin6_addr,
		       16);
	freeaddrinfo(found);
	return true;
}

static bool host_address(const char *text, int family, void *out)
{
	if (!*text) {
		memset(out, 0, family == AF_INET ? 4 : 16);
		return true;
	}
	if (strcmp(text, "255.255.255.255") == 0 || strcmp(text, "<broadcast>") == 0) {
		if (family != AF_INET) {
			raise_os("address family mismatched");
			return false;
		}
		memset(out, 0xff, 4);
		return true;
	}
	return inet_pton(family, text, out) == 1 || host_numeric(text, family, out);
}

/* "fe80::1%eth0": the part after % is an interface of the kernel, which the host's getaddrinfo() cannot know. */
static bool scoped_address(const struct socket_object *s, const char *text,
			   struct sockaddr_in6 *out)
{
	const char *scope = strchr(text, '%');
	char bare[INET6_ADDRSTRLEN], *end;
	unsigned long number;
	int index;

	if (!scope || scope - text >= INET6_ADDRSTRLEN || !scope[1])
		return host_address(text, AF_INET6, &out->sin6_addr);
	memcpy(bare, text, scope - text);
	bare[scope - text] = '\0';
	if (inet_pton(AF_INET6, bare, &out->sin6_addr) != 1)
		return host_numeric(text, AF_INET6, &out->sin6_addr);
	number = strtoul(scope + 1, &end, 10);
	if (!*end) {
		out->sin6_scope_id = static_cast<uint32_t>(number);
		return true;
	}
	if (!interface_index(s, scope + 1, &index))
		return false;
	out->sin6_scope_id = static_cast<uint32_t>(index);
	return true;
}

static bool check_tuple(PyObject *object, const char *caller, const char *family)
{
	if (PyTuple_Check(object))
		return true;
	raise_type("%s(): %s address must be tuple, not %.500s", caller, family,
		   Py_TYPE(object)->tp_name);
	return false;
}

/* The exception set is one of PyArg_ParseTuple; a number out of range gets the text that names it. */
static bool explain_overflow(const char *caller, const char *text)
{
	if (PyErr_ExceptionMatches(PyExc_OverflowError))
		raise_overflow("%s(): %s", caller, text);
	return false;
}

static bool check_port(int port, const char *caller, const char *name)
{
	if (port >= 0 && port <= 0xffff)
		return true;
	raise_overflow("%s(): %s must be 0-65535.", caller, name);
	return false;
}

static bool parse_inet(PyObject *object, const char *caller, struct address *out)
{
	struct host host;
	int port;

	if (!check_tuple(object, caller, "AF_INET"))
		return false;
	/* The everyday case first: it saves the format's interpretation. */
	if (PyTuple_GET_SIZE(object) == 2 && PyLong_CheckExact(PyTuple_GET_ITEM(object, 1)) &&
	    PyUnicode_CheckExact(PyTuple_GET_ITEM(object, 0))) {
		if (!host_convert(PyTuple_GET_ITEM(object, 0), &host))
			return false;
		if (!argument_int(PyTuple_GET_ITEM(object, 1), &port))
			return explain_overflow(caller, "port must be 0-65535.");
	} else if (!PyArg_ParseTuple(object, "O&i;AF_INET address must be a pair (host, port)",
				     host_convert, &host, &port)) {
		return explain_overflow(caller, "port must be 0-65535.");
	}
	memset(&out->in, 0, sizeof(out->in));
	if (!host_address(host.text, AF_INET, &out->in.sin_addr) ||
	    !check_port(port, caller, "port"))
		return false;
	out->in.sin_family = AF_INET;
	out->in.sin_port = htons(static_cast<uint16_t>(port));
	out->length = sizeof(out->in);
	return true;
}

static bool parse_inet6(const struct socket_object *s, PyObject *object, const char *caller,
			struct address *out)
{
	unsigned flowinfo = 0, scope_id = 0;
	struct host host;
	int port;

	if (!check_tuple(object, caller, "AF_INET6"))
		return false;
	if (!PyArg_ParseTuple(object,
			      "O&i|II;AF_INET6 address must be a tuple "
			      "(host, port[, flowinfo[, scopeid]])",
			      host_convert, &host, &port, &flowinfo, &scope_id))
		return explain_overflow(caller, "port must be 0-65535.");
	memset(&out->in6, 0, sizeof(out->in6));
	if (!scoped_address(s, host.text, &out->in6) || !check_port(port, caller, "port"))
		return false;
	if (flowinfo > 0xfffff) {
		raise_overflow("%s(): flowinfo must be 0-1048575.", caller);
		return false;
	}
	out->in6.sin6_family = AF_INET6;
	out->in6.sin6_port = htons(static_cast<uint16_t>(port));
	out->in6.sin6_flowinfo = htonl(flowinfo);
	/* Unlike the stdlib, which forgets the scope in the host for a tuple that has none. */
	if (scope_id)
		out->in6.sin6_scope_id = scope_id;
	out->length = sizeof(out->in6);
	return true;
}

static bool parse_netlink(PyObject *object, const char *caller, struct address *out)
{
	unsigned pid, groups;

	if (!check_tuple(object, caller, "AF_NETLINK") ||
	    !PyArg_ParseTuple(object, "II;AF_NETLINK address must be a pair (pid, groups)", &pid,
			      &groups))
		return false;
	memset(&out->nl, 0, sizeof(out->nl));
	out->nl.nl_family = AF_NETLINK;
	out->nl.nl_pid = pid;
	out->nl.nl_groups = groups;
	out->length = sizeof(out->nl);
	return true;
}

static bool parse_packet(const struct socket_object *s, PyObject *object, const char *caller,
			 struct address *out)
{
	int protocol, kind = PACKET_HOST, hardware = 0, index;
	PyObject *mac_object = nullptr;
	const char *interface;
	buffer mac;

	if (!check_tuple(object, caller, "AF_PACKET"))
		return false;
	if (!PyArg_ParseTuple(object,
			      "si|iiO;AF_PACKET address must be a tuple of two to five elements",
			      &interface, &protocol, &kind, &hardware, &mac_object))
		return explain_overflow(caller, "address argument out of range");
	if (mac_object && !mac.take(mac_object))
		return false;
	if (!interface_index(s, interface, &index))
		return false;
	if (mac.size > static_cast<Py_ssize_t>(sizeof(out->ll.sll_addr))) {
		raise_value("Hardware address must be 8 bytes or less");
		return false;
	}
	if (!check_port(protocol, caller, "proto"))
		return false;
	memset(&out->ll, 0, sizeof(out->ll));
	out->ll.sll_family = AF_PACKET;
	out->ll.sll_protocol = htons(static_cast<uint16_t>(protocol));
	out->ll.sll_ifindex = index;
	out->ll.sll_pkttype = static_cast<unsigned char>(kind);
	out->ll.sll_hatype = static_cast<unsigned short>(hardware);
	out->ll.sll_halen = static_cast<unsigned char>(mac.size);
	if (mac.size)
		memcpy(out->ll.sll_addr, mac.data, static_cast<size_t>(mac.size));
	out->length = sizeof(out->ll);
	return true;
}

bool address_parse(const struct socket_object *s, PyObject *object, const char *caller,
		   struct address *out)
{
	switch (s->family) {
	case AF_INET:
		return parse_inet(object, caller, out);
	case AF_INET6:
		return parse_inet6(s, object, caller, out);
	case AF_NETLINK:
		return parse_netlink(object, caller, out);
	case AF_PACKET:
		return parse_packet(s, object, caller, out);
	default:
		raise_os("%s(): bad family", caller);
		return false;
	}
}

static PyObject *build_packet(const struct socket_object *s, const struct sockaddr_ll *ll)
{
	struct ifreq request = {};

	/* An interface that has gone meanwhile has no name. */
	if (ll->sll_ifindex) {
		request.ifr_ifindex = ll->sll_ifindex;
		if (without_gil([&] { return s->api->ioctl(s->sock, SIOCGIFNAME, &request); }) < 0)
			request.ifr_name[0] = '\0';
	}
	return Py_BuildValue("siiiy#", request.ifr_name, ntohs(ll->sll_protocol), ll->sll_pkttype,
			     ll->sll_hatype, ll->sll_addr,
			     std::min<Py_ssize_t>(ll->sll_halen, sizeof(ll->sll_addr)));
}

/* Every datagram received comes through here, and inet_ntop() takes longer than the kernel. */
static PyObject *inet_text(const struct in_addr *addr)
{
	const auto *octets = reinterpret_cast<const unsigned char *>(addr);
	char text[INET_ADDRSTRLEN], *at = text;

	for (int i = 0; i < 4; i++) {
		unsigned octet = octets[i];

		if (i)
			*at++ = '.';
		if (octet >= 100)
			*at++ = static_cast<char>('0' + octet / 100);
		if (octet >= 10)
			*at++ = static_cast<char>('0' + octet / 10 % 10);
		*at++ = static_cast<char>('0' + octet % 10);
	}
	return PyUnicode_FromStringAndSize(text, at - text);
}

static PyObject *build_inet(const struct sockaddr_in *in)
{
	PyObject *host = inet_text(&in->sin_addr);
	PyObject *port = PyLong_FromLong(ntohs(in->sin_port));
	PyObject *pair = host && port ? PyTuple_New(2) : nullptr;

	if (!pair) {
		Py_XDECREF(host);
		Py_XDECREF(port);
		return nullptr;
	}
	PyTuple_SET_ITEM(pair, 0, host);
	PyTuple_SET_ITEM(pair, 1, port);
	return pair;
}

PyObject *address_build(const struct socket_object *s, const struct address *addr)
{
	char text[INET6_ADDRSTRLEN];

	if (addr->length == 0)
		Py_RETURN_NONE;
	switch (addr->any.sa_family) {
	case AF_INET:
		return build_inet(&addr->in);
	case AF_INET6:
		inet_ntop(AF_INET6, &addr->in6.sin6_addr, text, sizeof(text));
		return Py_BuildValue("siII", text, ntohs(addr->in6.sin6_port),
				     ntohl(addr->in6.sin6_flowinfo), addr->in6.sin6_scope_id);
	case AF_NETLINK:
		return Py_BuildValue("II", addr->nl.nl_pid, addr->nl.nl_groups);
	case AF_PACKET:
		return build_packet(s, &addr->ll);
	default:
		return Py_BuildValue("iy#", addr->any.sa_family, addr->any.sa_data,
				     static_cast<Py_ssize_t>(sizeof(addr->any.sa_data)));
	}
}
