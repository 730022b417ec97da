/* SPDX-License-Identifier: MIT */
/* test_alloc.c - the allocator's wrappers: what they count, and when they fail on request. */
#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <string.h>
#include "base/alloc.h"
#include "test.h"

#define KINDS 5

/* One allocation of each kind. */
static void *allocate(int kind, void *memory)
{
	switch (kind) {
	case 0:
		return kn_malloc(100);
	case 1:
		return kn_calloc(10, 10);
	case 2:
		return kn_realloc(memory, 200);
	case 3:
		return kn_strdup("text");
	default:
		return kn_memalign(64, 100);
	}
}

Test(alloc, memory_is_usable_and_calloc_clears_it)
{
	unsigned char *plain = kn_malloc(100), *clear = kn_calloc(10, 10);

	cr_assert_not_null(plain);
	cr_assert_not_null(clear);
	memset(plain, 1, 100);
	for (int i = 0; i < 100; i++)
		cr_assert_eq(clear[i], 0);
	plain = kn_realloc(plain, 10000);
	cr_assert_not_null(plain);
	for (int i = 0; i < 100; i++)
		cr_assert_eq(plain[i], 1);
	kn_free(plain);
	kn_free(clear);
	kn_free(NULL);
}

Test(alloc, no_bytes_are_no_failure)
{
	void *memory[] = {
	        kn_malloc(0),
	        kn_calloc(0, 8),
	        kn_calloc(8, 0),
	        kn_memalign(64, 0),
	        kn_realloc(NULL, 0),
	        kn_strdup(""),
	        kn_realloc(kn_malloc(10), 0),
	};

	for (size_t i = 0; i < sizeof(memory) / sizeof(memory[0]); i++) {
		cr_expect_not_null(memory[i], "number %zu", i);
		for (size_t k = 0; k < i; k++)
			cr_expect_neq(memory[i], memory[k]);
	}
	for (size_t i = 0; i < sizeof(memory) / sizeof(memory[0]); i++)
		kn_free(memory[i]);
}

Test(alloc, memalign_aligns)
{
	for (size_t alignment = sizeof(void *); alignment <= 8192; alignment *= 2) {
		char *memory = kn_memalign(alignment, 24);

		cr_assert_not_null(memory);
		cr_assert_eq((uintptr_t)memory % alignment, 0);
		memset(memory, 1, 24);
		kn_free(memory);
	}
}

Test(alloc, what_does_not_fit_into_a_size_fails)
{
	volatile size_t half = SIZE_MAX / 2;

	errno = 0;
	cr_assert_null(kn_calloc(half, 4));
	cr_assert_eq(errno, ENOMEM);
}

Test(alloc, strdup_copies)
{
	char text[] = "a loop of thread", *copy = kn_strdup(text);

	cr_assert_not_null(copy);
	cr_assert_neq(copy, text);
	text[0] = 'x';
	cr_assert_str_eq(copy, "a loop of thread");
	kn_free(copy);
}

Test(alloc, each_kind_fails_when_asked_and_goes_on_failing)
{
	for (int kind = 0; kind < KINDS; kind++) {
		void *memory = kn_malloc(8), *got;

		cr_assert_not_null(memory);
		memset(memory, 7, 8);
		kn_alloc_fail_after(0);
		for (int i = 0; i < 3; i++) {
			errno = 0;
			cr_assert_null(allocate(kind, memory), "kind %d", kind);
			cr_assert_eq(errno, ENOMEM, "kind %d", kind);
		}
		/* A failed realloc leaves the block alone. */
		cr_assert_eq(((char *)memory)[7], 7);
		kn_alloc_fail_after(-1);
		got = allocate(kind, memory);
		cr_assert_not_null(got, "kind %d", kind);
		if (kind != 2)
			kn_free(memory);
		kn_free(got);
	}
}

Test(alloc, the_countdown_lets_as_many_succeed_as_it_says)
{
	for (long allow = 0; allow < 10; allow++) {
		void *memory[10] = {NULL};
		long got = 0;

		kn_alloc_fail_after(allow);
		for (int i = 0; i < 10; i++) {
			memory[i] = allocate(i % KINDS, NULL);
			got += memory[i] != NULL;
			cr_expect_eq(memory[i] != NULL, i < allow);
		}
		kn_alloc_fail_after(-1);
		cr_expect_eq(got, allow);
		for (int i = 0; i < 10; i++)
			kn_free(memory[i]);
	}
}

Test(alloc, every_request_counts_also_one_that_fails)
{
	uint64_t before = kn_alloc_count();
	void *memory[KINDS];

	for (int kind = 0; kind < KINDS; kind++)
		memory[kind] = allocate(kind, NULL);
	cr_assert_eq(kn_alloc_count(), before + KINDS);
	kn_alloc_fail_after(0);
	for (int kind = 0; kind < KINDS; kind++)
		cr_assert_null(allocate(kind, NULL));
	kn_alloc_fail_after(-1);
	cr_assert_eq(kn_alloc_count(), before + 2 * KINDS);
	for (int kind = 0; kind < KINDS; kind++)
		kn_free(memory[kind]);
	cr_assert_eq(kn_alloc_count(), before + 2 * KINDS);
}

struct seen {
	uint64_t count;
	void *memory;
};

static void *allocate_elsewhere(void *arg)
{
	struct seen *seen = arg;

	seen->memory = kn_malloc(8);
	seen->count = kn_alloc_count();
	return NULL;
}

Test(alloc, other_threads_neither_fail_nor_count_here)
{
	struct seen seen = {0};
	uint64_t before;
	pthread_t thread;

	kn_alloc_fail_after(0);
	before = kn_alloc_count();
	cr_assert_eq(pthread_create(&thread, NULL, allocate_elsewhere, &seen), 0);
	cr_assert_eq(pthread_join(thread, NULL), 0);
	kn_alloc_fail_after(-1);
	cr_expect_eq(kn_alloc_count(), before);
	cr_expect_not_null(seen.memory);
	cr_expect_eq(seen.count, 1);
	kn_free(seen.memory);
}
