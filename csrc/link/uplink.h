/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What a link stands on in the host: one of its interfaces, or an address that some interface has.
 * Followed by rtnetlink's news, which need no privilege; what they are about is then looked up.
 */
#ifndef LINK_UPLINK_H
#define LINK_UPLINK_H

#include <net/if.h>
#include <stdbool.h>
#include <sys/socket.h>

#include "host/host.h"

struct uplink {
	/* Set before uplink_open(). */
	unsigned ifindex;         /* 0: device or address counts */
	char device[IF_NAMESIZE]; /* "": the address counts; found again when it comes back */
	struct sockaddr_storage address;
	/* It is up, or not any more. Return: LKL_IRQ_*. On a polling thread. */
	unsigned (*changed)(struct uplink *uplink, bool up);

	struct host_io_source news;
	bool up;          /* as told last */
	bool had_address; /* the device; then it needs one */
};

/* Return: 0 or -errno. uplink->up is right then. */
int uplink_open(struct uplink *uplink);
/* From the first time on, changes are told. Context: any. */
void uplink_poll(struct uplink *uplink);
void uplink_close(struct uplink *uplink);

#endif
