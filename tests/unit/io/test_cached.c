/* SPDX-License-Identifier: MIT */
/* test_cached.c - reads of what is in memory: they do not suspend, but leave the others their turn;
 * what is not in memory, or no file, goes the long way; nothing that was read is lost. */
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include "loop/loop.h"
#include "rig.h"

#define PAGE  4096
#define PAGES 16

static uint64_t passes(void)
{
	return knit_get_running_loop()->counters.passes;
}

static char content(size_t at)
{
	return (char)(at / PAGE * 31 + at % 251);
}

static bool in_memory(int fd, off_t at);

/* A file without a name on a disk, not in a file system that is nothing but memory. */
static int disk_file(void)
{
	static const char *const folders[] = {"/tmp", "/var/tmp", "."};
	int fd = -1;

	for (size_t i = 0; i < KN_ARRAY_SIZE(folders); i++) {
		fd = open(folders[i], O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
		if (fd >= 0 && pwrite(fd, "", 1, 0) == 1 && in_memory(fd, 0))
			return fd;
		if (fd >= 0)
			close(fd);
	}
	test_skip("no file system here tells what is in memory");
	return -1;
}

/* A file of so many bytes, in memory and on the disk. */
static int file_of(size_t size)
{
	char *bytes = malloc(size);
	int fd = disk_file();

	for (size_t i = 0; i < size; i++)
		bytes[i] = content(i);
	cr_assert_eq(pwrite(fd, bytes, size, 0), (ssize_t)size);
	cr_assert_eq(fsync(fd), 0);
	free(bytes);
	return fd;
}

static bool is_content(const char *bytes, size_t size, size_t at)
{
	for (size_t i = 0; i < size; i++)
		if (bytes[i] != content(at + i))
			return false;
	return true;
}

/* Is this byte of the file in memory, as far as the file system tells? */
static bool in_memory(int fd, off_t at)
{
	char byte;
	struct iovec piece = {&byte, 1};

	return preadv2(fd, &piece, 1, at, RWF_NOWAIT) == 1;
}

/* Has so many pages of the file in memory, from its start, and not the next; false where that
 * cannot be had. An attempt to read what is missing begins to fetch it, so what is asked for here
 * is told by mincore(); and a disk may be quick enough for the next attempt. */
static bool keep_only(int fd, int pages)
{
	unsigned char present[PAGES] = {1};
	char byte;
	void *map;

	if (posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED) ||
	    posix_fadvise(fd, 0, 0, POSIX_FADV_RANDOM))
		return false;
	for (int i = 0; i < pages; i++)
		cr_assert_eq(pread(fd, &byte, 1, i * PAGE), 1);
	map = mmap(NULL, PAGES * PAGE, PROT_READ, MAP_SHARED, fd, 0);
	cr_assert_neq(map, MAP_FAILED);
	cr_assert_eq(mincore(map, PAGES * PAGE, present), 0);
	munmap(map, PAGES * PAGE);
	return !(present[pages] & 1) && (pages == 0 || present[pages - 1] & 1);
}

static void run_with_file(knit_coro *main)
{
	int fd = file_of((size_t)PAGES * PAGE);

	rig_run(main, &fd);
	close(fd);
}

/* ---- at once, and in turn ---- */

static intptr_t reads_at_once(void *arg)
{
	static char bytes[2 * PAGE];
	int fd = *(int *)arg;
	uint64_t before;

	cr_assert_eq(knit_sleep(0), 0);
	before = passes();
	errno = EXDEV;
	for (int i = 0; i < 10; i++) {
		cr_assert_eq(knit_read(fd, bytes, PAGE, i * PAGE), PAGE);
		cr_assert(is_content(bytes, PAGE, (size_t)i * PAGE));
	}
	/* Not aligned, at the position, up to the end and beyond it. */
	cr_assert_eq(knit_read(fd, bytes, 100, 5001), 100);
	cr_assert(is_content(bytes, 100, 5001));
	cr_assert_eq(lseek(fd, 3 * PAGE + 7, SEEK_SET), 3 * PAGE + 7);
	cr_assert_eq(knit_read(fd, bytes, 2 * PAGE, -1), 2 * PAGE);
	cr_assert(is_content(bytes, 2 * PAGE, 3 * PAGE + 7));
	cr_assert_eq(lseek(fd, 0, SEEK_CUR), 5 * PAGE + 7);
	cr_assert_eq(knit_read(fd, bytes, 2 * PAGE, PAGES * PAGE - 10), 10);
	cr_assert(is_content(bytes, 10, PAGES * PAGE - 10));
	cr_assert_eq(knit_read(fd, bytes, 1, PAGES * PAGE), 0);
	cr_assert_eq(knit_read(fd, bytes, 0, 0), 0);
	cr_assert_eq(errno, EXDEV);
	cr_assert_eq(passes(), before, "none of them suspended");
	return 0;
}

Test(io_cached, what_is_in_memory_is_read_without_suspending)
{
	run_with_file(reads_at_once);
}

struct turns {
	int fd;
	size_t size; /* of a read */
	int reads;
	bool done;
	uint64_t taken; /* by the other */
};

static intptr_t read_on(void *arg)
{
	struct turns *turns = arg;
	char *bytes = malloc(turns->size);

	for (int i = 0; i < turns->reads; i++)
		cr_assert_gt(knit_read(turns->fd, bytes, turns->size, 0), 0);
	free(bytes);
	turns->done = true;
	return 0;
}

static intptr_t take_turns(void *arg)
{
	struct turns *turns = arg;

	while (!turns->done) {
		turns->taken++;
		cr_assert_eq(knit_sleep(0), 0);
	}
	return 0;
}

static uint64_t turns_beside(int fd, size_t size, int reads)
{
	struct turns turns = {.fd = fd, .size = size, .reads = reads};
	knit_task *other = knit_create_task(take_turns, &turns);
	knit_task *reader = knit_create_task(read_on, &turns);

	rig_finish(reader);
	rig_finish(other);
	return turns.taken;
}

static intptr_t reads_in_turn(void *arg)
{
	int fd = *(int *)arg;
	uint64_t turns = turns_beside(fd, PAGE, 6400);

	cr_assert_geq(turns, 90, "by calls: %ju", (uintmax_t)turns);
	cr_assert_leq(turns, 400, "most do not suspend: %ju", (uintmax_t)turns);
	turns = turns_beside(fd, (size_t)256 * 1024, 640);
	cr_assert_geq(turns, 150, "by bytes: %ju", (uintmax_t)turns);
	turns = turns_beside(fd, (size_t)64 * 1024 * 1024, 10);
	cr_assert_geq(turns, 10, "what is huge always: %ju", (uintmax_t)turns);
	return 0;
}

Test(io_cached, one_that_reads_and_reads_lets_the_others_run)
{
	run_with_file(reads_in_turn);
}

/* ---- what is not in memory ---- */

static intptr_t reads_across(void *arg)
{
	static char bytes[PAGES * PAGE];
	int fd = *(int *)arg;

	for (int i = 0; i < 40; i++) {
		if (!keep_only(fd, i % 4))
			return 0; /* somebody else decides what is in memory: nothing to see */
		memset(bytes, 0, sizeof(bytes));
		cr_assert_eq(knit_read(fd, bytes, PAGES * PAGE - 5, 5), PAGES * PAGE - 5);
		cr_assert(is_content(bytes, PAGES * PAGE - 5, 5));
		if (!keep_only(fd, i % 4))
			return 0;
		cr_assert_eq(lseek(fd, 0, SEEK_SET), 0);
		cr_assert_eq(knit_read(fd, bytes, sizeof(bytes), -1), sizeof(bytes));
		cr_assert(is_content(bytes, sizeof(bytes), 0));
		cr_assert_eq(lseek(fd, 0, SEEK_CUR), (off_t)sizeof(bytes));
	}
	return 0;
}

Test(io_cached, a_page_that_is_missing_makes_no_short_read)
{
	run_with_file(reads_across);
}

struct failure {
	int result;
	int count;
};

static bool fail_reads(void *arg, const struct kn_op *op, int *result)
{
	struct failure *failure = arg;

	if (op->opcode == KN_OP_READ) {
		*result = failure->result;
		failure->count++;
	}
	return true;
}

static intptr_t rest_fails(void *arg)
{
	static const int errors[] = {-EIO, -EBADF, -ECANCELED};
	static char bytes[PAGES * PAGE];
	struct failure failure = {0};
	const struct kn_engine_faults faults = {.completion = fail_reads, .arg = &failure};
	int fd = *(int *)arg;

	kn_engine_set_faults(rig_engine(), &faults);
	for (int i = 0; i < 30; i++) {
		int before = failure.count;
		intptr_t r;

		failure.result = errors[i % 3];
		cr_assert_eq(knit_sleep(0), 0, "a new pass has a new budget");
		if (!keep_only(fd, 2))
			break;
		r = knit_read(fd, bytes, sizeof(bytes), 0);
		/* What the first attempts fetched may be there at the second. */
		cr_assert_geq(r, 2 * PAGE, "%s", knit_errname((int)r));
		cr_assert_eq(r<(intptr_t)sizeof(bytes), failure.count> before);
		cr_assert(is_content(bytes, (size_t)r, 0));
	}
	kn_engine_set_faults(rig_engine(), NULL);
	return 0;
}

Test(io_cached, what_was_read_is_not_lost_when_the_rest_fails)
{
	run_with_file(rest_fails);
}

/* ---- a loop that would rather have several completions at a time ---- */

#define HOUR (3600 * KNIT_S)

static intptr_t reads_in_company(void *arg)
{
	static char bytes[PAGE];
	int fd = *(int *)arg, quiet_fd = eventfd(0, EFD_CLOEXEC);
	struct rig_call quiet[4];
	knit_task *tasks[4];

	for (int i = 0; i < 4; i++) {
		quiet[i] = (struct rig_call){.make = rig_poll, .fd = quiet_fd, .size = POLLIN};
		tasks[i] = rig_start(&quiet[i]);
	}
	rig_yield(RIG_IN_KERNEL);
	cr_assert_eq(rig_in_flight(), 4);
	/* An hour: what is to wait for the others would not come. */
	for (int i = 0; i < 300; i++)
		cr_assert_eq(knit_read(fd, bytes, PAGE, i % PAGES * PAGE), PAGE);
	cr_assert_eq(eventfd_write(quiet_fd, 1), 0);
	for (int i = 0; i < 4; i++)
		rig_finish(tasks[i]);
	close(quiet_fd);
	return 0;
}

Test(io_cached, giving_the_others_a_turn_waits_for_no_other_completions)
{
	int fd = file_of((size_t)PAGES * PAGE);

	cr_assert_eq(knit_run(reads_in_company, &fd, .min_wait = HOUR), 0);
	close(fd);
}

/* ---- O_DIRECT ---- */

static intptr_t reads_directly(void *arg)
{
	int fd = *(int *)arg;
	char *bytes = aligned_alloc(PAGE, PAGE);

	for (int i = 0; i < 4; i++) {
		uint64_t before = passes();

		cr_assert_eq(knit_read(fd, bytes, PAGE, i * PAGE), PAGE);
		cr_assert(is_content(bytes, PAGE, (size_t)i * PAGE));
		cr_assert_gt(passes(), before, "the disk was not waited for in place");
		before = passes();
		cr_assert_eq(lseek(fd, i * PAGE, SEEK_SET), i * PAGE);
		cr_assert_eq(knit_read(fd, bytes, PAGE, -1), PAGE);
		cr_assert(is_content(bytes, PAGE, (size_t)i * PAGE));
		cr_assert_gt(passes(), before);
	}
	free(bytes);
	return 0;
}

Test(io_cached, direct_reads_never_block_the_loop)
{
	int fd = file_of((size_t)PAGES * PAGE);
	int flags = fcntl(fd, F_GETFL);

	if (fcntl(fd, F_SETFL, flags | O_DIRECT) < 0) {
		close(fd);
		test_skip("no O_DIRECT here");
	}
	rig_run(reads_directly, &fd);
	close(fd);
}

/* A descriptor that becomes direct, or ceases to be, is seen in the next pass. */
static intptr_t changes(void *arg)
{
	int fd = *(int *)arg, flags = fcntl(fd, F_GETFL);
	char *bytes = aligned_alloc(PAGE, PAGE);

	for (int i = 0; i < 6; i++) {
		uint64_t before;

		if (fcntl(fd, F_SETFL, i % 2 ? flags | O_DIRECT : flags) < 0)
			break;
		cr_assert_eq(knit_sleep(0), 0);
		before = passes();
		cr_assert_eq(knit_read(fd, bytes, PAGE, PAGE), PAGE);
		cr_assert(is_content(bytes, PAGE, PAGE));
		cr_assert_eq(passes() > before, i % 2 == 1);
		/* A direct read may have put its page out of memory. */
		fcntl(fd, F_SETFL, flags);
		cr_assert_eq(pread(fd, bytes, PAGE, PAGE), PAGE);
	}
	free(bytes);
	return 0;
}

Test(io_cached, what_a_descriptor_is_is_asked_once_a_pass)
{
	run_with_file(changes);
}

/* ---- what is no file ---- */

static intptr_t reads_a_pipe(void *arg)
{
	int ends[2];
	char bytes[8];
	uint64_t before;

	(void)arg;
	rig_pipe(ends);
	for (int i = 0; i < 3; i++) {
		cr_assert_eq(write(ends[1], "pipe", 4), 4);
		before = passes();
		/* For what has no position the offset says nothing. */
		cr_assert_eq(knit_read(ends[0], bytes, 8, i == 2 ? 0 : -1), 4);
		cr_assert_gt(passes(), before, "always suspends");
	}
	close(ends[1]);
	cr_assert_eq(knit_read(ends[0], bytes, 8, -1), 0);
	close(ends[0]);
	return 0;
}

Test(io_cached, a_pipe_keeps_its_way)
{
	rig_run(reads_a_pipe, NULL);
}

/* A read of an eventfd is one message, however much room there is: what takes a second one takes
 * twice, or waits for what nobody writes. */
static intptr_t reads_an_eventfd(void *arg)
{
	int fd = eventfd(3, EFD_CLOEXEC), counts = eventfd(3, EFD_CLOEXEC | EFD_SEMAPHORE);
	uint64_t room[1024];

	(void)arg;
	for (int64_t offset = -1; offset <= 0; offset++) {
		cr_assert_eq(knit_read(fd, room, 16, offset), 8);
		cr_assert_eq(room[0], 3);
		cr_assert_eq(eventfd_write(fd, 3), 0);
		cr_assert_eq(knit_read(fd, room, sizeof(room), offset), 8);
		cr_assert_eq(eventfd_write(fd, 3), 0);
		cr_assert_eq(knit_read(counts, room, 16, offset), 8);
		cr_assert_eq(room[0], 1);
	}
	cr_assert_eq(read(counts, room, 8), 8, "one is left");
	close(fd);
	close(counts);
	return 0;
}

Test(io_cached, an_eventfd_is_read_once)
{
	rig_run(reads_an_eventfd, NULL);
}

/* ---- cancellation ---- */

static intptr_t read_cancelled(void *arg)
{
	char bytes[PAGE];
	intptr_t r;

	knit_task_cancel(knit_current_task(NULL), "now");
	r = knit_read(*(int *)arg, bytes, PAGE, 0);
	cr_assert_eq(r, -KNIT_ECANCELLED, "a request that is pending comes first");
	cr_assert_eq(knit_read(*(int *)arg, bytes, PAGE, 0), PAGE, "once");
	return 7;
}

static intptr_t cancels(void *arg)
{
	knit_task *task = knit_create_task(read_cancelled, arg);

	cr_assert_eq(knit_await(task), 7);
	return 0;
}

Test(io_cached, a_pending_request_is_delivered_although_the_data_is_there)
{
	run_with_file(cancels);
}

static intptr_t read_from_the_start(struct rig_call *call)
{
	return knit_read(call->fd, call->buffer, call->size, 0);
}

static bool cancel_reads(void *arg, const struct kn_op *op, int *result)
{
	(void)arg;
	if (op->opcode == KN_OP_READ && op->cancel_requested)
		*result = -ECANCELED;
	return op->opcode != KN_OP_READ || op->cancel_requested; /* late until then */
}

static intptr_t cancels_the_rest(void *arg)
{
	static char bytes[PAGES * PAGE];
	const struct kn_engine_faults faults = {.completion = cancel_reads};

	kn_engine_set_faults(rig_engine(), &faults);
	for (int i = 0; i < 20; i++) {
		struct rig_call call = {.make = read_from_the_start,
		                        .fd = *(int *)arg,
		                        .buffer = bytes,
		                        .size = sizeof(bytes)};
		knit_task *task;

		if (!keep_only(call.fd, 3))
			break;
		task = rig_start(&call);
		rig_yield(RIG_IN_KERNEL);
		if (!call.done)
			cr_assert(knit_task_cancel(task, "meanwhile"));
		rig_finish(task);
		if (call.result == (intptr_t)sizeof(bytes))
			continue; /* the disk was quick */
		cr_assert_geq(call.result, 3 * PAGE, "round %d: %s", i,
		              knit_errname((int)call.result));
		cr_assert_eq(call.next, -KNIT_ECANCELLED, "the request stays pending");
		cr_assert_str_eq(call.message, "meanwhile");
	}
	kn_engine_set_faults(rig_engine(), NULL);
	return 0;
}

Test(io_cached, a_read_that_is_cancelled_half_way_returns_what_it_has)
{
	run_with_file(cancels_the_rest);
}
