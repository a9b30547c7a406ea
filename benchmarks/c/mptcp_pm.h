/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The MPTCP path manager of a kernel, by generic netlink: the same requests to the stack and to the host.
 */
#ifndef MPTCP_PM_H
#define MPTCP_PM_H

#include <stdint.h>

#include "net.h"

/* Forgets all endpoints and allows up to this many further subflows. Ends the program on failure. */
void mptcp_pm_reset(const struct net *net, uint32_t subflows);
/* From now on connections get a further subflow from this IPv4 address (network order). */
void mptcp_pm_endpoint(const struct net *net, uint32_t address, int ifindex);
/* Further subflows that a connection has now; -1 when it fell back to TCP. */
int mptcp_pm_subflows(const struct net *net, struct net_socket *sock);

#endif
