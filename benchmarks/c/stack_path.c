// SPDX-License-Identifier: GPL-2.0-only
/*
 * A way out for the stack: a TAP with an address and a gateway.
 */
#include "stack_path.h"

#include <arpa/inet.h>
#include <lklsock.h>

#include "net.h"
#include "report.h"

#define MTU 1500
#define FIRST_TABLE 100
#define MAIN_TABLE 254
#define FIRST_METRIC 10

static uint32_t address_parse(const char *text)
{
	struct in_addr address;

	if (inet_pton(AF_INET, text, &address) != 1)
		must(text, -EINVAL);
	return address.s_addr;
}

void path_parse(const char *text, struct path *out)
{
	char address[16], gateway[16];

	if (sscanf(text, "%15[^,],%15[^,],%15s", out->ifname, address, gateway) != 3)
		must(text, -EINVAL);
	out->address = address_parse(address);
	out->gateway = address_parse(gateway);
}

int stack_path_open(const struct path *path, unsigned number)
{
	const struct lklsock_api *api = net_stack_api();
	const uint8_t mac[6] = { 0x02, 0, 0, 0, 0x62, (uint8_t)(1 + number) };
	const uint32_t network = path->address & htonl(~0u << (32 - PREFIX_LEN));
	const uint32_t table = FIRST_TABLE + number;
	struct lklsock_link *link;
	char ifname[16];
	int ifindex;

	snprintf(ifname, sizeof(ifname), "path%u", number);
	must(path->ifname, api->link_tap(path->ifname, &link));
	ifindex = (int)must("attaching a link", api->link_attach(link, ifname, mac, MTU));
	must("taking a link up", api->interface_up(ifindex, true));
	must("adding an address", api->address_add(ifindex, AF_INET, &path->address, PREFIX_LEN));
	must("adding a default route", api->route_add(ifindex, AF_INET, NULL, 0, &path->gateway,
						      FIRST_METRIC + number, MAIN_TABLE));
	must("adding a rule", api->rule_add(AF_INET, &path->address, 32, table, table));
	must("adding a route",
	     api->route_add(ifindex, AF_INET, &network, PREFIX_LEN, NULL, 0, table));
	must("adding a default route",
	     api->route_add(ifindex, AF_INET, NULL, 0, &path->gateway, 0, table));
	return ifindex;
}
