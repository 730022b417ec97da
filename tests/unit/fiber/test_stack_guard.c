/* SPDX-License-Identifier: MIT */
/* test_stack_guard.c - each kind of guard stops or shows an overflow, and there are
 * as many stacks as one wants with each. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "coroutine.h"
#include "fiber/guard.h"
#include "memory.h"
#include "test.h"

static struct kn_stack_pool *new_pool(enum kn_guard guard)
{
	struct kn_stack_pool *pool = kn_stack_pool_new(65536, false, guard);

	cr_assert_not_null(pool);
	return pool;
}

static void name_deep(char *buffer, size_t size)
{
	snprintf(buffer, size, "deep");
}

/* ---- an overflow ------------------------------------------------------------------ */

/* Touches each page on the way down, whatever the compiler makes of it. */
__attribute__((noinline)) static int recurse(int depth)
{
	volatile char frame[512];

	frame[0] = (char)depth;
	return depth ? recurse(depth - 1) + frame[0] : 0;
}

static void overflow(struct coroutine *co)
{
	co->value = recurse(1 << 20);
}

static void run_over(void *arg)
{
	struct kn_stack_pool *pool = new_pool(*(enum kn_guard *)arg);
	struct coroutine co;

	kn_overflow_set_namer(name_deep);
	if (kn_overflow_arm_thread() < 0)
		_exit(0);
	coroutine_init(&co, kn_stack_get(pool, 0), overflow);
	coroutine_resume(&co);
}

#define OVERFLOW_LINE \
	"knit: stack overflow in task 'deep': limit 65536 bytes; give it more with .stack_size\n"

Test(stack_guard, installed_guard_stops_an_overflow)
{
	enum kn_guard kind = KN_GUARD_INSTALL;

	if (!memory_guard_install_works())
		test_skip("this kernel has no MADV_GUARD_INSTALL");
	test_death(run_over, &kind, OVERFLOW_LINE);
}

Test(stack_guard, mprotect_guard_stops_an_overflow)
{
	enum kn_guard kind = KN_GUARD_MPROTECT;

	test_death(run_over, &kind, OVERFLOW_LINE);
}

/* What an overflow would do, without the crash that it may be in the end. */
static void damage(struct coroutine *co)
{
	memset(kn_stack_low(co->fiber.stack) - 64, 0xff, 64);
}

static void run_into_canary(void *arg)
{
	struct kn_stack_pool *pool = new_pool(KN_GUARD_CANARY);
	struct coroutine co;
	struct kn_stack *stack;

	(void)arg;
	kn_overflow_set_namer(name_deep);
	stack = kn_stack_get(pool, 0);
	coroutine_init(&co, stack, damage);
	coroutine_resume(&co);
	kn_stack_put(pool, stack);
}

Test(stack_guard, damaged_canary_is_found_when_the_stack_comes_back)
{
	test_death(run_into_canary, NULL, OVERFLOW_LINE);
}

Test(stack_guard, one_damaged_byte_is_seen)
{
	struct kn_stack_pool *pool = new_pool(KN_GUARD_CANARY);
	struct kn_stack *stack = kn_stack_get(pool, 0);

	cr_assert_not_null(stack);
	cr_expect_eq(stack->guard, KN_GUARD_CANARY);
	cr_expect(kn_stack_intact(stack));
	memset(kn_stack_low(stack), 0xff, 4096);
	cr_expect(kn_stack_intact(stack), "the lowest usable bytes are no canary");
	for (int i = 1; i <= 256; i += 51) {
		kn_stack_low(stack)[-i] = 1;
		cr_expect_not(kn_stack_intact(stack), "byte %d", i);
		kn_stack_low(stack)[-i] = 0;
	}
	kn_stack_put(pool, stack);
	kn_stack_pool_free(pool);
}

Test(stack_guard, canary_of_an_unused_stack_costs_no_memory)
{
	enum { COUNT = 1000 };
	static struct kn_stack *stacks[COUNT];
	struct kn_stack_pool *pool = new_pool(KN_GUARD_CANARY);
	size_t before, after;

	for (int i = 0; i < COUNT; i++)
		cr_assert_not_null(stacks[i] = kn_stack_get(pool, 0));
	before = memory_status("VmRSS");
	for (int i = 0; i < COUNT; i++)
		cr_expect(kn_stack_intact(stacks[i]));
	after = memory_status("VmRSS");
	cr_expect_lt(after, before + COUNT * (size_t)sysconf(_SC_PAGESIZE) / 2);
	for (int i = 0; i < COUNT; i++)
		kn_stack_put(pool, stacks[i]);
	kn_stack_pool_free(pool);
}

/* ---- the choice ---------------------------------------------------------------------- */

Test(stack_guard, best_is_the_first_that_works)
{
	struct kn_stack_pool *pool = new_pool(KN_GUARD_BEST);
	struct kn_stack *stack = kn_stack_get(pool, 0);

	cr_assert_not_null(stack);
	cr_expect_eq(stack->guard,
	             memory_guard_install_works() ? KN_GUARD_INSTALL : KN_GUARD_MPROTECT);
	kn_stack_put(pool, stack);
	kn_stack_pool_free(pool);
}

/* As under mlockall(MCL_FUTURE): the kernel installs no guards in locked memory. By
 * syscall(), because sanitizers make a no-operation of mlock(). */
Test(stack_guard, locked_memory_gets_the_next_best)
{
	size_t size = (size_t)sysconf(_SC_PAGESIZE);
	char *page = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	enum kn_guard kind;

	cr_assert_neq(page, MAP_FAILED);
	if (!memory_guard_install_works() || syscall(SYS_mlock, page, size) < 0)
		test_skip("no MADV_GUARD_INSTALL, or no memory can be locked");
	kind = kn_guard_protect(page, size, KN_GUARD_BEST);
	cr_expect_eq(kind, KN_GUARD_MPROTECT);
	kn_guard_forget(kind);
	munmap(page, size);
}

static long max_map_count(void)
{
	FILE *file = fopen("/proc/sys/vm/max_map_count", "r");
	long count = 65530;

	if (file) {
		if (fscanf(file, "%ld", &count) != 1)
			count = 65530;
		fclose(file);
	}
	return count;
}

/* ThreadSanitizer maps and touches memory of its own for each slab of ours. */
#define SHADOW_MAPPINGS (KN_TSAN ? 3 : 0)
#define SHADOW_PAGES    (KN_TSAN ? 3 : 0)

/* ---- many ---------------------------------------------------------------------------- */

static struct kn_stack **get_many(struct kn_stack_pool *pool, long count)
{
	struct kn_stack **stacks = calloc((size_t)count, sizeof(struct kn_stack *));

	cr_assert_not_null(stacks);
	for (long i = 0; i < count; i++)
		cr_assert_not_null(stacks[i] = kn_stack_get(pool, 0), "stack %ld", i);
	return stacks;
}

static void put_many(struct kn_stack_pool *pool, struct kn_stack **stacks, long count)
{
	for (long i = 0; i < count; i++)
		kn_stack_put(pool, stacks[i]);
	free(stacks);
}

Test(stack_guard, mprotect_takes_half_of_the_mappings_at_most_and_returns_them)
{
	long count = test_scale(40000, 20000, 20000, 500);
	long limit = max_map_count() / 4;
	long unguarded = count > limit ? count - limit : 0;

	for (int round = 0; round < 2; round++) {
		struct kn_stack_pool *pool = new_pool(KN_GUARD_MPROTECT);
		size_t mappings = memory_mappings();
		struct kn_stack **stacks = get_many(pool, count);
		struct kn_stack_stats stats;

		kn_stack_pool_stats(pool, &stats);
		cr_expect_eq(stats.unguarded, (size_t)unguarded, "in round %d", round);
		mappings += 2 * (size_t)(count - unguarded) + stats.slabs * (1 + SHADOW_MAPPINGS);
		cr_expect_leq(memory_mappings(), mappings + 100);
		put_many(pool, stacks, count);
		kn_stack_pool_free(pool);
	}
}

/* The default of vm.max_map_count is 65530, and every one of these is alive at once. */
static void make_200k(enum kn_guard guard)
{
	long count = test_scale(200000, 50000, 20000, 1000);
	struct kn_stack_pool *pool = new_pool(guard);
	struct kn_stack **stacks = get_many(pool, count);

	cr_expect_lt(memory_mappings(), 65530 * 3 / 4);
	/* Something else of the process still gets its mappings. */
	void *other = mmap(NULL, 65536, PROT_READ, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	cr_expect_neq(other, MAP_FAILED);
	put_many(pool, stacks, count);
	kn_stack_pool_free(pool);
}

Test(stack_guard, stacks_200k_with_installed_guards)
{
	make_200k(KN_GUARD_INSTALL);
}

Test(stack_guard, stacks_200k_with_mprotect_guards)
{
	make_200k(KN_GUARD_MPROTECT);
}

Test(stack_guard, stacks_200k_with_canaries)
{
	make_200k(KN_GUARD_CANARY);
}

Test(stack_guard, a_million_guarded_stacks_take_a_handful_of_mappings)
{
	long count = test_scale(1000000, 50000, 20000, 1000);
	struct kn_stack_pool *pool;
	struct kn_stack **stacks;
	struct kn_stack_stats stats;
	size_t mappings;

	if (!memory_guard_install_works())
		test_skip("this kernel has no MADV_GUARD_INSTALL");
	pool = new_pool(KN_GUARD_INSTALL);
	mappings = memory_mappings();
	stacks = get_many(pool, count);
	kn_stack_pool_stats(pool, &stats);
	cr_expect_eq(stats.unguarded, 0);
	/* Neighbouring slabs are one mapping for the kernel, where it works well; never more
	 * than one each. */
	cr_expect_leq(memory_mappings(), mappings + stats.slabs * (1 + SHADOW_MAPPINGS) + 100);
	cr_expect_leq(stats.slabs, (size_t)count / 64 + 1);
	put_many(pool, stacks, count);
	kn_stack_pool_free(pool);
}

/* Huge pages, always, would make 64 KiB of each at the first touch. */
Test(stack_guard, an_idle_stack_costs_one_page)
{
	long count = test_scale(20000, 2000, 2000, 500);
	struct kn_stack_pool *pool = new_pool(KN_GUARD_BEST);
	struct kn_stack **stacks = get_many(pool, count);
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	size_t before = memory_status("VmRSS"), after;

	for (long i = 0; i < count; i++)
		*(volatile char *)(stacks[i]->high - 64) = 1;
	after = memory_status("VmRSS");
	cr_expect_lt(after, before + (size_t)count * page * (3 + 2 * SHADOW_PAGES) / 2);
	for (long i = 0; i < count; i++)
		cr_expect_leq(kn_stack_high_water(stacks[i]), page);
	/* Emulators keep the advice to themselves. */
	if (access("/sys/kernel/mm/transparent_hugepage/enabled", F_OK) == 0 &&
	    !test_scale(0, 0, 0, 1))
		cr_expect(memory_has_flag(kn_stack_low(stacks[0]), " nh"));
	put_many(pool, stacks, count);
	kn_stack_pool_free(pool);
}
