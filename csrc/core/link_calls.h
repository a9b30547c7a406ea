/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The link calls of the API that open, wrap, and steer. What they hand out is
 * a handle (link_handle.h).
 */
#ifndef CORE_LINK_CALLS_H
#define CORE_LINK_CALLS_H

#include <stdbool.h>

#include <lklsock.h>

long link_call_tap(const char *name, struct lklsock_link **out);
long link_call_fd(int host_fd, const uint8_t mac[6], struct lklsock_link **out);
long link_call_packet(const char *device, const uint8_t mac[6], struct lklsock_link **out);
long link_call_vxlan(const struct lklsock_vxlan *given, struct lklsock_link **out);
long link_call_tunnel(const struct lklsock_tunnel *given, struct lklsock_link **out);
long link_call_gateway(const struct lklsock_gateway *given, struct lklsock_link **out);
long link_call_wire(int host_fd, struct lklsock_link **out);
long link_call_wire_path(const char *path, bool listen, struct lklsock_link **out);
long link_call_impair(struct lklsock_link *inner, uint64_t seed, const struct lklsock_impair *tx,
		      const struct lklsock_impair *rx, struct lklsock_link **out);
long link_call_impair_set(struct lklsock_link *link, const struct lklsock_impair *tx,
			  const struct lklsock_impair *rx);
long link_call_cut(struct lklsock_link *link, bool cut, bool carrier);
long link_call_follow(struct lklsock_link *inner, const char *uplink, struct lklsock_link **out);
long link_call_pcap(struct lklsock_link *inner, int host_fd, uint32_t snaplen,
		    struct lklsock_link **out);
long link_call_mtu(struct lklsock_link *link);
void link_call_counters(struct lklsock_link *link, struct lklsock_link_counters *out);

#endif
