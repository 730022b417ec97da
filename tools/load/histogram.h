/* SPDX-License-Identifier: MIT */
/* histogram.h - latencies in a log-linear histogram of three significant digits. */
#ifndef LOAD_HISTOGRAM_H
#define LOAD_HISTOGRAM_H
#include <stdint.h>

/* Values below 2 * HALF have a slot each; above, every power of two is cut into HALF
 * slots, so a slot is never wider than 1/1024 of its values. */
#define HISTOGRAM_HALF_BITS 10
#define HISTOGRAM_HALF      (1u << HISTOGRAM_HALF_BITS)
#define HISTOGRAM_VALUE_MAX ((INT64_C(1) << 40) - 1) /* ns: 18 minutes; larger ones count as it */
#define HISTOGRAM_SLOTS     ((40 - HISTOGRAM_HALF_BITS + 1) * HISTOGRAM_HALF)

struct histogram {
	uint64_t total;
	int64_t max; /* exact, also above HISTOGRAM_VALUE_MAX */
	uint64_t slots[HISTOGRAM_SLOTS];
};

/* All zero is an empty histogram. A negative value counts as 0. */
void histogram_record(struct histogram *histogram, int64_t value);

void histogram_add(struct histogram *histogram, const struct histogram *other);

/* The smallest value that @permille (0 .. 1000) thousandths of the recorded ones do not
 * exceed, rounded up to the end of its slot, and never above the maximum. 0 if nothing
 * was recorded. */
int64_t histogram_permille(const struct histogram *histogram, unsigned permille);

#endif
