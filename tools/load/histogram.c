/* SPDX-License-Identifier: MIT */
/* histogram.c - a log-linear histogram, as HdrHistogram has it.
 *
 * A percentile of a latency is worth little if the slots are coarse where the value
 * lies, and an array of every nanosecond is out of the question. So: slots of width 1 up
 * to 2048, of width 2 up to 4096, of width 4 up to 8192 and so on, 1024 slots for each
 * power of two. The slot of v is found with one count of leading zeros, recording costs
 * one increment, and the error is below 0.1 %: three significant digits. A percentile is
 * reported as the highest value of its slot, because a reader who sets a limit by it
 * must not be told less than what happened. */
#include "histogram.h"

/* How far values of the range of @value are shifted to fit into 2 * HALF slots. */
static unsigned shift_of(uint64_t value)
{
	unsigned bits = 64 - (unsigned)__builtin_clzll(value | 1);
	return bits > HISTOGRAM_HALF_BITS + 1 ? bits - (HISTOGRAM_HALF_BITS + 1) : 0;
}

static unsigned slot_of(uint64_t value)
{
	unsigned shift = shift_of(value);
	/* Shifted by at least 1, a value lies in HALF .. 2 * HALF - 1: so each shift adds
	 * HALF slots to those of the shift before. */
	return shift * HISTOGRAM_HALF + (unsigned)(value >> shift);
}

static int64_t highest_of(unsigned slot)
{
	unsigned shift = slot < 2 * HISTOGRAM_HALF ? 0 : slot / HISTOGRAM_HALF - 1;
	uint64_t base = slot - shift * HISTOGRAM_HALF;
	return (int64_t)(((base + 1) << shift) - 1);
}

void histogram_record(struct histogram *histogram, int64_t value)
{
	if (value < 0)
		value = 0;
	if (value > histogram->max)
		histogram->max = value;
	if (value > HISTOGRAM_VALUE_MAX)
		value = HISTOGRAM_VALUE_MAX;
	histogram->slots[slot_of((uint64_t)value)]++;
	histogram->total++;
}

void histogram_add(struct histogram *histogram, const struct histogram *other)
{
	for (unsigned i = 0; i < HISTOGRAM_SLOTS; i++)
		histogram->slots[i] += other->slots[i];
	histogram->total += other->total;
	if (other->max > histogram->max)
		histogram->max = other->max;
}

int64_t histogram_permille(const struct histogram *histogram, unsigned permille)
{
	/* Whole numbers: as a double, 99.9 % of 1000 is a little more than 999. */
	uint64_t wanted = (histogram->total * permille + 999) / 1000, seen = 0;
	if (wanted < 1)
		wanted = 1;
	for (unsigned i = 0; i < HISTOGRAM_SLOTS; i++) {
		seen += histogram->slots[i];
		if (seen < wanted)
			continue;
		/* The last slot also holds what lies above it. */
		int64_t value = i == HISTOGRAM_SLOTS - 1 ? histogram->max : highest_of(i);
		return value < histogram->max ? value : histogram->max;
	}
	return histogram->max;
}
