/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Blocking socket calls made of the non-blocking ones and socket_wait(), and connected pairs, for
 * the tests.
 */
#ifndef NET_H
#define NET_H

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>

#include "harness.h"

#ifndef IPPROTO_MPTCP
#define IPPROTO_MPTCP 262
#endif

struct lklsock_socket *open_socket(int type, int protocol);
struct sockaddr_in address(const char *ip, int port);

/* A listener on 127.0.0.1. */
struct lklsock_socket *listener(int protocol, int port);
/* Connects, sleeping for it. Return: 0 or -errno. */
long connect_to(struct lklsock_socket *sock, const char *ip, int port);
/* Two connected descriptors for link_wire(). */
void wire_pair(int fds[2]);

struct lklsock_socket *accept_from(struct lklsock_socket *listening);

struct pair {
	struct lklsock_socket *client, *server;
};

/* A connection over loopback; the listener is closed. */
struct pair connected(int protocol, int port);

/* Return: bytes of the one call that did not say EAGAIN, or -errno. */
long receive(struct lklsock_socket *sock, void *buf, size_t len);
/* All of it. */
void send_all(struct lklsock_socket *sock, const void *buf, size_t len);
/* Until EAGAIN. Return: bytes. */
long fill_up(struct lklsock_socket *sock);
/* Until EAGAIN or the end. Return: bytes. */
long drain_all(struct lklsock_socket *sock);

#endif
