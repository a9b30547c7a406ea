// SPDX-License-Identifier: GPL-2.0-only
/*
 * Netlink requests.
 */
#include "netlink.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "syscall.h"

void netlink_begin(struct netlink_request *request, int type, int flags, const void *body,
		   size_t body_bytes)
{
	memset(request, 0, sizeof(*request));
	request->header.nlmsg_len = NLMSG_LENGTH(body_bytes);
	request->header.nlmsg_type = (unsigned short)type;
	request->header.nlmsg_flags = (unsigned short)(NLM_F_REQUEST | flags);
	memcpy(request->bytes + NLMSG_HDRLEN, body, body_bytes);
}

void netlink_attribute(struct netlink_request *request, int type, const void *value, size_t bytes)
{
	struct nlattr attribute = {
		.nla_len = (unsigned short)(NLA_HDRLEN + bytes),
		.nla_type = (unsigned short)type,
	};
	size_t at = NLMSG_ALIGN(request->header.nlmsg_len);

	assert(at + NLA_ALIGN(attribute.nla_len) <= sizeof(request->bytes));
	memcpy(request->bytes + at, &attribute, sizeof(attribute));
	memcpy(request->bytes + at + NLA_HDRLEN, value, bytes);
	request->header.nlmsg_len = (unsigned)(at + NLA_ALIGN(attribute.nla_len));
}

long netlink_open(int protocol)
{
	return syscall_do(LKL_NR_socket, AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK,
			  protocol);
}

void netlink_close(long lkl_fd)
{
	syscall_do(LKL_NR_close, lkl_fd);
}

long netlink_ask(long lkl_fd, struct netlink_request *request)
{
	struct sockaddr_nl kernel = { .nl_family = AF_NETLINK };
	union {
		struct nlmsghdr header;
		char bytes[1024];
	} answer;
	struct nlmsgerr *error = NLMSG_DATA(&answer.header);
	long ret = syscall_do(LKL_NR_sendto, lkl_fd, (long)request->bytes,
			      request->header.nlmsg_len, 0, (long)&kernel, sizeof(kernel));

	if (ret < 0)
		return ret;
	/* The rest of a longer answer is dropped. */
	ret = syscall_do(LKL_NR_recvfrom, lkl_fd, (long)answer.bytes, sizeof(answer), MSG_DONTWAIT,
			 0, 0);
	if (ret < 0)
		return ret;
	if ((size_t)ret < sizeof(answer.header))
		return -EPROTO;
	if (answer.header.nlmsg_type != NLMSG_ERROR)
		return answer.header.nlmsg_type;
	return (size_t)ret < NLMSG_LENGTH(sizeof(error->error)) ? -EPROTO : error->error;
}
