// SPDX-License-Identifier: GPL-2.0-only
/*
 * Network configuration by rtnetlink.
 */
#include "netconf.h"

#include <errno.h>
#include <linux/fib_rules.h>
#include <linux/if.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include "netlink.h"

#define CREATE (NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL)
#define DELETE NLM_F_ACK

static long ask(struct netlink_request *request)
{
	long fd = netlink_open(NETLINK_ROUTE);
	long ret;

	if (fd < 0)
		return fd;
	ret = netlink_ask(fd, request);
	netlink_close(fd);
	return ret > 0 ? -EPROTO : ret;
}

/* Return: 0 for another family. */
static size_t address_bytes(int family)
{
	return family == AF_INET ? 4 : family == AF_INET6 ? 16 : 0;
}

static bool is_valid(int family, unsigned prefix_len)
{
	return address_bytes(family) && prefix_len <= 8 * address_bytes(family);
}

long interface_up(int ifindex, bool up)
{
	const struct ifinfomsg body = {
		.ifi_index = ifindex,
		.ifi_flags = up ? IFF_UP : 0,
		.ifi_change = IFF_UP,
	};
	struct netlink_request request;

	netlink_begin(&request, RTM_NEWLINK, NLM_F_ACK, &body, sizeof(body));
	return ask(&request);
}

long interface_mtu(int ifindex, unsigned mtu)
{
	const struct ifinfomsg body = { .ifi_index = ifindex };
	struct netlink_request request;

	netlink_begin(&request, RTM_NEWLINK, NLM_F_ACK, &body, sizeof(body));
	netlink_attribute(&request, IFLA_MTU, &mtu, sizeof(mtu));
	return ask(&request);
}

long interface_carrier(int ifindex, bool carrier)
{
	const struct ifinfomsg body = { .ifi_index = ifindex };
	const unsigned char value = carrier;
	struct netlink_request request;

	netlink_begin(&request, RTM_NEWLINK, NLM_F_ACK, &body, sizeof(body));
	netlink_attribute(&request, IFLA_CARRIER, &value, sizeof(value));
	return ask(&request);
}

static long address_change(int type, int flags, int ifindex, int family, const void *addr,
			   unsigned prefix_len)
{
	const struct ifaddrmsg body = {
		.ifa_family = (unsigned char)family,
		.ifa_prefixlen = (unsigned char)prefix_len,
		.ifa_flags = family == AF_INET6 ? IFA_F_NODAD : 0,
		.ifa_index = (unsigned)ifindex,
	};
	struct netlink_request request;

	if (!is_valid(family, prefix_len))
		return -EINVAL;
	netlink_begin(&request, type, flags, &body, sizeof(body));
	netlink_attribute(&request, IFA_LOCAL, addr, address_bytes(family));
	netlink_attribute(&request, IFA_ADDRESS, addr, address_bytes(family));
	return ask(&request);
}

long address_add(int ifindex, int family, const void *addr, unsigned prefix_len)
{
	return address_change(RTM_NEWADDR, CREATE, ifindex, family, addr, prefix_len);
}

long address_del(int ifindex, int family, const void *addr, unsigned prefix_len)
{
	return address_change(RTM_DELADDR, DELETE, ifindex, family, addr, prefix_len);
}

static long route_change(int type, int flags, int ifindex, int family, const void *dst,
			 unsigned prefix_len, const void *gateway, uint32_t metric, uint32_t table)
{
	const struct rtmsg body = {
		.rtm_family = (unsigned char)family,
		.rtm_dst_len = (unsigned char)prefix_len,
		.rtm_table = table < 256 ? (unsigned char)table : RT_TABLE_UNSPEC,
		.rtm_protocol = RTPROT_BOOT,
		.rtm_scope = gateway || family == AF_INET6 ? RT_SCOPE_UNIVERSE : RT_SCOPE_LINK,
		.rtm_type = RTN_UNICAST,
	};
	struct netlink_request request;

	if (!is_valid(family, prefix_len) || (prefix_len && !dst))
		return -EINVAL;
	netlink_begin(&request, type, flags, &body, sizeof(body));
	if (prefix_len)
		netlink_attribute(&request, RTA_DST, dst, address_bytes(family));
	if (gateway)
		netlink_attribute(&request, RTA_GATEWAY, gateway, address_bytes(family));
	netlink_attribute(&request, RTA_OIF, &ifindex, sizeof(ifindex));
	netlink_attribute(&request, RTA_TABLE, &table, sizeof(table));
	if (metric)
		netlink_attribute(&request, RTA_PRIORITY, &metric, sizeof(metric));
	return ask(&request);
}

long route_add(int ifindex, int family, const void *dst, unsigned prefix_len, const void *gateway,
	       uint32_t metric, uint32_t table)
{
	return route_change(RTM_NEWROUTE, CREATE, ifindex, family, dst, prefix_len, gateway, metric,
			    table);
}

long route_del(int ifindex, int family, const void *dst, unsigned prefix_len, const void *gateway,
	       uint32_t metric, uint32_t table)
{
	return route_change(RTM_DELROUTE, DELETE, ifindex, family, dst, prefix_len, gateway, metric,
			    table);
}

static long rule_change(int type, int flags, int family, const void *src, unsigned prefix_len,
			uint32_t table, uint32_t priority)
{
	const struct fib_rule_hdr body = {
		.family = (unsigned char)family,
		.src_len = (unsigned char)prefix_len,
		.table = table < 256 ? (unsigned char)table : RT_TABLE_UNSPEC,
		.action = FR_ACT_TO_TBL,
	};
	const uint32_t no_default = 0;
	struct netlink_request request;

	if (!is_valid(family, prefix_len) || (prefix_len && !src))
		return -EINVAL;
	netlink_begin(&request, type, flags, &body, sizeof(body));
	if (prefix_len)
		netlink_attribute(&request, FRA_SRC, src, address_bytes(family));
	else
		netlink_attribute(&request, FRA_SUPPRESS_PREFIXLEN, &no_default,
				  sizeof(no_default));
	netlink_attribute(&request, FRA_TABLE, &table, sizeof(table));
	if (priority)
		netlink_attribute(&request, FRA_PRIORITY, &priority, sizeof(priority));
	return ask(&request);
}

long rule_add(int family, const void *src, unsigned prefix_len, uint32_t table, uint32_t priority)
{
	return rule_change(RTM_NEWRULE, CREATE, family, src, prefix_len, table, priority);
}

long rule_del(int family, const void *src, unsigned prefix_len, uint32_t table, uint32_t priority)
{
	return rule_change(RTM_DELRULE, DELETE, family, src, prefix_len, table, priority);
}
