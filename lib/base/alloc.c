/* SPDX-License-Identifier: MIT */
/* alloc.c - malloc and its relatives, counted, and failing when a test asks for it.
 *
 * Both counters are thread-local: a test that injects failures into the thread it looks
 * at leaves the others alone, and counting costs no shared cache line. A block may be
 * freed by any thread; freeing is neither counted nor made to fail.
 *
 * A size of 0 asks for one byte, because malloc(0) may give NULL, and realloc(p, 0) may
 * free p: here NULL must mean "no memory" and nothing else. */
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include "base/alloc.h"

static __thread uint64_t asked_for;
static __thread long allowed = -1; /* negative: without limit */

/* Counts one allocation; true if it is one that a test wants to see failing. */
static bool must_fail(void)
{
	asked_for++;
	if (kn_likely(allowed < 0))
		return false;
	if (allowed > 0) {
		allowed--;
		return false;
	}
	errno = ENOMEM;
	return true;
}

void *kn_malloc(size_t size)
{
	return must_fail() ? NULL : malloc(size ? size : 1);
}

void *kn_calloc(size_t count, size_t size)
{
	size_t total;

	if (must_fail())
		return NULL;
	/* Not left to calloc(), for which sanitizers end the process here. */
	if (__builtin_mul_overflow(count, size, &total)) {
		errno = ENOMEM;
		return NULL;
	}
	return calloc(1, total ? total : 1);
}

void *kn_realloc(void *memory, size_t size)
{
	return must_fail() ? NULL : realloc(memory, size ? size : 1);
}

char *kn_strdup(const char *text)
{
	size_t size = strlen(text) + 1;
	char *copy = kn_malloc(size);

	return copy ? memcpy(copy, text, size) : NULL;
}

void *kn_memalign(size_t alignment, size_t size)
{
	void *memory;
	int error;

	if (must_fail())
		return NULL;
	error = posix_memalign(&memory, alignment, size ? size : 1);
	if (error) {
		errno = error;
		return NULL;
	}
	return memory;
}

void kn_free(void *memory)
{
	free(memory);
}

void kn_alloc_fail_after(long allow)
{
	allowed = allow;
}

uint64_t kn_alloc_count(void)
{
	return asked_for;
}
