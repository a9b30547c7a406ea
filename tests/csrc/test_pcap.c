// SPDX-License-Identifier: GPL-2.0-only
/* The capture file, read back. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>

#include "double.h"
#include "expect.h"

struct file_header {
	uint32_t magic;
	uint16_t major, minor;
	uint32_t zone, accuracy, snaplen, linktype;
};

struct record_header {
	uint32_t seconds, nanoseconds, captured, length;
};

static char sent[LKL_FRAME_MAX], got[LKL_FRAME_MAX], file_bytes[LKL_FRAME_MAX];

static struct link *near, *far;
static struct upper_double upper, far_upper;

static void capture_open(int fd, uint32_t snaplen)
{
	struct link *ends[2];

	EXPECT_EQ(link_memory_pair(64, ends), 0);
	EXPECT_EQ(link_pcap_wrap(ends[0], fd, snaplen, &near), 0);
	far = ends[1];
	upper_double_set(&upper, near);
	upper_double_set(&far_upper, far);
	EXPECT_EQ(near->features, LKL_NET_CSUM | LKL_NET_TSO);
	EXPECT(near->carrier);
}

static void capture_close(void)
{
	near->ops->close(near);
	far->ops->close(far);
}

static void file_header_check(FILE *file, uint32_t snaplen)
{
	struct file_header header;

	EXPECT_EQ(fread(&header, sizeof(header), 1, file), 1);
	EXPECT_EQ(header.magic, 0xa1b23c4d);
	EXPECT_EQ(header.major, 2);
	EXPECT_EQ(header.minor, 4);
	EXPECT_EQ(header.snaplen, snaplen);
	EXPECT_EQ(header.linktype, 1);
}

static uint64_t record_check(FILE *file, unsigned long body_bytes, unsigned seed, uint32_t snaplen)
{
	struct record_header header;
	uint32_t captured = body_bytes < snaplen ? (uint32_t)body_bytes : snaplen;

	EXPECT_EQ(fread(&header, sizeof(header), 1, file), 1);
	EXPECT_EQ(header.length, body_bytes);
	EXPECT_EQ(header.captured, captured);
	EXPECT(header.nanoseconds < 1000000000);
	EXPECT_EQ(fread(file_bytes, 1, captured, file), captured);
	frame_make(sent, body_bytes, seed);
	EXPECT(!memcmp(file_bytes, sent + LKL_VNET_HDR, captured));
	return header.seconds * 1000000000ull + header.nanoseconds;
}

/* Out and in, small and 64 kB. */
static void frames_pass(unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		struct link *from = i % 2 ? far : near, *to = i % 2 ? near : far;
		unsigned long bytes = frame_make(sent, 14 + i * 6553, i);

		EXPECT_EQ(frame_send(from, sent, bytes), bytes);
		EXPECT_EQ(frame_await(to, i % 2 ? &upper : &far_upper, got), bytes);
		EXPECT(!memcmp(sent, got, bytes));
	}
}

static void capture_can_be_read_back(void)
{
	const uint32_t snaplens[] = { 0, 96, 14 };

	for (int k = 0; k < 3; k++) {
		uint32_t snaplen = snaplens[k] ? snaplens[k] : 262144;
		FILE *file = tmpfile();
		uint64_t before = host_clock_realtime(), stamp;

		capture_open(dup(fileno(file)), snaplens[k]);
		frames_pass(11);
		capture_close();
		rewind(file);
		file_header_check(file, snaplen);
		for (unsigned i = 0; i < 11; i++) {
			stamp = record_check(file, 14 + i * 6553, i, snaplen);
			EXPECT(stamp >= before && stamp <= host_clock_realtime());
			before = stamp;
		}
		EXPECT_EQ(fgetc(file), EOF);
		fclose(file);
	}
}

static void every_record_is_there_at_once(void)
{
	struct stat stat;
	FILE *file = tmpfile();

	capture_open(dup(fileno(file)), 0);
	EXPECT_EQ(fstat(fileno(file), &stat), 0);
	EXPECT_EQ(stat.st_size, sizeof(struct file_header));
	EXPECT_EQ(frame_send(near, sent, frame_make(sent, 60, 1)), 72);
	EXPECT_EQ(fstat(fileno(file), &stat), 0);
	EXPECT_EQ(stat.st_size, sizeof(struct file_header) + sizeof(struct record_header) + 60);
	capture_close();
	fclose(file);
}

static void refused_frame_is_not_recorded(void)
{
	struct stat stat;
	FILE *file = tmpfile();
	long ret;
	int count = 0;

	capture_open(dup(fileno(file)), 0);
	while ((ret = frame_send(near, sent, frame_make(sent, 60, 1))) == 72)
		count++;
	EXPECT_EQ(ret, -EAGAIN);
	EXPECT_EQ(fstat(fileno(file), &stat), 0);
	EXPECT_EQ(stat.st_size,
		  sizeof(struct file_header) + count * (long)(sizeof(struct record_header) + 60));
	capture_close();
	fclose(file);
}

/* The kernel goes on, and what the reader gets is a capture with whole records. */
static void slow_reader_of_a_pipe_loses_whole_records(void)
{
	int fds[2], whole = 0;
	FILE *file;

	EXPECT_EQ(pipe(fds), 0);
	capture_open(fds[1], 0);
	for (unsigned i = 0; i < 200; i++) {
		unsigned long bytes = frame_make(sent, 1500, 1);

		EXPECT_EQ(frame_send(near, sent, bytes), bytes);
		EXPECT_EQ(frame_await(far, &far_upper, got), bytes);
	}
	file = fdopen(fds[0], "r");
	file_header_check(file, 262144);
	/* Some were left out; the last before them is completed by the next. */
	for (; whole < 20; whole++)
		record_check(file, 1500, 1, 262144);
	for (unsigned i = 0; i < 10; i++)
		EXPECT_EQ(frame_send(near, sent, frame_make(sent, 1500, 1)), 1512);
	near->ops->close(near);
	for (int c; (c = fgetc(file)) != EOF; whole++) {
		ungetc(c, file);
		record_check(file, 1500, 1, 262144);
	}
	EXPECT(whole > 30 && whole < 210);
	far->ops->close(far);
	fclose(file);
}

static void gone_reader_or_full_disk_ends_the_capture_only(void)
{
	int fds[2];

	signal(SIGPIPE, SIG_IGN);
	EXPECT_EQ(pipe(fds), 0);
	capture_open(fds[1], 0);
	close(fds[0]);
	frames_pass(4);
	capture_close();
}

static void unwritable_file_is_refused(void)
{
	struct link *ends[2], *out;
	int fd = open("/dev/full", O_WRONLY);

	EXPECT_EQ(link_memory_pair(1, ends), 0);
	EXPECT_EQ(link_pcap_wrap(ends[0], fd, 0, &out), -ENOSPC);
	EXPECT_EQ(close(fd), 0);
	EXPECT_EQ(link_pcap_wrap(ends[0], -1, 0, &out), -EBADF);
	ends[0]->ops->close(ends[0]);
	ends[1]->ops->close(ends[1]);
}

static void impairment_below_is_reached_and_events_pass(void)
{
	const struct link_impair_direction none = { 0 };
	struct link *ends[2], *impair, *pcap;
	FILE *file = tmpfile();

	EXPECT_EQ(link_memory_pair(1, ends), 0);
	EXPECT_EQ(link_impair_wrap(ends[0], 1, &none, &none, &impair), 0);
	EXPECT_EQ(link_pcap_wrap(impair, dup(fileno(file)), 0, &pcap), 0);
	upper_double_set(&upper, pcap);
	EXPECT_EQ(pcap->features, LKL_NET_CSUM);
	EXPECT_EQ(link_impair_cut(pcap, true, true), 0);
	upper_double_await(&upper, LKL_NET_DOWN);
	EXPECT(pcap->ops->idle(pcap));
	pcap->ops->close(pcap);
	ends[1]->ops->close(ends[1]);
	fclose(file);
}

int main(void)
{
	EXPECT_EQ(host_io_start(), 0);
	CASE(capture_can_be_read_back, 20);
	CASE(every_record_is_there_at_once, 20);
	CASE(refused_frame_is_not_recorded, 20);
	CASE(slow_reader_of_a_pipe_loses_whole_records, 20);
	CASE(gone_reader_or_full_disk_ends_the_capture_only, 20);
	CASE(unwritable_file_is_refused, 20);
	CASE(impairment_below_is_reached_and_events_pass, 20);
	host_io_stop();
	return 0;
}
