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

long address_add(int ifindex, int family, const void *addr, unsigned prefix_len)
{
	const struct ifaddrmsg body = {
		.ifa_family = (unsigned char)family,
		.ifa_prefixlen = (unsigned char)prefix_len,
		.ifa_flags = family == AF_INET6 ? IFA_F_OPTIMISTIC : 0,
		.ifa_index = (unsigned)ifindex,
	};
	struct netlink_request request;

	if (!is_valid(family, prefix_len))
		return -EINVAL;
	netlink_begin(&request, RTM_NEWADDR, CREATE, &body, sizeof(body));
	netlink_attribute(&request, IFA_LOCAL, addr, address_bytes(family));
	netlink_attribute(&request, IFA_ADDRESS, addr, address_bytes(family));
	return ask(&request);
}

long route_add(int ifindex, int family, const void *dst, unsigned prefix_len, const void *gateway,
	       uint32_t metric, uint32_t table)
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
	netlink_begin(&request, RTM_NEWROUTE, CREATE, &body, sizeof(body));
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

long rule_add(int family, const void *src, unsigned prefix_len, uint32_t table, uint32_t priority)
{
	const struct fib_rule_hdr body = {
		.family = (unsigned char)family,
		.src_len = (unsigned char)prefix_len,
		.table = table < 256 ? (unsigned char)table : RT_TABLE_UNSPEC,
		.action = FR_ACT_TO_TBL,
	};
	struct netlink_request request;

	if (!is_valid(family, prefix_len) || (prefix_len && !src))
		return -EINVAL;
	netlink_begin(&request, RTM_NEWRULE, CREATE, &body, sizeof(body));
	if (prefix_len)
		netlink_attribute(&request, FRA_SRC, src, address_bytes(family));
	netlink_attribute(&request, FRA_TABLE, &table, sizeof(table));
	if (priority)
		netlink_attribute(&request, FRA_PRIORITY, &priority, sizeof(priority));
	return ask(&request);
}
