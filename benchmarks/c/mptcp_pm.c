// SPDX-License-Identifier: GPL-2.0-only
/*
 * The MPTCP path manager of a kernel, by generic netlink.
 */
#include "mptcp_pm.h"

#include <linux/genetlink.h>
#include <linux/mptcp.h>
#include <linux/netlink.h>
#include <netinet/in.h>

#include "report.h"

#define SOL_MPTCP 284
#define ROOM 1024

struct request {
	struct nlmsghdr header;
	struct genlmsghdr generic;
	unsigned char attributes[ROOM];
};

static void begin(struct request *request, uint16_t type, uint8_t command, uint8_t version)
{
	memset(request, 0, sizeof(*request));
	request->header.nlmsg_len = NLMSG_LENGTH(GENL_HDRLEN);
	request->header.nlmsg_type = type;
	request->header.nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK;
	request->generic.cmd = command;
	request->generic.version = version;
}

/* Return: the attribute, whose length may still grow when it is a nest. */
static struct nlattr *attribute(struct request *request, uint16_t type, const void *data,
				size_t len)
{
	struct nlattr *at =
		(struct nlattr *)((char *)request + NLMSG_ALIGN(request->header.nlmsg_len));

	at->nla_type = type;
	at->nla_len = (uint16_t)(NLA_HDRLEN + len);
	if (len)
		memcpy((char *)at + NLA_HDRLEN, data, len);
	request->header.nlmsg_len = (uint32_t)((char *)at - (char *)request) +
				    NLA_ALIGN(at->nla_len);
	return at;
}

static void nest_end(struct request *request, struct nlattr *nest)
{
	nest->nla_len = (uint16_t)((char *)request + request->header.nlmsg_len - (char *)nest);
}

/* answer: NULL, or the first message that comes back. */
static void ask(const struct net *net, const char *what, struct request *request,
		struct request *answer)
{
	union {
		struct nlmsghdr header;
		struct nlmsgerr room;
		char bytes[sizeof(struct request)];
	} got;
	struct net_socket sock;

	must(what, net->open(AF_NETLINK, SOCK_RAW, NETLINK_GENERIC, &sock));
	must(what, net->send(&sock, request, request->header.nlmsg_len, 0));
	must(what, net->recv(&sock, &got, sizeof(got), 0));
	if (got.header.nlmsg_type == NLMSG_ERROR)
		must(what, ((struct nlmsgerr *)NLMSG_DATA(&got.header))->error);
	if (answer)
		memcpy(answer, &got, sizeof(*answer));
	net->close(&sock);
}

static uint16_t family_id(const struct net *net)
{
	static const char name[] = MPTCP_PM_NAME;
	struct request request, answer;
	size_t at = 0;

	begin(&request, GENL_ID_CTRL, CTRL_CMD_GETFAMILY, 1);
	attribute(&request, CTRL_ATTR_FAMILY_NAME, name, sizeof(name));
	ask(net, MPTCP_PM_NAME, &request, &answer);
	while (at < answer.header.nlmsg_len - NLMSG_LENGTH(GENL_HDRLEN)) {
		struct nlattr *attr = (struct nlattr *)(answer.attributes + at);

		if (attr->nla_type == CTRL_ATTR_FAMILY_ID)
			return *(uint16_t *)((char *)attr + NLA_HDRLEN);
		at += NLA_ALIGN(attr->nla_len);
	}
	must(MPTCP_PM_NAME, -ENOENT);
	return 0;
}

void mptcp_pm_reset(const struct net *net, uint32_t subflows)
{
	uint16_t family = family_id(net);
	struct request request;

	begin(&request, family, MPTCP_PM_CMD_FLUSH_ADDRS, MPTCP_PM_VER);
	ask(net, "flushing MPTCP endpoints", &request, NULL);
	begin(&request, family, MPTCP_PM_CMD_SET_LIMITS, MPTCP_PM_VER);
	attribute(&request, MPTCP_PM_ATTR_RCV_ADD_ADDRS, &subflows, sizeof(subflows));
	attribute(&request, MPTCP_PM_ATTR_SUBFLOWS, &subflows, sizeof(subflows));
	ask(net, "setting MPTCP limits", &request, NULL);
}

void mptcp_pm_endpoint(const struct net *net, uint32_t address, int ifindex)
{
	const uint16_t family = AF_INET;
	const uint32_t flags = MPTCP_PM_ADDR_FLAG_SUBFLOW;
	struct request request;
	struct nlattr *nest;

	begin(&request, family_id(net), MPTCP_PM_CMD_ADD_ADDR, MPTCP_PM_VER);
	nest = attribute(&request, MPTCP_PM_ATTR_ADDR | NLA_F_NESTED, NULL, 0);
	attribute(&request, MPTCP_PM_ADDR_ATTR_FAMILY, &family, sizeof(family));
	attribute(&request, MPTCP_PM_ADDR_ATTR_ADDR4, &address, sizeof(address));
	attribute(&request, MPTCP_PM_ADDR_ATTR_FLAGS, &flags, sizeof(flags));
	attribute(&request, MPTCP_PM_ADDR_ATTR_IF_IDX, &ifindex, sizeof(ifindex));
	nest_end(&request, nest);
	ask(net, "adding an MPTCP endpoint", &request, NULL);
}

int mptcp_pm_subflows(const struct net *net, struct net_socket *sock)
{
	struct mptcp_info info = { 0 };
	socklen_t len = sizeof(info);

	if (net->getsockopt(sock, SOL_MPTCP, MPTCP_INFO, &info, &len) < 0)
		return -1;
	return info.mptcpi_subflows;
}
