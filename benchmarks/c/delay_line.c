// SPDX-License-Identifier: GPL-2.0-only
/*
 * Cables with a propagation delay, for hosts whose kernel has no netem: joins TAPs of the same name in two network
 * namespaces.
 *
 *	delay_line DELAY_US NAMESPACE NAMESPACE IFNAME...
 *
 * Writes "ready", then obeys lines on stdin until it ends: "cut N" loses all that is or comes on the
 * Nth cable (from 0), both ways, "mend N" ends that; each is answered by "done".
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "report.h"

#define CABLES_MAX 4
#define FRAMES 4096 /* a power of two; 5 ms at 100 Mbit/s are 42 full frames */
#define FRAME_BYTES 2048
#define NEVER UINT64_MAX

struct frame {
	uint64_t due_ns;
	size_t bytes;
	unsigned char data[FRAME_BYTES];
};

/* One way of a cable. */
struct line {
	int from, to;
	unsigned head, tail;
	struct frame *frames;
};

struct cable {
	struct line ways[2];
	int is_cut;
};

static struct cable cables[CABLES_MAX];
static int cable_count;
static uint64_t delay_ns;

static void namespace_enter(const char *name)
{
	char path[256];
	int fd;

	snprintf(path, sizeof(path), "/run/netns/%s", name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	must(path, fd < 0 ? -errno : 0);
	must(path, setns(fd, CLONE_NEWNET) ? -errno : 0);
	close(fd);
}

static int tap_open(const char *name)
{
	struct ifreq request = { .ifr_flags = IFF_TAP | IFF_NO_PI };
	int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);

	must("/dev/net/tun", fd < 0 ? -errno : 0);
	snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", name);
	must(name, ioctl(fd, TUNSETIFF, &request) ? -errno : 0);
	return fd;
}

static void take_in(struct line *line, int is_cut)
{
	for (;;) {
		struct frame *frame = &line->frames[line->head % FRAMES];
		ssize_t got = read(line->from, frame->data, sizeof(frame->data));

		if (got <= 0)
			return;
		if (is_cut || line->head - line->tail == FRAMES - 1)
			continue;
		frame->bytes = (size_t)got;
		frame->due_ns = now_ns() + delay_ns;
		line->head++;
	}
}

/* Return: when the next one is due, or NEVER. */
static uint64_t give_out(struct line *line)
{
	for (; line->tail != line->head; line->tail++) {
		struct frame *frame = &line->frames[line->tail % FRAMES];

		if (frame->due_ns > now_ns())
			return frame->due_ns;
		/* What the far end cannot take is lost. */
		if (write(line->to, frame->data, frame->bytes) < 0 && errno != EAGAIN)
			must("write", -errno);
	}
	return NEVER;
}

static void obey(const char *command)
{
	char verb[8];
	int number;

	if (sscanf(command, "%7s %d", verb, &number) != 2 || number < 0 || number >= cable_count)
		must(command, -EINVAL);
	cables[number].is_cut = !strcmp(verb, "cut");
	for (int way = 0; cables[number].is_cut && way < 2; way++)
		cables[number].ways[way].tail = cables[number].ways[way].head;
	puts("done");
	fflush(stdout);
}

static uint64_t move_frames(void)
{
	uint64_t next = NEVER;

	for (int i = 0; i < cable_count; i++) {
		for (int way = 0; way < 2; way++) {
			uint64_t due;

			take_in(&cables[i].ways[way], cables[i].is_cut);
			due = give_out(&cables[i].ways[way]);
			next = due < next ? due : next;
		}
	}
	return next;
}

static void sleep_until(uint64_t due_ns, struct pollfd *fds, nfds_t count)
{
	uint64_t now = now_ns();
	struct timespec timeout = { 0 };

	if (due_ns != NEVER && due_ns > now) {
		timeout.tv_sec = (time_t)((due_ns - now) / 1000000000u);
		timeout.tv_nsec = (long)((due_ns - now) % 1000000000u);
	}
	if (ppoll(fds, count, due_ns == NEVER ? NULL : &timeout, NULL) < 0 && errno != EINTR)
		must("poll", -errno);
}

static void cables_open(const char *const namespaces[2], char **names)
{
	for (int end = 0; end < 2; end++) {
		namespace_enter(namespaces[end]);
		for (int i = 0; i < cable_count; i++) {
			int fd = tap_open(names[i]);

			cables[i].ways[end].from = fd;
			cables[i].ways[!end].to = fd;
			cables[i].ways[end].frames = calloc(FRAMES, sizeof(struct frame));
			must("memory", cables[i].ways[end].frames ? 0 : -ENOMEM);
		}
	}
}

int main(int argc, char **argv)
{
	struct pollfd fds[1 + 2 * CABLES_MAX] = { { .fd = STDIN_FILENO, .events = POLLIN } };
	nfds_t count = 1;
	char command[64];

	cable_count = argc - 4;
	if (cable_count < 1 || cable_count > CABLES_MAX) {
		fprintf(stderr, "usage: delay_line DELAY_US NAMESPACE NAMESPACE IFNAME...\n");
		return 2;
	}
	delay_ns = strtoull(argv[1], NULL, 10) * 1000;
	cables_open((const char *const[2]){ argv[2], argv[3] }, argv + 4);
	for (int i = 0; i < cable_count; i++)
		for (int way = 0; way < 2; way++)
			fds[count++] = (struct pollfd){
				.fd = cables[i].ways[way].from,
				.events = POLLIN,
			};
	/* A cable is there whatever the CPU does otherwise; without the privilege it is as good as it can be. */
	prctl(PR_SET_TIMERSLACK, 1);
	sched_setscheduler(0, SCHED_FIFO, &(struct sched_param){ .sched_priority = 1 });
	puts("ready");
	fflush(stdout);
	for (;;) {
		sleep_until(move_frames(), fds, count);
		if (!fds[0].revents)
			continue;
		if (!fgets(command, sizeof(command), stdin))
			return 0;
		obey(command);
	}
}
