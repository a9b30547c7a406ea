/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Doubles: a kernel half that records, and a net device that records.
 */
#ifndef DOUBLE_H
#define DOUBLE_H

#include "host/host.h"
#include "link/link.h"

/* Called by lkl_irq(); NULL: only recorded. */
extern void (*double_on_irq)(unsigned bits);
/* What lkl_work_pending() says; lkl_irq() counts it down to 0. */
extern int double_pending;
extern int double_irqs;

/* What sits above a link in these tests. */
struct upper_double {
	struct link_upper upper;
	unsigned events; /* came and not yet awaited */
	int serial;
};

void upper_double_set(struct upper_double *upper, struct link *link);
/* Waits until all of events came, and forgets them. Fails after 10 s. */
void upper_double_await(struct upper_double *upper, unsigned events);
/* Return: what has come. */
unsigned upper_double_events(struct upper_double *upper);

/* A frame like any: vnet header all zero, body by seed. Return: bytes, vnet header included. */
unsigned long frame_make(char *frame, unsigned long body_bytes, unsigned seed);
long frame_send(struct link *link, char *frame, unsigned long bytes);
/* Takes one, waiting for it. Return: bytes. */
long frame_await(struct link *link, struct upper_double *upper, char *frame);
/* Until LKL_NET_DOWN, asking again after every other event, as the kernel does. */
void link_end_await(struct link *link, struct upper_double *upper);

/* What is so of a link over a unix socket of this type, whose peer is a process. */
void killed_peer_takes_the_carrier(int type, int (*open)(int fd, struct link **out));

/* Holds a polling thread in its event, so that what else it took with it is told late. */
struct stop {
	struct host_io_source source;
	int entered, open;
};

void stop_start(struct stop *stop);
/* Has a polling thread enter. */
void stop_call(struct stop *stop);
/* Until one has entered. */
void stop_await(struct stop *stop);
void stop_open(struct stop *stop);
void stop_end(struct stop *stop);

/* Milliseconds on CLOCK_MONOTONIC. */
double now_ms(void);

#endif
