/* SPDX-License-Identifier: MIT */
/* test_reader.c - callbacks for descriptors that are ready. */
#include "unit/io/rig.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "base/alloc.h"
#include "knit/file.h"
#include "knit/reader.h"
#include "knit/socket.h"
#include "loop/loop.h"

/* What a callback was told, and what it does about it. */
struct seen {
	int fd;
	int calls, stop_after; /* 0: never */
	bool take;             /* a byte a call */
	bool remove;           /* itself */
};

static void told(void *arg)
{
	struct seen *seen = arg;
	char byte;

	seen->calls++;
	if (seen->take)
		cr_assert_eq(read(seen->fd, &byte, 1), 1);
	if (seen->remove)
		cr_assert_eq(knit_loop_remove_reader(NULL, seen->fd), 1);
	if (seen->calls == seen->stop_after)
		knit_loop_stop(NULL);
}

static knit_loop *loop;
static int pair[2];
static int fds;

static void setup(void)
{
	fds = test_open_fds();
	loop = knit_loop_new();
	rig_pair(AF_UNIX, pair);
}

static void finish(void)
{
	cr_assert_eq(knit_loop_close(loop), 0);
	knit_loop_unref(loop);
	rig_close_all(pair, 2);
	cr_assert_eq(test_open_fds(), fds);
}

/* Passes that do not wait: enough for what is ready to be told. */
static void passes(int count)
{
	while (count--)
		cr_assert_geq(knit_loop_run_once(loop, 0), 0);
}

Test(io_reader, is_called_in_each_pass_until_all_is_read)
{
	struct seen seen;

	setup();
	seen = (struct seen){.fd = pair[0], .take = true, .stop_after = 3};
	cr_assert_eq(knit_loop_add_reader(loop, pair[0], told, &seen), 0);
	cr_assert_eq(write(pair[1], "abc", 3), 3);
	cr_assert_eq(knit_loop_run_forever(loop), 0);
	passes(5);
	cr_assert_eq(seen.calls, 3);
	cr_assert_eq(knit_loop_remove_reader(loop, pair[0]), 1);
	cr_assert_eq(knit_loop_remove_reader(loop, pair[0]), 0);
	finish();
}

Test(io_reader, what_is_not_read_is_told_again)
{
	struct seen seen;

	setup();
	seen = (struct seen){.fd = pair[0], .stop_after = 10};
	cr_assert_eq(knit_loop_add_reader(loop, pair[0], told, &seen), 0);
	cr_assert_eq(write(pair[1], "a", 1), 1);
	cr_assert_eq(knit_loop_run_forever(loop), 0);
	cr_assert_eq(seen.calls, 10);
	finish();
}

Test(io_reader, the_end_and_a_hang_up_are_told)
{
	struct seen seen;

	setup();
	seen = (struct seen){.fd = pair[0], .stop_after = 2};
	cr_assert_eq(knit_loop_add_reader(loop, pair[0], told, &seen), 0);
	close(pair[1]);
	cr_assert_eq(knit_loop_run_forever(loop), 0);
	pair[1] = dup(pair[0]);
	finish();
}

Test(io_reader, may_remove_itself)
{
	struct seen seen;

	setup();
	seen = (struct seen){.fd = pair[0], .remove = true, .stop_after = 1};
	cr_assert_eq(knit_loop_add_reader(loop, pair[0], told, &seen), 0);
	cr_assert_eq(write(pair[1], "a", 1), 1);
	cr_assert_eq(knit_loop_run_forever(loop), 0);
	passes(5);
	cr_assert_eq(seen.calls, 1);
	cr_assert_eq(knit_loop_remove_reader(loop, pair[0]), 0);
	finish();
}

Test(io_reader, a_reader_and_a_writer_are_independent)
{
	struct seen reader, writer;

	setup();
	reader = (struct seen){.fd = pair[0]};
	writer = (struct seen){.fd = pair[0], .stop_after = 2};
	cr_assert_eq(knit_loop_add_reader(loop, pair[0], told, &reader), 0);
	cr_assert_eq(knit_loop_add_writer(loop, pair[0], told, &writer), 0);
	cr_assert_eq(knit_loop_run_forever(loop), 0);
	cr_assert_eq(reader.calls, 0);
	cr_assert_eq(knit_loop_remove_writer(loop, pair[0]), 1);
	passes(5);
	cr_assert_eq(writer.calls, 2);
	cr_assert_eq(knit_loop_remove_writer(loop, pair[0]), 0);
	cr_assert_eq(write(pair[1], "a", 1), 1);
	reader.stop_after = 1;
	cr_assert_eq(knit_loop_run_forever(loop), 0);
	finish();
}

/* Runs when @arg's descriptor has been found readable, before its callback. */
static void replace(void *arg)
{
	struct seen *seen = arg;

	cr_assert_eq(knit_loop_add_reader(NULL, pair[0], told, seen), 0);
}

Test(io_reader, a_new_one_replaces_the_old_one_that_was_about_to_be_called)
{
	struct seen first, second;

	setup();
	first = (struct seen){.fd = pair[0]};
	second = (struct seen){.fd = pair[0], .take = true, .stop_after = 1};
	cr_assert_eq(write(pair[1], "a", 1), 1);
	cr_assert_eq(knit_loop_add_reader(loop, pair[0], told, &first), 0);
	/* Until the poll's completion has been collected, in a pass that replaces first. */
	for (int i = 0; i < 50 && first.calls == 0 && second.calls == 0; i++) {
		knit_loop_call_soon(loop, replace, i % 2 ? &second : &first);
		passes(1);
	}
	cr_assert_eq(knit_loop_add_reader(loop, pair[0], told, &second), 0);
	if (second.calls == 0)
		cr_assert_eq(knit_loop_run_forever(loop), 0);
	passes(5);
	cr_assert_eq(second.calls, 1);
	finish();
}

static void remove_it(void *arg)
{
	(void)arg;
	cr_assert_eq(knit_loop_remove_reader(NULL, pair[0]), 1);
	knit_loop_stop(NULL);
}

Test(io_reader, removed_after_it_was_found_ready_it_is_not_called)
{
	struct seen seen;

	setup();
	seen = (struct seen){.fd = pair[0]};
	cr_assert_eq(knit_loop_add_reader(loop, pair[0], told, &seen), 0);
	passes(2); /* its poll is in the kernel */
	cr_assert_eq(write(pair[1], "a", 1), 1);
	/* In the pass that collects the completion this stands before it. */
	knit_loop_call_soon(loop, remove_it, NULL);
	cr_assert_eq(knit_loop_run_forever(loop), 0);
	passes(5);
	cr_assert_eq(seen.calls, 0);
	finish();
}

Test(io_reader, a_loop_closes_with_readers_in_every_state)
{
	struct seen seen;

	for (int state = 0; state < 3; state++) {
		setup();
		seen = (struct seen){.fd = pair[0]};
		cr_assert_eq(knit_loop_add_reader(loop, pair[0], told, &seen), 0);
		cr_assert_eq(knit_loop_add_writer(loop, pair[1], told, &seen), 0);
		passes(state);
		finish();
	}
}

static intptr_t close_it(void *arg)
{
	(void)arg;
	return knit_close(pair[0]);
}

Test(io_reader, its_descriptor_is_EBUSY_until_it_is_removed)
{
	struct seen seen = {0};
	int listening;

	setup();
	cr_assert_eq(knit_loop_add_reader(loop, pair[0], told, &seen), 0);
	cr_assert_eq(knit_loop_run_until_complete(loop, close_it, NULL), -EBUSY);
	cr_assert_eq(knit_loop_remove_reader(loop, pair[0]), 1);
	cr_assert_eq(knit_loop_run_until_complete(loop, close_it, NULL), 0);
	listening = dup(pair[1]);
	cr_assert_eq(listening, pair[0], "the number is free");
	finish();
}

Test(io_reader, bad_arguments_are_refused)
{
	struct seen seen = {0};

	setup();
	cr_assert_eq(knit_loop_add_reader(loop, pair[0], NULL, NULL), -EINVAL);
	cr_assert_eq(knit_loop_add_reader(loop, -1, told, &seen), -EBADF);
	cr_assert_eq(knit_loop_add_writer(loop, 1 << 20, told, &seen), -EBADF);
	cr_assert_eq(knit_loop_add_reader(NULL, pair[0], told, &seen), -KNIT_ENOLOOP);
	cr_assert_eq(knit_loop_remove_reader(NULL, pair[0]), -KNIT_ENOLOOP);
	cr_assert_eq(knit_loop_remove_reader(loop, -1), 0);
	cr_assert_eq(knit_loop_close(loop), 0);
	cr_assert_eq(knit_loop_add_reader(loop, pair[0], told, &seen), -KNIT_ECLOSED);
	finish();
}

/* ---- what fails ---------------------------------------------------------------------- */

static void note_code(knit_loop *told_loop, const knit_exception_context *context, void *code)
{
	(void)told_loop;
	*(int *)code = context->code;
}

Test(io_reader, without_memory_it_is_refused_and_nothing_is_left)
{
	struct seen seen = {0};

	setup();
	for (int allow = 0; allow < 2; allow++) {
		kn_alloc_fail_after(allow);
		cr_assert_eq(knit_loop_add_reader(loop, pair[0], told, &seen), -ENOMEM);
		kn_alloc_fail_after(-1);
		cr_assert_eq(knit_loop_remove_reader(loop, pair[0]), 0);
	}
	cr_assert_eq(knit_loop_run_until_complete(loop, close_it, NULL), 0, "it is nobody's");
	pair[0] = dup(pair[1]);
	finish();
}

Test(io_reader, one_that_cannot_be_watched_is_told_of_and_removed)
{
	struct seen seen = {0};
	int code = 0, high;

	setup();
	/* A number that the engine has no room for yet. */
	high = fcntl(pair[0], F_DUPFD_CLOEXEC, 600);
	cr_assert_geq(high, 600);
	knit_loop_set_exception_handler(loop, note_code, &code);
	cr_assert_eq(knit_loop_run_once(loop, 0), 0);
	cr_assert_eq(knit_loop_add_reader(loop, high, told, &seen), 0);
	kn_alloc_fail_after(0);
	passes(1);
	kn_alloc_fail_after(-1);
	cr_assert_eq(code, ENOMEM);
	cr_assert_eq(knit_loop_remove_reader(loop, high), 0);
	close(high);
	finish();
}

static bool fail_polls(void *fd, const struct kn_op *op, int *result)
{
	if (op && op->opcode == KN_OP_POLL && op->fd == *(int *)fd)
		*result = -EIO;
	return true;
}

Test(io_reader, one_whose_poll_fails_is_told_of_and_removed)
{
	const struct kn_engine_faults faults = {.arg = &pair[0], .completion = fail_polls};
	struct seen seen = {0};
	int code = 0;

	setup();
	knit_loop_set_exception_handler(loop, note_code, &code);
	cr_assert_eq(knit_loop_run_once(loop, 0), 0);
	kn_engine_set_faults(loop->engine, &faults);
	cr_assert_eq(write(pair[1], "a", 1), 1);
	cr_assert_eq(knit_loop_add_reader(loop, pair[0], told, &seen), 0);
	for (int i = 0; i < 100 && !code; i++)
		passes(1);
	cr_assert_eq(code, EIO);
	cr_assert_eq(seen.calls, 0);
	cr_assert_eq(knit_loop_remove_reader(loop, pair[0]), 0);
	kn_engine_set_faults(loop->engine, NULL);
	finish();
}
