// SPDX-License-Identifier: GPL-2.0-only
/*
 * A ring of the newest console text. Its one writer never waits; readers take what the writer did
 * not touch while they copied:
 *
 *	writer:  claimed += len;  bytes;   written += len
 *	reader:  end = written;   bytes;   everything older than claimed - RING is gone
 */
#include "console.h"

#include <stdbool.h>
#include <stdint.h>

#define RING 16384u

static char ring[RING];
static uint64_t claimed, written; /* bytes ever */

void console_write(const char *text, unsigned len)
{
	uint64_t at = written;

	if (len > RING) {
		text += len - RING;
		len = RING;
	}
	__atomic_store_n(&claimed, at + len, __ATOMIC_RELAXED);
	/* Who sees a byte of it sees the claim. */
	for (unsigned i = 0; i < len; i++)
		__atomic_store_n(&ring[(at + i) % RING], text[i], __ATOMIC_RELEASE);
	__atomic_store_n(&written, at + len, __ATOMIC_RELEASE);
}

static uint64_t oldest_before(uint64_t end, uint64_t keep)
{
	return end > keep ? end - keep : 0;
}

size_t console_tail(char *buf, size_t size)
{
	uint64_t end = __atomic_load_n(&written, __ATOMIC_ACQUIRE);
	uint64_t start, valid;
	size_t len = 0;
	uint64_t line;

	if (!size)
		return 0;
	start = oldest_before(end, size - 1 < RING ? size - 1 : RING);
	for (uint64_t at = start; at < end; at++)
		buf[len++] = __atomic_load_n(&ring[at % RING], __ATOMIC_ACQUIRE);
	valid = oldest_before(__atomic_load_n(&claimed, __ATOMIC_RELAXED), RING);
	if (valid < start)
		valid = start;
	if (valid > end)
		valid = end;

	/* A line whose start is gone says little, unless there is no other. */
	line = valid;
	while (valid > 0 && line < end && buf[line - start] != '\n')
		line++;
	if (valid > 0 && line + 1 < end)
		valid = line + 1;
	len = end - valid;
	for (size_t i = 0; i < len; i++)
		buf[i] = buf[valid - start + i];
	buf[len] = '\0';
	return len;
}
