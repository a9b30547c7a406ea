// SPDX-License-Identifier: GPL-2.0-only
/*
 * The fake's links and network: they do nothing, and show what they were
 * called with in the counters and on the console.
 */
#include "fake.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct lklsock_link {
	struct lklsock_link *inner;
	struct lklsock_link_counters counters;
};

static struct lklsock_link *link_new(struct lklsock_link *inner)
{
	struct lklsock_link *link = calloc(1, sizeof(*link));

	link->inner = inner;
	link->counters.rx_frames = inner ? inner->counters.rx_frames + 1 : 1;
	atomic_fetch_add(&fake_links, 1);
	return link;
}

static long do_link_tap(const char *name, struct lklsock_link **out)
{
	if (strcmp(name, "fake0") != 0)
		return -ENODEV;
	*out = link_new(NULL);
	return 0;
}

static long do_link_fd(int host_fd, const uint8_t mac[6], struct lklsock_link **out)
{
	if (fcntl(host_fd, F_GETFD) < 0)
		return -errno;
	close(host_fd);
	*out = link_new(NULL);
	(*out)->counters.rx_bytes = mac[5];
	return 0;
}

static long do_link_packet(const char *device, const uint8_t mac[6], struct lklsock_link **out)
{
	if (strcmp(device, "fake0") != 0)
		return -ENODEV;
	*out = link_new(NULL);
	(*out)->counters.rx_bytes = mac[5];
	return 0;
}

static long do_link_vxlan(const struct lklsock_vxlan *vxlan, struct lklsock_link **out)
{
	if (*vxlan->device && strcmp(vxlan->device, "fake0") != 0)
		return -ENODEV;
	*out = link_new(NULL);
	(*out)->counters.rx_bytes = vxlan->vni;
	(*out)->counters.tx_bytes = vxlan->remote.ss_family;
	(*out)->counters.tx_too_long = vxlan->local_port;
	(*out)->counters.path_errors = vxlan->source_port;
	return 0;
}

static long do_link_tunnel(const struct lklsock_tunnel *tunnel, struct lklsock_link **out)
{
	if (*tunnel->device && strcmp(tunnel->device, "fake0") != 0)
		return -ENODEV;
	*out = link_new(NULL);
	(*out)->counters.rx_bytes = tunnel->key[31];
	(*out)->counters.tx_bytes = tunnel->remote.ss_family;
	(*out)->counters.tx_too_long = tunnel->keepalive_ms;
	(*out)->counters.path_errors = tunnel->mac[5];
	return 0;
}

static long do_link_gateway(const struct lklsock_gateway *gateway, struct lklsock_link **out)
{
	*out = link_new(NULL);
	(*out)->counters.rx_bytes = gateway->keys[gateway->key_count * 32 - 1];
	(*out)->counters.tx_bytes = gateway->listen.ss_family;
	(*out)->counters.tx_too_long = gateway->key_count;
	(*out)->counters.path_errors = (uint64_t)gateway->report_fd;
	return 0;
}

static long do_link_mtu(struct lklsock_link *link)
{
	return (long)link->counters.rx_bytes;
}

static long do_link_wire(int host_fd, struct lklsock_link **out)
{
	if (fcntl(host_fd, F_GETFD) < 0)
		return -errno;
	close(host_fd);
	*out = link_new(NULL);
	return 0;
}

static long do_link_wire_path(const char *path, bool listen, struct lklsock_link **out)
{
	if (!listen && access(path, F_OK) < 0)
		return -errno;
	*out = link_new(NULL);
	return 0;
}

static long do_link_impair(struct lklsock_link *inner, uint64_t seed,
			     const struct lklsock_impair *tx, const struct lklsock_impair *rx,
			     struct lklsock_link **out)
{
	if (tx->loss > 1)
		return -EINVAL;
	*out = link_new(inner);
	(*out)->counters.tx_frames = seed;
	(*out)->counters.tx_bytes = tx->delay_ns + 10 * tx->jitter_ns + 100 * tx->rate_bit_per_s +
				    1000ULL * tx->queue_bytes;
	(*out)->counters.rx_bytes = (uint64_t)(rx->loss * 100) + (uint64_t)(rx->reorder * 1000) +
				    (uint64_t)(rx->duplicate * 10000);
	return 0;
}

static long do_link_impair_set(struct lklsock_link *link, const struct lklsock_impair *tx,
				 const struct lklsock_impair *rx)
{
	if (!link->inner)
		return -EOPNOTSUPP;
	link->counters.tx_bytes = tx->delay_ns;
	link->counters.rx_bytes = rx->delay_ns;
	return 0;
}

static long do_link_cut(struct lklsock_link *link, bool cut, bool carrier)
{
	link->counters.tx_dropped = (uint64_t)(10 * cut + carrier);
	return 0;
}

static long do_link_pcap(struct lklsock_link *inner, int host_fd, uint32_t snaplen,
			   struct lklsock_link **out)
{
	if (fcntl(host_fd, F_GETFD) < 0)
		return -errno;
	*out = link_new(inner);
	(*out)->counters.rx_malformed = snaplen;
	return 0;
}

static long do_link_follow(struct lklsock_link *inner, const char *uplink,
			   struct lklsock_link **out)
{
	if (!strcmp(uplink, "none"))
		return -ENODEV;
	*out = link_new(inner);
	(*out)->counters.rx_malformed = strlen(uplink);
	return 0;
}

static long do_link_attach(struct lklsock_link *link, const char *ifname, const uint8_t mac[6],
			     unsigned mtu)
{
	long rc = entered();

	if (rc)
		return rc;
	link->counters.tx_bytes = mtu;
	return mac[5] + (long)strlen(ifname) * 100;
}

static long do_link_close(struct lklsock_link *link)
{
	if (link->inner)
		do_link_close(link->inner);
	free(link);
	atomic_fetch_sub(&fake_links, 1);
	return 0;
}

static void do_link_counters(struct lklsock_link *link, struct lklsock_link_counters *out)
{
	*out = link->counters;
}

static long note(const char *what, long a, long b, const void *addr, int family)
{
	const unsigned char *bytes = addr;
	char line[200];
	int n = snprintf(line, sizeof(line), "%s %ld %ld", what, a, b);
	int size = addr ? (family == AF_INET ? 4 : 16) : 0;
	long rc = entered();

	if (rc)
		return rc;
	for (int i = 0; i < size; i++)
		n += snprintf(line + n, sizeof(line) - (size_t)n, "%s%d", i ? "." : " ", bytes[i]);
	fake_say(line);
	fake_say("\n");
	return 0;
}

static long do_interface_up(int ifindex, bool up)
{
	return note("interface_up", ifindex, up, NULL, 0);
}

static long do_interface_mtu(int ifindex, unsigned mtu)
{
	return note("interface_mtu", ifindex, mtu, NULL, 0);
}

static long do_interface_carrier(int ifindex, bool carrier)
{
	return note("interface_carrier", ifindex, carrier, NULL, 0);
}

static long do_address_add(int ifindex, int family, const void *addr, unsigned prefix_len)
{
	return note("address_add", ifindex, prefix_len, addr, family);
}

static long do_address_del(int ifindex, int family, const void *addr, unsigned prefix_len)
{
	return note("address_del", ifindex, prefix_len, addr, family);
}

static long do_route_add(int ifindex, int family, const void *dst, unsigned prefix_len,
			   const void *gateway, uint32_t metric, uint32_t table)
{
	long rc = note("route_add", ifindex, prefix_len, dst, family);

	return rc ? rc : note("route_via", metric, table, gateway, family);
}

static long do_route_del(int ifindex, int family, const void *dst, unsigned prefix_len,
			   const void *gateway, uint32_t metric, uint32_t table)
{
	long rc = note("route_del", ifindex, prefix_len, dst, family);

	return rc ? rc : note("route_via", metric, table, gateway, family);
}

static long do_rule_add(int family, const void *src, unsigned prefix_len, uint32_t table,
			  uint32_t priority)
{
	long rc = note("rule_add", prefix_len, table, src, family);

	return rc ? rc : note("rule_priority", priority, 0, NULL, 0);
}

static long do_rule_del(int family, const void *src, unsigned prefix_len, uint32_t table,
			  uint32_t priority)
{
	long rc = note("rule_del", prefix_len, table, src, family);

	return rc ? rc : note("rule_priority", priority, 0, NULL, 0);
}

void fake_links_fill(struct lklsock_api *api)
{
	api->link_tap = do_link_tap;
	api->link_fd = do_link_fd;
	api->link_vxlan = do_link_vxlan;
	api->link_tunnel = do_link_tunnel;
	api->link_gateway = do_link_gateway;
	api->link_packet = do_link_packet;
	api->link_mtu = do_link_mtu;
	api->link_wire = do_link_wire;
	api->link_wire_path = do_link_wire_path;
	api->link_impair = do_link_impair;
	api->link_impair_set = do_link_impair_set;
	api->link_cut = do_link_cut;
	api->link_follow = do_link_follow;
	api->link_pcap = do_link_pcap;
	api->link_attach = do_link_attach;
	api->link_close = do_link_close;
	/* One that is dropped. */
	api->link_release = do_link_close;
	api->link_counters = do_link_counters;
	api->interface_up = do_interface_up;
	api->interface_mtu = do_interface_mtu;
	api->interface_carrier = do_interface_carrier;
	api->address_add = do_address_add;
	api->address_del = do_address_del;
	api->route_add = do_route_add;
	api->route_del = do_route_del;
	api->rule_add = do_rule_add;
	api->rule_del = do_rule_del;
}
