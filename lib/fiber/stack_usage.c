/* SPDX-License-Identifier: MIT */
/* stack_usage.c - how deep a stack was ever used.
 *
 * By the page: the kernel knows which pages were touched. /proc/self/pagemap tells those
 * in memory and those swapped out; mincore(), for where /proc is missing, tells only the
 * first kind of memory like ours. Pages are looked at from the low end up, because below
 * the lowest touched one lies nothing of interest.
 *
 * To the byte: the stack was painted when it was handed out, and the lowest byte that
 * differs is the mark. A task that happens to write the pattern there is not seen. */
#include "fiber/stack.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "fiber/stack_annotate.h"
#include "fiber/stack_slab.h"

#define PAINT 0xd7

#define PAGEMAP_PRESENT ((uint64_t)1 << 63)
#define PAGEMAP_SWAPPED ((uint64_t)1 << 62)

#define CHUNK 64 /* pages that are asked for at once */

void kn_stack_paint(struct kn_stack *stack)
{
	memset(kn_stack_low(stack), PAINT, kn_stack_size(stack));
	stack->painted = true;
}

/* Meets the locals of suspended functions, between their red zones. */
KN_NO_SANITIZE static const char *lowest_unpainted(const struct kn_stack *stack)
{
	const volatile char *byte = kn_stack_low(stack);

	kn_stack_annotate_peek(true);
	while (byte < stack->high && *byte == (char)PAINT)
		byte++;
	kn_stack_annotate_peek(false);
	return (const char *)byte;
}

/* Sets @touched[i] for each of the @count pages from @low on. False where it cannot. */
static bool ask_pagemap(int pagemap, const char *low, size_t page, size_t count, bool *touched)
{
	uint64_t entries[CHUNK];
	ssize_t size = (ssize_t)(count * sizeof(entries[0]));
	off_t offset = (off_t)((uintptr_t)low / page * sizeof(entries[0]));

	if (pagemap < 0 || pread(pagemap, entries, (size_t)size, offset) != size)
		return false;
	for (size_t i = 0; i < count; i++)
		touched[i] = entries[i] & (PAGEMAP_PRESENT | PAGEMAP_SWAPPED);
	return true;
}

static bool ask_mincore(char *low, size_t page, size_t count, bool *touched)
{
	unsigned char bits[CHUNK];

	if (mincore(low, count * page, bits) < 0)
		return false;
	for (size_t i = 0; i < count; i++)
		touched[i] = bits[i] & 1;
	return true;
}

static const char *lowest_touched_page(const struct kn_stack *stack)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	const char *found = NULL;
	int pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);

	for (char *low = kn_stack_low(stack); !found && low < stack->high; low += CHUNK * page) {
		size_t count = ((size_t)(stack->high - low) + page - 1) / page;
		bool touched[CHUNK];

		if (count > CHUNK)
			count = CHUNK;
		if (!ask_pagemap(pagemap, low, page, count, touched) &&
		    !ask_mincore(low, page, count, touched))
			break;
		for (size_t i = 0; !found && i < count; i++)
			if (touched[i])
				found = low + i * page;
	}
	if (pagemap >= 0)
		close(pagemap);
	return found ? found : stack->high;
}

/* Cheap, since it is done for many stacks: without /proc. */
void kn_stack_note_touched(struct kn_stack *stack)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE), pages;
	char *end = kn_stack_slot_end(stack), *low = kn_stack_low(stack);

	for (; low < end; low += CHUNK * page) {
		bool touched[CHUNK];
		size_t count = (size_t)(end - low) / page, i = 0;

		if (count > CHUNK)
			count = CHUNK;
		if (!ask_mincore(low, page, count, touched))
			return;
		while (i < count && !touched[i])
			i++;
		if (i == count)
			continue;
		pages = (size_t)(end - low) / page - i;
		if (pages > UINT16_MAX)
			pages = UINT16_MAX;
		if (pages > stack->touched)
			stack->touched = (uint16_t)pages;
		return;
	}
}

size_t kn_stack_high_water(const struct kn_stack *stack)
{
	const char *lowest = stack->painted ? lowest_unpainted(stack) : lowest_touched_page(stack);
	const char *noted = kn_stack_slot_end(stack) -
	                    stack->touched * (size_t)sysconf(_SC_PAGESIZE);

	if (stack->touched && noted < lowest)
		lowest = noted;
	return (size_t)(stack->high - lowest);
}
