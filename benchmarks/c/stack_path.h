/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A way out for the stack: a TAP with an address and a gateway.
 */
#ifndef STACK_PATH_H
#define STACK_PATH_H

#include <stdint.h>

#define PREFIX_LEN 24 /* of every network here */

/* A path as the command line has it: IFNAME,ADDRESS,GATEWAY. */
struct path {
	char ifname[16];
	uint32_t address, gateway; /* network order */
};

/* Ends the program when the text is wrong. */
void path_parse(const char *text, struct path *out);
/*
 * Opens the TAP of that name for the stack: address, default route of the main table (the first path is the preferred
 * one), and a table of its own for what leaves from the address. Return: the interface's index in the stack.
 */
int stack_path_open(const struct path *path, unsigned number);

#endif
