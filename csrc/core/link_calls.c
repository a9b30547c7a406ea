// SPDX-License-Identifier: GPL-2.0-only
/*
 * The link calls of the API.
 */
#include "link_calls.h"

#include <errno.h>
#include <string.h>

#include "link/frame.h"

#include "link_device.h"
#include "link_handle.h"
#include "syscall.h"

/* Takes over a link that was opened, or the reason why not. */
static long handle_adopt(long ret, struct link *link, struct lklsock_link **out)
{
	struct lklsock_link *handle;

	if (ret)
		return ret;
	handle = link_handle_alloc();
	if (!handle) {
		link->ops->close(link);
		return -ENOMEM;
	}
	link_handles_lock();
	link_handle_publish(handle, link);
	link_handles_unlock();
	*out = handle;
	return 0;
}

long link_call_tap(const char *name, struct lklsock_link **out)
{
	struct link *link = NULL;
	long ret;

	if (!syscall_door_passes())
		return LKLSOCK_ENOTRUNNING;
	ret = link_tap_open(name, -1, &link);
	return handle_adopt(ret, link, out);
}

long link_call_fd(int host_fd, const uint8_t mac[6], struct lklsock_link **out)
{
	struct link *link = NULL;
	long ret;

	if (!syscall_door_passes())
		return LKLSOCK_ENOTRUNNING;
	ret = link_fd_open(host_fd, mac, &link);
	return handle_adopt(ret, link, out);
}

long link_call_packet(const char *device, const uint8_t mac[6], struct lklsock_link **out)
{
	struct link *link = NULL;
	long ret;

	if (!syscall_door_passes())
		return LKLSOCK_ENOTRUNNING;
	ret = link_packet_open(device, mac, &link);
	return handle_adopt(ret, link, out);
}

long link_call_vxlan(const struct lklsock_vxlan *given, struct lklsock_link **out)
{
	const struct link_vxlan settings = {
		.remote = given->remote,
		.source = given->source,
		.local_port = given->local_port,
		.source_port = given->source_port,
		.device = given->device,
		.vni = given->vni,
	};
	struct link *link = NULL;
	long ret;

	if (!syscall_door_passes())
		return LKLSOCK_ENOTRUNNING;
	ret = link_vxlan_open(&settings, &link);
	return handle_adopt(ret, link, out);
}

long link_call_tunnel(const struct lklsock_tunnel *given, struct lklsock_link **out)
{
	struct link_tunnel settings = {
		.remote = given->remote,
		.source = given->source,
		.device = given->device,
		.key = given->key,
		.keepalive_ms = given->keepalive_ms,
	};
	struct link *link = NULL;
	long ret;

	if (!syscall_door_passes())
		return LKLSOCK_ENOTRUNNING;
	memcpy(settings.mac, given->mac, sizeof(settings.mac));
	ret = link_tunnel_open(&settings, &link);
	return handle_adopt(ret, link, out);
}

long link_call_gateway(const struct lklsock_gateway *given, struct lklsock_link **out)
{
	const struct link_gateway settings = {
		.listen = given->listen,
		.keys = given->keys,
		.key_count = given->key_count,
		.report_fd = given->report_fd,
	};
	struct link *link = NULL;
	long ret;

	if (!syscall_door_passes())
		return LKLSOCK_ENOTRUNNING;
	ret = link_gateway_open(&settings, &link);
	return handle_adopt(ret, link, out);
}

long link_call_wire(int host_fd, struct lklsock_link **out)
{
	struct link *link = NULL;
	long ret;

	if (!syscall_door_passes())
		return LKLSOCK_ENOTRUNNING;
	ret = link_wire_open(host_fd, &link);
	return handle_adopt(ret, link, out);
}

long link_call_wire_path(const char *path, bool listen, struct lklsock_link **out)
{
	struct link *link = NULL;
	long ret;

	if (!syscall_door_passes())
		return LKLSOCK_ENOTRUNNING;
	ret = listen ? link_wire_listen(path, &link) : link_wire_connect(path, &link);
	return handle_adopt(ret, link, out);
}

/* Takes the list lock. Return: 0 or -errno. To be followed by wrap_end(), whatever it is. */
static long wrap_begin(struct lklsock_link *inner, struct lklsock_link **outer)
{
	*outer = link_handle_alloc();
	link_handles_lock();
	if (!*outer)
		return -ENOMEM;
	return link_handle_is_loose(inner) ? 0 : -EBUSY;
}

/* Gives the list lock back. ret: how the wrapping went. Return: the same. */
static long wrap_end(long ret, struct lklsock_link *outer, struct link *link,
		     struct lklsock_link *inner, struct lklsock_link **out)
{
	if (!ret) {
		outer->inner = inner;
		inner->outer = outer;
		link_handle_publish(outer, link);
		*out = outer;
	}
	link_handles_unlock();
	if (ret && outer)
		link_handle_free(outer);
	return ret;
}

static struct link_impair_direction direction(const struct lklsock_impair *from)
{
	return (struct link_impair_direction){
		.delay_ns = from->delay_ns,
		.jitter_ns = from->jitter_ns,
		.rate_bit_per_s = from->rate_bit_per_s,
		.queue_bytes = from->queue_bytes,
		.loss = from->loss,
		.reorder = from->reorder,
		.duplicate = from->duplicate,
	};
}

long link_call_impair(struct lklsock_link *inner, uint64_t seed, const struct lklsock_impair *tx,
		      const struct lklsock_impair *rx, struct lklsock_link **out)
{
	const struct link_impair_direction tx_direction = direction(tx);
	const struct link_impair_direction rx_direction = direction(rx);
	struct lklsock_link *outer;
	struct link *link = NULL;
	long ret = wrap_begin(inner, &outer);

	if (!ret)
		ret = link_impair_wrap(inner->link, seed, &tx_direction, &rx_direction, &link);
	return wrap_end(ret, outer, link, inner, out);
}

long link_call_pcap(struct lklsock_link *inner, int host_fd, uint32_t snaplen,
		    struct lklsock_link **out)
{
	struct lklsock_link *outer;
	struct link *link = NULL;
	long ret = wrap_begin(inner, &outer);

	if (!ret)
		ret = link_pcap_wrap(inner->link, host_fd, snaplen, &link);
	return wrap_end(ret, outer, link, inner, out);
}

long link_call_follow(struct lklsock_link *inner, const char *uplink, struct lklsock_link **out)
{
	struct lklsock_link *outer;
	struct link *link = NULL;
	long ret = wrap_begin(inner, &outer);

	if (!ret)
		ret = link_follow_wrap(inner->link, uplink, &link);
	return wrap_end(ret, outer, link, inner, out);
}

long link_call_impair_set(struct lklsock_link *handle, const struct lklsock_impair *tx,
			  const struct lklsock_impair *rx)
{
	const struct link_impair_direction tx_direction = direction(tx);
	const struct link_impair_direction rx_direction = direction(rx);
	long ret = LKLSOCK_ENOTRUNNING;

	link_handles_lock();
	if (handle->link)
		ret = link_impair_set(handle->link, &tx_direction, &rx_direction);
	link_handles_unlock();
	return ret;
}

long link_call_cut(struct lklsock_link *handle, bool cut, bool carrier)
{
	long ret = LKLSOCK_ENOTRUNNING;

	link_handles_lock();
	if (handle->link)
		ret = link_impair_cut(handle->link, cut, carrier);
	link_handles_unlock();
	link_device_interrupt();
	return ret;
}

long link_call_mtu(struct lklsock_link *handle)
{
	long mtu = LKLSOCK_ENOTRUNNING;

	link_handles_lock();
	if (handle->link)
		mtu = link_mtu(handle->link);
	link_handles_unlock();
	return mtu;
}

static uint64_t counter(const uint64_t *from)
{
	return __atomic_load_n(from, __ATOMIC_RELAXED);
}

void link_call_counters(struct lklsock_link *handle, struct lklsock_link_counters *out)
{
	const struct link_counters *from;

	link_handles_lock();
	from = handle->link ? link_counters(handle->link) : &handle->last;
	*out = (struct lklsock_link_counters){
		.tx_frames = counter(&from->tx_frames),
		.tx_bytes = counter(&from->tx_bytes),
		.rx_frames = counter(&from->rx_frames),
		.rx_bytes = counter(&from->rx_bytes),
		.tx_dropped = counter(&from->tx_dropped),
		.rx_dropped = counter(&from->rx_dropped),
		.rx_malformed = counter(&from->rx_malformed),
		.tx_too_long = counter(&from->tx_too_long),
		.path_errors = counter(&from->path_errors),
	};
	link_handles_unlock();
}
