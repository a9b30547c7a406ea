// SPDX-License-Identifier: GPL-2.0-only
/*
 * The function table of the library.
 */
#include <lklsock.h>

#include "bridge.h"
#include "console.h"
#include "file.h"
#include "halves.h"
#include "life.h"
#include "linger.h"
#include "link_calls.h"
#include "link_device.h"
#include "link_handle.h"
#include "netconf.h"
#include "raw_calls.h"
#include "readiness.h"
#include "registry.h"
#include "shadow.h"
#include "socket.h"
#include "socket_calls.h"
#include "syscall.h"

static const char *kernel_version(void)
{
	return LKL_KERNEL_VERSION;
}

static const struct lklsock_api api = {
	.abi = LKLSOCK_ABI,
	.size = sizeof(api),

	.kernel_version = kernel_version,
	.boot = life_boot,
	.halt = life_halt,
	.state = life_state,
	.console_tail = console_tail,
	.fork_prepare = life_fork_prepare,
	.fork_parent = life_fork_parent,
	.fork_resume = life_fork_resume,
	.fork_child = life_fork_child,

	.system_call = raw_system_call,
	.task_new = raw_task_new,
	.task_free = raw_task_free,
	.file_read = file_read,
	.file_write = file_write,
	.statistics = raw_statistics,

	.socket_open = socket_open,
	.socket_get = socket_get,
	.socket_put = socket_put,
	.socket_linger = socket_linger,
	.socket_close = socket_close,
	.socket_lkl_fd = socket_lkl_fd,

	.bind = socket_bind,
	.listen = socket_listen,
	.accept = socket_accept,
	.connect = socket_connect,
	.send = socket_send,
	.recv = socket_recv,
	.sendto = socket_sendto,
	.recvfrom = socket_recvfrom,
	.sendmsg = socket_sendmsg,
	.recvmsg = socket_recvmsg,
	.shutdown = socket_shutdown,
	.getsockname = socket_getsockname,
	.getpeername = socket_getpeername,
	.getsockopt = socket_getsockopt,
	.setsockopt = socket_setsockopt,
	.ioctl = socket_ioctl,

	.socket_wait = socket_wait,
	.socket_poll = socket_poll,
	.socket_shadow = socket_shadow,
	.socket_shadow_move = socket_shadow_move,
	.socket_by_shadow = registry_find,

	.socket_join_host = socket_join_host,
	.socket_leave_host = socket_leave_host,
	.socket_leave_kernel = socket_leave_kernel,
	.socket_replace_kernel = socket_replace_kernel,
	.socket_refresh = socket_refresh,
	.socket_bridge = socket_bridge,

	.link_tap = link_call_tap,
	.link_fd = link_call_fd,
	.link_packet = link_call_packet,
	.link_vxlan = link_call_vxlan,
	.link_tunnel = link_call_tunnel,
	.link_gateway = link_call_gateway,
	.link_wire = link_call_wire,
	.link_wire_path = link_call_wire_path,
	.link_impair = link_call_impair,
	.link_impair_set = link_call_impair_set,
	.link_cut = link_call_cut,
	.link_follow = link_call_follow,
	.link_pcap = link_call_pcap,
	.link_mtu = link_call_mtu,
	.link_attach = link_device_attach,
	.link_close = link_handle_close,
	.link_release = link_handle_release,
	.link_counters = link_call_counters,

	.interface_up = interface_up,
	.interface_mtu = interface_mtu,
	.interface_carrier = interface_carrier,
	.address_add = address_add,
	.address_del = address_del,
	.route_add = route_add,
	.route_del = route_del,
	.rule_add = rule_add,
	.rule_del = rule_del,
};

const struct lklsock_api *lkl_api(unsigned abi)
{
	return abi == LKLSOCK_ABI ? &api : NULL;
}
