// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a tunnel's two ends share.
 */
#include "tunnel.h"

#include <errno.h>
#include <fcntl.h>
#include <net/ethernet.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "checksum.h"
#include "frame.h"
#include "segments.h"

static struct tunnel *tunnel_of(struct link *link)
{
	return (struct tunnel *)link;
}

unsigned tunnel_tell(struct tunnel *tunnel, unsigned events)
{
	return events ? tunnel->link.upper->event(tunnel->link.upper, events) : 0;
}

static unsigned in_event(struct host_io_source *source, uint32_t epoll_events)
{
	(void)epoll_events;
	return tunnel_tell((struct tunnel *)((char *)source - offsetof(struct tunnel, in)),
			   LKL_NET_RX);
}

/* Room. What is held leaves with the rx that follows. */
static unsigned out_event(struct host_io_source *source, uint32_t epoll_events)
{
	(void)epoll_events;
	return tunnel_tell((struct tunnel *)((char *)source - offsetof(struct tunnel, out)),
			   LKL_NET_TX | LKL_NET_RX);
}

void tunnel_poll(struct link *link, unsigned events)
{
	struct tunnel *tunnel = tunnel_of(link);

	if (!tunnel->started) {
		tunnel->started = true;
		host_io_arm(&tunnel->control, EPOLLIN);
		host_io_ring(&tunnel->control);
	}
	if (events & LKL_NET_TX)
		host_io_arm(&tunnel->out, EPOLLOUT);
	if (!(events & LKL_NET_RX))
		return;
	host_io_arm(&tunnel->in, EPOLLIN);
	if (datagrams_held(tunnel->datagrams))
		host_io_ring(&tunnel->in);
}

bool tunnel_idle(struct link *link)
{
	return !volley_held(tunnel_of(link)->volley);
}

/* ---- rings */

bool tunnel_letter_take(struct tunnel *tunnel, struct tunnel_letter *out)
{
	uint32_t next = __atomic_load_n(&tunnel->letters_out, __ATOMIC_RELAXED);

	if (next == __atomic_load_n(&tunnel->letters_in, __ATOMIC_ACQUIRE))
		return false;
	*out = tunnel->letters[next % TUNNEL_RING];
	__atomic_store_n(&tunnel->letters_out, next + 1, __ATOMIC_RELEASE);
	return true;
}

/* Who writes to a full box is not heard, and counted. */
static void letter_post(struct tunnel *tunnel, const struct datagram *datagram)
{
	uint32_t next = __atomic_load_n(&tunnel->letters_in, __ATOMIC_RELAXED);
	struct tunnel_letter *letter = &tunnel->letters[next % TUNNEL_RING];

	if (next - __atomic_load_n(&tunnel->letters_out, __ATOMIC_ACQUIRE) == TUNNEL_RING) {
		link_count(&tunnel->link.counters.rx_dropped, 1);
		return;
	}
	letter->way.remote = *datagram->from;
	datagrams_local(datagram, &letter->way.local);
	letter->bytes = (unsigned)datagram->bytes;
	memcpy(letter->text, datagram->data, datagram->bytes);
	__atomic_store_n(&tunnel->letters_in, next + 1, __ATOMIC_RELEASE);
	host_io_ring(&tunnel->control);
}

bool tunnel_arrive(struct tunnel *tunnel, const struct tunnel_arrival *arrival)
{
	uint32_t next = __atomic_load_n(&tunnel->arrivals_in, __ATOMIC_RELAXED);

	if (next - __atomic_load_n(&tunnel->arrivals_out, __ATOMIC_ACQUIRE) == TUNNEL_RING)
		return false;
	tunnel->arrivals[next % TUNNEL_RING] = *arrival;
	__atomic_store_n(&tunnel->arrivals_in, next + 1, __ATOMIC_RELEASE);
	return true;
}

bool tunnel_arrival_take(struct tunnel *tunnel, struct tunnel_arrival *out)
{
	uint32_t next = __atomic_load_n(&tunnel->arrivals_out, __ATOMIC_RELAXED);

	if (next == __atomic_load_n(&tunnel->arrivals_in, __ATOMIC_ACQUIRE))
		return false;
	*out = tunnel->arrivals[next % TUNNEL_RING];
	__atomic_store_n(&tunnel->arrivals_out, next + 1, __ATOMIC_RELEASE);
	return true;
}

/* ---- what comes */

long tunnel_receive(struct tunnel *tunnel, struct datagram *out, uint32_t *number)
{
	for (int i = 0; i < TUNNEL_SIGNS_MAX; i++) {
		enum tunnel_kind kind;

		if (datagrams_next(tunnel->datagrams, out))
			return -EAGAIN;
		kind = tunnel_kind_of(out->data, out->bytes, number);
		if (kind == TUNNEL_KIND_DATA)
			return (long)out->bytes;
		if (kind == TUNNEL_NONE) {
			link_count(&tunnel->link.counters.rx_malformed, 1);
			return -EBADMSG;
		}
		letter_post(tunnel, out);
	}
	return tunnel_again(tunnel);
}

long tunnel_again(struct tunnel *tunnel)
{
	host_io_ring(&tunnel->in);
	return -EAGAIN;
}

long tunnel_deliver(struct tunnel *tunnel, const struct lkl_iovec *iov, int count,
		    const struct datagram *datagram, long frame_bytes)
{
	const char *frame = datagram->data + TUNNEL_BEFORE;
	struct virtio_net_hdr_v1 header = { 0 };

	if (frame_bytes < ETH_HLEN) {
		link_count(&tunnel->link.counters.rx_malformed, 1);
		return -EBADMSG;
	}
	link_checksum_detect(&header, frame, (unsigned long)frame_bytes);
	return link_frame_deliver(&tunnel->link, iov, count, &header, frame,
				  (unsigned long)frame_bytes);
}

/* ---- what leaves */

int tunnel_flush(struct tunnel *tunnel)
{
	if (!volley_held(tunnel->volley) || volley_send(tunnel->volley) != -EAGAIN)
		return 0;
	host_io_arm(&tunnel->out, EPOLLOUT);
	return -EAGAIN;
}

/* Return: 0, or -errno: what is missing is lost. */
static int segments_seal(struct tunnel *tunnel, struct tunnel_session *session,
			 struct segments *segments)
{
	unsigned long bytes;
	uint8_t *room;
	int err;

	for (;;) {
		room = volley_room(tunnel->volley, TUNNEL_AROUND + segments_bytes_max(segments));
		if (!room)
			return segments->rest ? -ENOBUFS : 0;
		bytes = segments_next(segments, room + TUNNEL_BEFORE);
		if (!bytes)
			return 0;
		err = tunnel_session_seal(session, room, bytes);
		if (err)
			return err;
		volley_add(tunnel->volley, bytes + TUNNEL_AROUND);
	}
}

long tunnel_send(struct tunnel *tunnel, struct tunnel_session *session, const struct udp_way *way,
		 const struct lkl_iovec *iov, int count)
{
	struct segments segments;
	long bytes = (long)link_frame_room(iov, count);
	int err = segments_begin(&segments, SEGMENTS_UNFINISHED, iov, count), sent = 0;

	if (!err) {
		volley_begin(tunnel->volley, way);
		err = segments_seal(tunnel, session, &segments);
		sent = volley_send(tunnel->volley);
	}
	if (sent == -EAGAIN)
		host_io_arm(&tunnel->out, EPOLLOUT);
	else if (!err)
		err = sent;
	if (!err) {
		link_count_tx(&tunnel->link, (unsigned long)bytes);
		return bytes;
	}
	link_count(&tunnel->link.counters.tx_dropped, 1);
	if (err == -EMSGSIZE)
		link_count(&tunnel->link.counters.tx_too_long, 1);
	return err;
}

void tunnel_sign_send(struct tunnel *tunnel, struct tunnel_session *session,
		      const struct udp_way *way, enum tunnel_sign sign)
{
	uint8_t datagram[TUNNEL_AROUND + 1] = { 0 };
	unsigned long bytes = sign == TUNNEL_BYE;

	if (!tunnel_session_seal(session, datagram, bytes))
		udp_way_send(tunnel->in.fd, way, datagram, TUNNEL_AROUND + bytes, 0);
}

/* ---- life */

void tunnel_timer_set(struct tunnel *tunnel, uint64_t at_ns)
{
	const struct itimerspec when = {
		.it_value.tv_sec = (time_t)(at_ns / 1000000000u),
		.it_value.tv_nsec = (long)(at_ns % 1000000000u),
	};

	syscall(SYS_timerfd_settime, tunnel->control.fd, TFD_TIMER_ABSTIME, &when, NULL);
}

uint32_t tunnel_number_make(void)
{
	uint32_t number = 0;

	while (!(number %= TUNNEL_NUMBERS))
		if (host_random_fill(&number, sizeof(number)) < 0)
			number = (uint32_t)host_clock_monotonic();
	return number;
}

/* Return: 0 or -errno. fd is closed with the source. */
static int source_start(struct host_io_source *source, int fd,
			unsigned (*event)(struct host_io_source *, uint32_t))
{
	int err;

	if (fd < 0)
		return -errno;
	source->fd = fd;
	err = host_io_add(source);
	if (!err)
		source->event = event;
	return err;
}

static void source_stop(struct host_io_source *source)
{
	if (source->event)
		host_io_del(source);
	if (source->fd >= 0)
		close(source->fd);
}

int tunnel_start(struct tunnel *tunnel, int fd,
		 unsigned (*control)(struct host_io_source *, uint32_t))
{
	int err;

	tunnel->in.fd = tunnel->out.fd = tunnel->control.fd = -1;
	err = source_start(&tunnel->in, fd, in_event);
	/* A copy, for interest of its own. */
	if (!err)
		err = source_start(&tunnel->out, fcntl(fd, F_DUPFD_CLOEXEC, 0), out_event);
	if (!err)
		err = source_start(&tunnel->control,
				   timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK),
				   control);
	if (err)
		return err;
	tunnel->datagrams = datagrams_new(fd);
	tunnel->volley = volley_new(fd, NULL);
	return tunnel->datagrams && tunnel->volley ? 0 : -ENOMEM;
}

void tunnel_stop(struct tunnel *tunnel)
{
	struct tunnel_arrival late;

	source_stop(&tunnel->control);
	source_stop(&tunnel->in);
	source_stop(&tunnel->out);
	while (tunnel_arrival_take(tunnel, &late))
		tunnel_session_free(late.session);
	datagrams_free(tunnel->datagrams);
	volley_free(tunnel->volley);
}
