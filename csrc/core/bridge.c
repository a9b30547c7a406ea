// SPDX-License-Identifier: GPL-2.0-only
/*
 * The pump. It runs in event() of our end's source, so never twice at once for a bridge: for what
 * the host's end is ready for, and rung when the kernel's readiness changes.
 */
#include "bridge.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/epoll.h>

#include "host/host.h"
#include "host/stream.h"
#include "readiness.h"
#include "socket.h"
#include "socket_calls.h"
#include "syscall.h"

#define BUFFER_BYTES 32768
/* Then others have their turn. */
#define ROUNDS 32

enum progress { MOVES, WANTS_INPUT, WANTS_ROOM, OVER };

struct flow {
	char bytes[BUFFER_BYTES];
	size_t start, end; /* what was read and not yet written */
	bool ended;        /* nothing more to read */
	enum progress progress;
};

struct bridge {
	struct lklsock_socket *sock;
	struct host_io_source source; /* of our end; has a memory reference on the socket */
	pthread_mutex_t lock;
	int ours;     /* -1 when closed; lock, but for the pump */
	bool watched; /* the source is in use; atomic, who takes it deletes the source */
	bool is_user; /* of the socket; atomic, who takes it gives the user back */
	bool hung_up; /* the program closed its end */
	bool failed;  /* the connection did */
	struct flow up, down;
};

/* One end of a flow. Each returns as socket_recv() and socket_send() do. */
static long kernel_recv(struct bridge *bridge, char *buf, size_t len)
{
	long ret = socket_recv(bridge->sock, buf, len, 0);

	bridge->failed |= ret < 0 && ret != -EAGAIN;
	return ret;
}

static long kernel_send(struct bridge *bridge, const char *buf, size_t len)
{
	return socket_send(bridge->sock, buf, len, 0);
}

static long host_recv(struct bridge *bridge, char *buf, size_t len)
{
	return host_stream_recv(bridge->ours, buf, len);
}

static long host_send(struct bridge *bridge, const char *buf, size_t len)
{
	return host_stream_send(bridge->ours, buf, len);
}

static void kernel_end(struct bridge *bridge)
{
	socket_shutdown(bridge->sock, SHUT_WR);
}

static void host_end(struct bridge *bridge)
{
	host_stream_end(bridge->ours);
}

static void kernel_refuse(struct bridge *bridge)
{
	(void)bridge; /* The close will, with a reset if there is something. */
}

static void host_refuse(struct bridge *bridge)
{
	host_stream_refuse(bridge->ours);
}

static const struct direction {
	long (*recv)(struct bridge *bridge, char *buf, size_t len);
	long (*send)(struct bridge *bridge, const char *buf, size_t len);
	void (*end)(struct bridge *bridge);    /* of what is sent */
	void (*refuse)(struct bridge *bridge); /* what would be received */
} up = { kernel_recv, host_send, host_end, kernel_refuse },
  down = { host_recv, kernel_send, kernel_end, host_refuse };

static enum progress flow_in(struct bridge *bridge, struct flow *flow, const struct direction *way)
{
	long ret = way->recv(bridge, flow->bytes, sizeof(flow->bytes));

	if (ret == -EAGAIN)
		return WANTS_INPUT;
	flow->start = 0;
	flow->end = ret > 0 ? (size_t)ret : 0;
	flow->ended = ret <= 0;
	return MOVES;
}

static enum progress flow_out(struct bridge *bridge, struct flow *flow, const struct direction *way)
{
	long ret = way->send(bridge, flow->bytes + flow->start, flow->end - flow->start);

	if (ret == -EAGAIN)
		return WANTS_ROOM;
	if (ret < 0) {
		/* Nobody takes it any more. */
		way->refuse(bridge);
		return OVER;
	}
	flow->start += (size_t)ret;
	return MOVES;
}

static void flow_run(struct bridge *bridge, struct flow *flow, const struct direction *way)
{
	if (flow->progress == OVER)
		return;
	flow->progress = MOVES;
	for (int round = 0; round < ROUNDS && flow->progress == MOVES; round++) {
		if (flow->start < flow->end) {
			flow->progress = flow_out(bridge, flow, way);
		} else if (!flow->ended) {
			flow->progress = flow_in(bridge, flow, way);
		} else {
			way->end(bridge);
			flow->progress = OVER;
		}
	}
}

static bool take(bool *flag)
{
	return __atomic_exchange_n(flag, false, __ATOMIC_ACQ_REL);
}

static void end_close(struct bridge *bridge)
{
	pthread_mutex_lock(&bridge->lock);
	if (bridge->ours >= 0)
		host_stream_close(bridge->ours);
	bridge->ours = -1;
	pthread_mutex_unlock(&bridge->lock);
}

static void bridge_end(struct bridge *bridge)
{
	struct lklsock_socket *sock = bridge->sock;

	if (!take(&bridge->watched))
		return; /* bridge_close() is at it, and waits for us */
	host_io_del(&bridge->source);
	end_close(bridge);
	if (take(&bridge->is_user))
		socket_put_from_poller(sock);
	socket_unref(sock);
}

/* Whether the pump may go on at once, though a call said EAGAIN: readiness came back meanwhile. */
static bool kernel_is_ready(struct bridge *bridge)
{
	unsigned mask = readiness_mask(bridge->sock);

	return (bridge->up.progress == WANTS_INPUT && mask & (EPOLLIN | EPOLLERR)) ||
	       (bridge->down.progress == WANTS_ROOM && mask & (EPOLLOUT | EPOLLERR));
}

static unsigned host_wants(const struct bridge *bridge)
{
	unsigned events = EPOLLHUP;

	if (bridge->hung_up)
		return 0;
	if (bridge->up.progress == WANTS_ROOM)
		events |= EPOLLOUT;
	if (bridge->down.progress == WANTS_INPUT)
		events |= EPOLLIN;
	return events;
}

/* On a polling thread. */
static unsigned bridge_event(struct host_io_source *source, uint32_t epoll_events)
{
	struct bridge *bridge = (struct bridge *)((char *)source - offsetof(struct bridge, source));

	if (epoll_events & (EPOLLHUP | EPOLLERR)) {
		bridge->hung_up = true;
		/* Nobody reads. */
		bridge->up.progress = OVER;
	}
	flow_run(bridge, &bridge->down, &down);
	flow_run(bridge, &bridge->up, &up);
	if (bridge->failed || (bridge->up.progress == OVER && bridge->down.progress == OVER)) {
		bridge_end(bridge);
		return 0;
	}
	if (bridge->up.progress == MOVES || bridge->down.progress == MOVES ||
	    kernel_is_ready(bridge))
		host_io_ring(source);
	if (host_wants(bridge))
		host_io_arm(source, host_wants(bridge));
	return 0;
}

static struct bridge *bridge_of(const struct lklsock_socket *sock)
{
	return __atomic_load_n(&sock->bridge, __ATOMIC_ACQUIRE);
}

void bridge_gain(struct lklsock_socket *sock)
{
	struct bridge *bridge = bridge_of(sock);

	if (bridge && __atomic_load_n(&bridge->watched, __ATOMIC_ACQUIRE))
		host_io_ring(&bridge->source);
}

void bridge_hang_up(struct lklsock_socket *sock)
{
	struct bridge *bridge = bridge_of(sock);

	if (!bridge)
		return;
	pthread_mutex_lock(&bridge->lock);
	if (bridge->ours >= 0) {
		host_stream_end(bridge->ours);
		host_stream_refuse(bridge->ours);
	}
	pthread_mutex_unlock(&bridge->lock);
}

void bridge_close(struct lklsock_socket *sock)
{
	struct bridge *bridge = bridge_of(sock);

	if (!bridge)
		return;
	if (take(&bridge->watched)) {
		host_io_del(&bridge->source);
		socket_unref(sock);
	}
	end_close(bridge);
	if (take(&bridge->is_user))
		socket_put_from_poller(sock);
}

void bridge_forget(struct lklsock_socket *sock)
{
	struct bridge *bridge = bridge_of(sock);

	if (bridge)
		bridge->ours = -1;
}

void bridge_free(struct bridge *bridge)
{
	if (!bridge)
		return;
	pthread_mutex_destroy(&bridge->lock);
	free(bridge);
}

/* Return: 0 or -errno; then nothing is left of it, but our end. */
static long bridge_make(struct lklsock_socket *sock, int ours, struct bridge **out)
{
	struct bridge *bridge = calloc(1, sizeof(*bridge));
	long err;

	if (!bridge)
		return -ENOMEM;
	bridge->sock = sock;
	bridge->ours = ours;
	bridge->source.fd = ours;
	bridge->source.event = bridge_event;
	pthread_mutex_init(&bridge->lock, NULL);
	err = host_io_add(&bridge->source);
	if (err)
		goto no_source;
	/* For as long as the socket lives. */
	err = readiness_arm(sock, 0);
	if (err < 0)
		goto not_armed;
	*out = bridge;
	return 0;
not_armed:
	host_io_del(&bridge->source);
no_source:
	pthread_mutex_destroy(&bridge->lock);
	free(bridge);
	return err;
}

/* making held. Return: 0 or -errno; then our end is still the caller's. */
static long bridge_start(struct lklsock_socket *sock, int ours)
{
	struct bridge *bridge;
	long ret = readiness_watch(sock);

	if (!ret)
		ret = bridge_make(sock, ours, &bridge);
	if (ret)
		return ret;
	socket_ref(sock);
	bridge->watched = true;
	socket_get(sock);
	bridge->is_user = true;
	__atomic_store_n(&sock->bridge, bridge, __ATOMIC_SEQ_CST);
	host_io_ring(&bridge->source);
	return 0;
}

/* making held. Return: the program's end, or -errno. */
static long bridge_open(struct lklsock_socket *sock)
{
	int program, ours;
	long ret = host_stream_open(&program, &ours);

	if (ret)
		return ret;
	ret = bridge_start(sock, ours);
	if (!ret)
		return program;
	host_stream_close(ours);
	host_stream_close(program);
	return ret;
}

static long refusal(struct lklsock_socket *sock)
{
	struct sockaddr_storage peer;
	socklen_t len = sizeof(peer);

	if (!sock->connects)
		return -EOPNOTSUPP;
	return socket_getpeername(sock, &peer, &len);
}

long socket_bridge(struct lklsock_socket *sock, int host_fd)
{
	long ret;

	if (!syscall_door_passes())
		return LKLSOCK_ENOTRUNNING;
	if (!socket_enter(sock))
		return socket_refusal();
	ret = refusal(sock);
	if (!ret) {
		pthread_mutex_lock(&sock->making);
		if (sock->bridge)
			ret = -EBUSY;
		else
			ret = host_fd < 0 ? bridge_open(sock) : bridge_start(sock, host_fd);
		pthread_mutex_unlock(&sock->making);
	}
	socket_leave(sock);
	return ret;
}
