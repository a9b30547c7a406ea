/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What every program here needs: to give up with a reason, and to tell the time.
 */
#ifndef REPORT_H
#define REPORT_H

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* Return: value, unless it is -errno: then the program ends and says of what. */
static inline long must(const char *what, long value)
{
	if (value >= 0)
		return value;
	fprintf(stderr, "%s: %s (%ld)\n", what, strerror((int)-value), value);
	exit(1);
}

static inline uint64_t now_ns(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

static inline int compare_u64(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

/* Sorts values. Return: the one below which a share of them lies. */
static inline uint64_t quantile(uint64_t *values, size_t count, double share)
{
	qsort(values, count, sizeof(*values), compare_u64);
	return values[(size_t)(share * (double)(count - 1))];
}

#endif
