/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What boot needs of the network: interfaces, addresses, routes, rules.
 * family: AF_INET or AF_INET6; addresses in network order. Return: 0 or -errno.
 */
#ifndef CORE_NETCONF_H
#define CORE_NETCONF_H

#include <stdbool.h>
#include <stdint.h>

long interface_up(int ifindex, bool up);
long interface_mtu(int ifindex, unsigned mtu);
/* Takes the carrier of one of our own devices away, whatever its link has, or leaves it to the link again. */
long interface_carrier(int ifindex, bool carrier);
/* IPv6 addresses are usable at once, duplicate address detection goes on behind them. */
long address_add(int ifindex, int family, const void *addr, unsigned prefix_len);
/* The prefix length is that of its adding. */
long address_del(int ifindex, int family, const void *addr, unsigned prefix_len);
/* gateway NULL: on link. prefix_len 0 (dst may be NULL): default. metric 0: the kernel's. */
long route_add(int ifindex, int family, const void *dst, unsigned prefix_len, const void *gateway,
	       uint32_t metric, uint32_t table);
long route_del(int ifindex, int family, const void *dst, unsigned prefix_len, const void *gateway,
	       uint32_t metric, uint32_t table);
/*
 * Traffic from src is routed by table. priority 0: the kernel chooses. prefix_len 0 (src may be NULL): all traffic is
 * routed by table, but for its default routes.
 */
long rule_add(int family, const void *src, unsigned prefix_len, uint32_t table, uint32_t priority);
long rule_del(int family, const void *src, unsigned prefix_len, uint32_t table, uint32_t priority);

#endif
