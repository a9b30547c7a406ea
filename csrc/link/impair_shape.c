// SPDX-License-Identifier: GPL-2.0-only
/*
 * Loss, rate, delay, reordering and duplication of one direction.
 *
 * The rate is a line that is busy until line_free_ns; what has not left it is the queue.
 * Jitter changes the spacing of frames, not their order: only reorder does that.
 */
#include "impair_shape.h"

#define NS_PER_S 1000000000ull
#define QUEUE_DEFAULT_NS (NS_PER_S / 10)
#define QUEUE_DEFAULT_MIN 65536u

static bool is_share(double value)
{
	return value >= 0 && value <= 1;
}

bool impair_settings_valid(const struct link_impair_direction *settings)
{
	return is_share(settings->loss) && is_share(settings->reorder) &&
	       is_share(settings->duplicate);
}

void impair_shape_init(struct impair_shape *shape, uint64_t seed,
		       const struct link_impair_direction *settings)
{
	*shape = (struct impair_shape){ .settings = *settings, .random = seed };
}

/* Splitmix64: any seed will do, zero too. Return: 0 <= x < 1. */
static double random_share(struct impair_shape *shape)
{
	uint64_t x = shape->random += 0x9e3779b97f4a7c15u;

	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
	x ^= x >> 31;
	return (double)(x >> 11) * 0x1p-53;
}

static bool chance(struct impair_shape *shape, double share)
{
	return share > 0 && random_share(shape) < share;
}

static double queue_limit_bytes(const struct link_impair_direction *settings)
{
	double bytes = (double)settings->rate_bit_per_s / 8 * QUEUE_DEFAULT_NS / NS_PER_S;

	if (settings->queue_bytes)
		return settings->queue_bytes;
	return bytes < QUEUE_DEFAULT_MIN ? QUEUE_DEFAULT_MIN : bytes;
}

/* Sends a frame over the line. Return: when its last bit has left, or 0: the queue was full. */
static uint64_t line_send(struct impair_shape *shape, uint64_t now_ns, unsigned long bytes)
{
	const struct link_impair_direction *settings = &shape->settings;
	double ns_per_byte, queued_bytes;

	if (!settings->rate_bit_per_s)
		return now_ns;
	if (shape->line_free_ns < now_ns)
		shape->line_free_ns = now_ns;
	ns_per_byte = 8.0 * NS_PER_S / (double)settings->rate_bit_per_s;
	queued_bytes = (double)(shape->line_free_ns - now_ns) / ns_per_byte;
	/* An idle line takes any frame. */
	if (queued_bytes > 0 && queued_bytes + (double)bytes > queue_limit_bytes(settings))
		return 0;
	shape->line_free_ns += (uint64_t)((double)bytes * ns_per_byte);
	return shape->line_free_ns;
}

static uint64_t delay_add(struct impair_shape *shape, uint64_t sent_ns)
{
	const struct link_impair_direction *settings = &shape->settings;
	uint64_t due = sent_ns + settings->delay_ns;

	if (settings->jitter_ns) {
		double offset = (2 * random_share(shape) - 1) * (double)settings->jitter_ns;

		due = offset < 0 && -offset > (double)(due - sent_ns) ?
			      sent_ns :
			      (uint64_t)((int64_t)due + (int64_t)offset);
	}
	if (due < shape->last_due_ns)
		due = shape->last_due_ns;
	shape->last_due_ns = due;
	return due;
}

struct impair_verdict impair_shape_frame(struct impair_shape *shape, uint64_t now_ns,
					 unsigned long bytes)
{
	struct impair_verdict verdict = { 0 };

	verdict.lost = chance(shape, shape->settings.loss);
	if (verdict.lost)
		return verdict;
	verdict.due_ns = line_send(shape, now_ns, bytes);
	verdict.lost = !verdict.due_ns;
	if (verdict.lost)
		return verdict;
	verdict.overtakes = chance(shape, shape->settings.reorder);
	if (!verdict.overtakes)
		verdict.due_ns = delay_add(shape, verdict.due_ns);
	verdict.comes_twice = chance(shape, shape->settings.duplicate);
	return verdict;
}

bool impair_shape_is_immediate(const struct impair_shape *shape)
{
	const struct link_impair_direction *settings = &shape->settings;

	return !settings->delay_ns && !settings->jitter_ns && !settings->rate_bit_per_s &&
	       settings->duplicate <= 0;
}
