/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Checks of the C tests: a failed one says where, and ends the program.
 */
#ifndef EXPECT_H
#define EXPECT_H

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define EXPECT(condition) \
	do { \
		if (!(condition)) { \
			fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition); \
			exit(1); \
		} \
	} while (0)

#define EXPECT_EQ(left, right) \
	do { \
		long long left_ = (long long)(left), right_ = (long long)(right); \
		if (left_ != right_) { \
			fprintf(stderr, "%s:%d: %s is %lld, not %s (%lld)\n", __FILE__, __LINE__, \
				#left, left_, #right, right_); \
			exit(1); \
		} \
	} while (0)

/* Names the case, and gives it its deadline: SIGALRM ends the program. */
#define CASE(name, seconds) \
	do { \
		fprintf(stderr, "  %s\n", #name); \
		alarm(seconds); \
		name(); \
		alarm(0); \
	} while (0)

/* Exit code that test_csrc.py shows as skipped, with the last line. */
#define SKIP_CODE 77

/* How much longer than in `make check` a random test runs. */
static inline unsigned rounds(unsigned usual)
{
	const char *factor = getenv("CSRC_ROUNDS");

	return usual * (factor ? (unsigned)atoi(factor) : 1);
}

#endif
