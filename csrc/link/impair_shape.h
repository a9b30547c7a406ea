/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What impairment does to a frame: the decision, not the doing.
 */
#ifndef LINK_IMPAIR_SHAPE_H
#define LINK_IMPAIR_SHAPE_H

#include "link.h"

struct impair_shape {
	struct link_impair_direction settings;
	uint64_t random;       /* state of the generator */
	uint64_t line_free_ns; /* when the line at the set rate has sent all it took */
	uint64_t last_due_ns;  /* of a delayed frame */
};

struct impair_verdict {
	bool lost;
	bool overtakes; /* goes past the delayed ones */
	bool comes_twice;
	uint64_t due_ns;
};

bool impair_settings_valid(const struct link_impair_direction *settings);

void impair_shape_init(struct impair_shape *shape, uint64_t seed,
		       const struct link_impair_direction *settings);

/*
 * A frame of bytes (without vnet header) comes at now. The same frames and seed have the same
 * losses.
 */
struct impair_verdict impair_shape_frame(struct impair_shape *shape, uint64_t now_ns,
					 unsigned long bytes);
/* Nothing but loss is set: no frame waits, and each comes once. */
bool impair_shape_is_immediate(const struct impair_shape *shape);

#endif
