/* SPDX-License-Identifier: MIT */
/* count.c - counts allocations, at the lowest door there is.
 *
 * The program has a malloc() of its own, and relatives, which count and call those of the C
 * library; the loader lets the library under test, liburing and all others use them too. So a
 * forgotten strdup() counts as much as what goes through base/alloc.h. Mappings count likewise: a
 * stack that is mapped for each task would be no malloc. Sanitizers have taken malloc() over
 * themselves; there the library's own counter must do. */
#include "count.h"
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "base/alloc.h"
#include "test.h"

#if defined(__GLIBC__) && !KN_ASAN && !KN_TSAN

/* The C library's, under names that nobody takes over. */
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *memory, size_t size);
void *__libc_memalign(size_t alignment, size_t size);

const bool count_is_complete = true;
static _Atomic uint64_t allocations;

static void count(void)
{
	atomic_fetch_add_explicit(&allocations, 1, memory_order_relaxed);
}

void *malloc(size_t size)
{
	count();
	return __libc_malloc(size);
}

void *calloc(size_t number, size_t size)
{
	count();
	return __libc_calloc(number, size);
}

void *realloc(void *memory, size_t size)
{
	count();
	return __libc_realloc(memory, size);
}

void *aligned_alloc(size_t alignment, size_t size)
{
	count();
	return __libc_memalign(alignment, size);
}

int posix_memalign(void **ret_memory, size_t alignment, size_t size)
{
	count();
	*ret_memory = __libc_memalign(alignment, size);
	return *ret_memory ? 0 : ENOMEM;
}

void *mmap(void *address, size_t size, int protection, int flags, int fd, off_t offset)
{
	count();
	return (void *)syscall(SYS_mmap, address, size, protection, flags, fd, offset);
}

uint64_t count_allocations(void)
{
	return atomic_load(&allocations);
}

#else

const bool count_is_complete = false;

uint64_t count_allocations(void)
{
	return kn_alloc_count();
}

#endif

void steady_must(intptr_t outcome, const char *what)
{
	if (!knit_is_error(outcome))
		return;
	fprintf(stderr, "%s: %s\n", what, knit_error_message(outcome));
	abort();
}

/* More than the freed slots that stay in quarantine (1,024). */
static long half(void)
{
	return test_scale(3000, 1500, 1500, 1100);
}

long steady_rounds(void)
{
	return 2 * half();
}

uint64_t steady_in_task(steady_round *round, void *state)
{
	long rounds = half();

	for (long i = 0; i < rounds; i++)
		round(state);
	uint64_t before = count_allocations();
	for (long i = 0; i < rounds; i++)
		round(state);
	return count_allocations() - before;
}

struct call {
	steady_round *round;
	void *state;
	uint64_t allocations;
};

static intptr_t count_main(void *arg)
{
	struct call *call = arg;

	call->allocations = steady_in_task(call->round, call->state);
	return 0;
}

uint64_t steady(steady_round *round, void *state, uint32_t clock)
{
	struct call call = {round, state, UINT64_MAX};

	must(knit_run(count_main, &call, .clock = clock));
	return call.allocations;
}
