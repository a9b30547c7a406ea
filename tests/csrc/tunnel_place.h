/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A tunnel and its gateway over loopback, with the test in between: it sees every datagram, and may
 * drop, repeat, reorder and forge them, and give the client another port as a NAT does.
 */
#ifndef TUNNEL_PLACE_H
#define TUNNEL_PLACE_H

#include <netinet/in.h>

#include "double.h"
#include "expect.h"
#include "link/frame.h"

#define KEEPALIVE_MS 200
#define KEPT 64

struct end {
	struct link *link;
	struct upper_double upper;
	char frame[LKL_FRAME_MAX];
	long bytes; /* of the frame that came and was not yet looked at; or 0 */
	unsigned frames;
	bool carrier;
};

struct kept {
	char data[2048];
	long bytes;
};

/* The client that is pumped; a second one may be put in its place. */
extern struct end *client_end, second, gateway;
#define client (*client_end)

extern uint8_t keys[3][32];   /* the gateway knows the first two */
extern unsigned keepalive_ms; /* of the next client */
extern struct sockaddr_in gateway_address;
extern int near_fd, far_fd;    /* of the relay: to the client, to the gateway */
extern bool cut;               /* the relay loses everything */
extern struct kept kept[KEPT]; /* what the client has sent, newest last */
extern unsigned kept_count;
extern unsigned answers; /* ANSWERs that the gateway has sent */

int udp_socket(struct sockaddr_in *name);
void to_gateway(const void *data, long bytes);
void to_client(const void *data, long bytes);
void relay(void);
void end_read(struct end *end);
void step(void);
void steps(unsigned count);

#define UNTIL(condition) \
	do { \
		double since = now_ms(); \
		while (!(condition)) { \
			EXPECT(now_ms() - since < 10000); \
			step(); \
		} \
	} while (0)

/* The relay and the gateway; and a client with carrier. */
void place_open(void);
void pair_open(void);
void place_close(void);
void gateway_open_at(uint16_t port);
void client_open(const uint8_t *key);
void end_close(struct end *end);
/* What the gateway has told since it was last asked. */
bool reported(const char *word);

/* An Ethernet frame between the two. Return: bytes, vnet header included. */
unsigned long frame_between(char *frame, bool up, unsigned long body, unsigned seed);
void frame_expect(struct end *end, const char *sent, unsigned long bytes);
void frames_pass(unsigned count);

#endif
