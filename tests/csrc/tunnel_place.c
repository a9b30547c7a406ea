// SPDX-License-Identifier: GPL-2.0-only
/*
 * A tunnel, its gateway, and what is in between.
 */
#include "tunnel_place.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

#include "link/tunnel_format.h"

struct end *client_end, second, gateway;
static struct end first;
uint8_t keys[3][32];
unsigned keepalive_ms = KEEPALIVE_MS;
struct sockaddr_in gateway_address;
int near_fd, far_fd;
bool cut;
struct kept kept[KEPT];
unsigned kept_count, answers;

static struct sockaddr_in client_address;
static int reports[2];

int udp_socket(struct sockaddr_in *name)
{
	socklen_t bytes = sizeof(*name);
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);

	*name = (struct sockaddr_in){ .sin_family = AF_INET };
	name->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	EXPECT_EQ(bind(fd, (struct sockaddr *)name, sizeof(*name)), 0);
	EXPECT_EQ(getsockname(fd, (struct sockaddr *)name, &bytes), 0);
	return fd;
}

void to_gateway(const void *data, long bytes)
{
	EXPECT_EQ(sendto(far_fd, data, (size_t)bytes, 0, (struct sockaddr *)&gateway_address,
			 sizeof(gateway_address)),
		  bytes);
}

void to_client(const void *data, long bytes)
{
	EXPECT_EQ(sendto(near_fd, data, (size_t)bytes, 0, (struct sockaddr *)&client_address,
			 sizeof(client_address)),
		  bytes);
}

static void keep(const char *data, long bytes)
{
	struct kept *to = &kept[kept_count++ % KEPT];

	to->bytes = bytes < (long)sizeof(to->data) ? bytes : (long)sizeof(to->data);
	memcpy(to->data, data, (size_t)to->bytes);
}

void relay(void)
{
	static char data[65536];
	socklen_t name_bytes = sizeof(client_address);
	long bytes;

	while ((bytes = recvfrom(near_fd, data, sizeof(data), 0, (struct sockaddr *)&client_address,
				 &name_bytes)) >= 0) {
		keep(data, bytes);
		if (!cut)
			to_gateway(data, bytes);
	}
	while ((bytes = recv(far_fd, data, sizeof(data), 0)) >= 0) {
		answers += bytes == TUNNEL_ANSWER_BYTES && data[1] == TUNNEL_KIND_ANSWER;
		if (!cut)
			to_client(data, bytes);
	}
}

void end_read(struct end *end)
{
	struct lkl_iovec iov[] = {
		{ end->frame, LKL_VNET_HDR },
		{ end->frame + LKL_VNET_HDR, 256 },
		{ end->frame + LKL_VNET_HDR + 256, LKL_FRAME_MAX - LKL_VNET_HDR - 256 },
	};
	unsigned events = upper_double_events(&end->upper);
	long bytes;

	if (!end->link)
		return;
	if (events & (LKL_NET_UP | LKL_NET_DOWN)) {
		end->carrier = events & LKL_NET_UP;
		EXPECT((events & (LKL_NET_UP | LKL_NET_DOWN)) != (LKL_NET_UP | LKL_NET_DOWN));
		upper_double_await(&end->upper, events & (LKL_NET_UP | LKL_NET_DOWN));
	}
	if (end->bytes)
		return;
	bytes = end->link->ops->rx(end->link, iov, 3);
	if (bytes > 0) {
		end->bytes = bytes;
		end->frames++;
	}
	end->link->ops->poll(end->link, LKL_NET_RX | LKL_NET_TX);
}

void step(void)
{
	struct pollfd fds[] = { { .fd = near_fd, .events = POLLIN },
				{ .fd = far_fd, .events = POLLIN } };

	poll(fds, 2, 1);
	relay();
	end_read(&client);
	end_read(&gateway);
}

void steps(unsigned count)
{
	while (count--)
		step();
}

void gateway_open_at(uint16_t port)
{
	struct link_gateway settings = { .keys = keys[0], .key_count = 2, .report_fd = reports[1] };
	struct sockaddr_in *listen = (struct sockaddr_in *)&settings.listen;

	*listen = gateway_address;
	listen->sin_port = port;
	EXPECT_EQ(link_gateway_open(&settings, &gateway.link), 0);
	upper_double_set(&gateway.upper, gateway.link);
}

void client_open(const uint8_t *key)
{
	struct link_tunnel settings = {
		.device = "",
		.key = key,
		.keepalive_ms = keepalive_ms,
		.mac = { 2, 0, 0, 0, 0, 1 },
	};
	struct sockaddr_in relay_address;
	socklen_t bytes = sizeof(relay_address);

	EXPECT_EQ(getsockname(near_fd, (struct sockaddr *)&relay_address, &bytes), 0);
	memcpy(&settings.remote, &relay_address, sizeof(relay_address));
	EXPECT_EQ(link_tunnel_open(&settings, &client.link), 0);
	EXPECT(!client.link->carrier);
	upper_double_set(&client.upper, client.link);
}

void place_open(void)
{
	struct sockaddr_in name;
	int fd = udp_socket(&gateway_address);

	client_end = &first;
	first = second = gateway = (struct end){ 0 };
	cut = false;
	kept_count = 0;
	close(fd);
	near_fd = udp_socket(&name);
	far_fd = udp_socket(&name);
	EXPECT_EQ(pipe2(reports, O_NONBLOCK), 0);
	for (unsigned i = 0; i < sizeof(keys); i++)
		((uint8_t *)keys)[i] = (uint8_t)(i * 7 + 1);
	gateway_open_at(gateway_address.sin_port);
}

void end_close(struct end *end)
{
	if (end->link)
		end->link->ops->close(end->link);
	end->link = NULL;
}

void place_close(void)
{
	end_close(&first);
	end_close(&second);
	end_close(&gateway);
	close(near_fd);
	close(far_fd);
	close(reports[0]);
	close(reports[1]);
}

void pair_open(void)
{
	place_open();
	client_open(keys[0]);
	UNTIL(client.carrier);
	steps(5);
}

/* What the gateway has told since it was last asked. */
bool reported(const char *word)
{
	static char text[4096];
	long bytes = read(reports[0], text, sizeof(text) - 1);

	if (bytes < 0)
		return false;
	text[bytes] = 0;
	return strstr(text, word);
}

/* An Ethernet frame between the two. Return: bytes, vnet header included. */
unsigned long frame_between(char *frame, bool up, unsigned long body, unsigned seed)
{
	static const char macs[] = { 2, 0, 0, 0, 0, 9, 2, 0, 0, 0, 0, 1 };
	unsigned long bytes = frame_make(frame, body, seed);

	memcpy(frame + LKL_VNET_HDR, up ? macs : macs + 6, 6);
	memcpy(frame + LKL_VNET_HDR + 6, up ? macs + 6 : macs, 6);
	return bytes;
}

void frame_expect(struct end *end, const char *sent, unsigned long bytes)
{
	UNTIL(end->bytes);
	EXPECT_EQ(end->bytes, bytes);
	EXPECT(!memcmp(end->frame, sent, bytes));
	end->bytes = 0;
}

void frames_pass(unsigned count)
{
	static char sent[LKL_FRAME_MAX];
	const unsigned long sizes[] = { 14, 60, 1400, 9000 };

	for (unsigned i = 0; i < count; i++) {
		unsigned long bytes = frame_between(sent, true, sizes[i % 4], i);

		EXPECT_EQ(frame_send(client.link, sent, bytes), bytes);
		frame_expect(&gateway, sent, bytes);
		bytes = frame_between(sent, false, sizes[i % 4], i);
		EXPECT_EQ(frame_send(gateway.link, sent, bytes), bytes);
		frame_expect(&client, sent, bytes);
	}
}
