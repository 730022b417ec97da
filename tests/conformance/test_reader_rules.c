/* SPDX-License-Identifier: MIT */
/* test_reader_rules.c - rules 26 to 28: add_reader and add_writer. */
#include "common.h"
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>
#include "knit/reader.h"
#include "knit/socket.h"

static knit_loop *loop;
static int ends[2];

static void say(void *text)
{
	trace("%s", (const char *)text);
	knit_loop_stop(NULL);
}

CALLBACK(remove_reader)
{
	trace("removed %d", knit_loop_remove_reader(NULL, ends[0]));
	knit_loop_stop(NULL);
}

static void passes(int count)
{
	while (count--)
		cr_assert_geq(knit_loop_run_once(loop, 0), 0);
}

static void setup(void)
{
	loop = knit_loop_new();
	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
}

static void finish(void)
{
	knit_loop_unref(loop);
	close(ends[0]);
	close(ends[1]);
}

Test(rules, r026_a_reader_removed_between_poll_and_dispatch_does_not_run)
{
	setup();
	cr_assert_eq(knit_loop_add_reader(loop, ends[0], say, (void *)"read"), 0);
	passes(2);
	cr_assert_eq(write(ends[1], "a", 1), 1);
	/* Its pass finds the descriptor readable, and has this before the reader. */
	knit_loop_call_soon(loop, remove_reader, NULL);
	cr_assert_eq(knit_loop_run_forever(loop), 0);
	passes(3);
	assert_trace("removed 1");
	finish();
}

Test(rules, r027_add_reader_replaces_and_reader_and_writer_are_independent)
{
	setup();
	cr_assert_eq(knit_loop_add_reader(loop, ends[0], say, (void *)"first"), 0);
	cr_assert_eq(knit_loop_add_reader(loop, ends[0], say, (void *)"second"), 0);
	cr_assert_eq(knit_loop_remove_writer(loop, ends[0]), 0);
	cr_assert_eq(write(ends[1], "a", 1), 1);
	cr_assert_eq(knit_loop_run_forever(loop), 0);
	cr_assert_eq(knit_loop_remove_reader(loop, ends[0]), 1);
	cr_assert_eq(knit_loop_remove_reader(loop, ends[0]), 0);
	cr_assert_eq(knit_loop_add_writer(loop, ends[0], say, (void *)"writable"), 0);
	cr_assert_eq(knit_loop_run_forever(loop), 0);
	cr_assert_eq(knit_loop_remove_writer(loop, ends[0]), 1);
	passes(3);
	assert_trace("second | writable");
	finish();
}

CORO(listen_and_watch)
{
	struct sockaddr_in address = {.sin_family = AF_INET};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	knit_listener *listener;

	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 || listen(fd, 1) < 0)
		return -errno;
	listener = knit_listener_new(fd);
	trace("%s", knit_errname(knit_loop_add_reader(NULL, fd, say, NULL)));
	return knit_listener_close(listener);
}

/* Differs: a listener in the place of a transport; sock_* calls on its descriptor are not refused
 */
Test(rules, r028_a_descriptor_that_an_object_owns_cannot_be_watched)
{
	setup();
	cr_assert_eq(knit_loop_run_until_complete(loop, listen_and_watch, NULL), 0);
	assert_trace("EBUSY");
	finish();
}
