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

/* Datagrams without a frame that are looked at in one go. */
#define WITHOUT_FRAME_MAX 64

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

static long malformed(struct tunnel *tunnel)
{
	link_count(&tunnel->link.counters.rx_malformed, 1);
	return -EBADMSG;
}

long tunnel_unseal(struct tunnel *tunnel, struct tunnel_session *session,
		   const struct datagram *datagram, bool *newest)
{
	long bytes = session ? tunnel_session_unseal(session, (uint8_t *)datagram->data,
						     datagram->bytes, newest) :
			       -EBADMSG;

	if (bytes >= 0)
		return bytes;
	if (bytes != -EALREADY)
		return malformed(tunnel);
	link_count(&tunnel->link.counters.rx_dropped, 1);
	return -EBADMSG;
}

/* The frame of an unsealed datagram, to who reads. Return: as link_ops.rx. */
static long deliver(struct tunnel *tunnel, const struct lkl_iovec *iov, int count,
		    const struct datagram *datagram, long frame_bytes)
{
	const char *frame = datagram->data + TUNNEL_BEFORE;
	struct virtio_net_hdr_v1 header = { 0 };

	if (frame_bytes < ETH_HLEN)
		return malformed(tunnel);
	link_checksum_detect(&header, frame, (unsigned long)frame_bytes);
	return link_frame_deliver(&tunnel->link, iov, count, &header, frame,
				  (unsigned long)frame_bytes);
}

long tunnel_rx(struct tunnel *tunnel, const struct lkl_iovec *iov, int count,
	       tunnel_data_open *data_open)
{
	struct datagram datagram;
	uint32_t number;
	long bytes;

	tunnel_flush(tunnel);
	for (int i = 0; i < WITHOUT_FRAME_MAX; i++) {
		if (datagrams_next(tunnel->datagrams, &datagram))
			return -EAGAIN;
		switch (tunnel_kind_of(datagram.data, datagram.bytes, &number)) {
		case TUNNEL_NONE:
			return malformed(tunnel);
		case TUNNEL_KIND_DATA:
			bytes = data_open(tunnel, &datagram, number);
			if (bytes < 0)
				return bytes;
			if (bytes)
				return deliver(tunnel, iov, count, &datagram, bytes);
			break;
		default:
			letter_post(tunnel, &datagram);
		}
	}
	/* There may be more. */
	host_io_ring(&tunnel->in);
	return -EAGAIN;
}

/* ---- what leaves */

/* A frame was lost, or what an earlier one had left to be sent. */
static void lost(struct tunnel *tunnel, int err)
{
	link_count(&tunnel->link.counters.tx_dropped, 1);
	if (err == -EMSGSIZE)
		link_count(&tunnel->link.counters.tx_too_long, 1);
}

/* Return: as volley_send(); room for what is held is told. */
static int volley_leave(struct tunnel *tunnel)
{
	int err = volley_send(tunnel->volley);

	if (err == -EAGAIN)
		host_io_arm(&tunnel->out, EPOLLOUT);
	return err;
}

int tunnel_flush(struct tunnel *tunnel)
{
	int err = volley_held(tunnel->volley) ? volley_leave(tunnel) : 0;

	if (!err || err == -EAGAIN)
		return err;
	lost(tunnel, err);
	return 0;
}

/* Return: 0, or -errno: what is missing is lost. */
static int segments_seal(struct tunnel *tunnel, struct tunnel_session *session,
			 struct segments *segments)
{
	unsigned long bytes;
	uint8_t *room;
	int err;

	while (segments->rest) {
		room = volley_room(tunnel->volley, TUNNEL_AROUND + segments_bytes_max(segments));
		if (!room)
			return -ENOBUFS;
		bytes = segments_next(segments, room + TUNNEL_BEFORE);
		err = tunnel_session_seal(session, room, bytes);
		if (err)
			return err;
		volley_add(tunnel->volley, bytes + TUNNEL_AROUND);
	}
	return 0;
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
		sent = volley_leave(tunnel);
	}
	if (!err && sent != -EAGAIN)
		err = sent;
	if (err) {
		lost(tunnel, err);
		return err;
	}
	link_count_tx(&tunnel->link, (unsigned long)bytes);
	return bytes;
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
	if (fd < 0)
		return fd;
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
