/* SPDX-License-Identifier: MIT */
/* test_file.c - open, read, write and fsync: offsets, positions, pipes, errors. */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include "rig.h"

/* A folder of this test's own. */
static char folder[64];

static void make_folder(void)
{
	snprintf(folder, sizeof(folder), "/tmp/knit-io-XXXXXX");
	cr_assert_not_null(mkdtemp(folder));
}

static const char *path_of(const char *name)
{
	static char path[128];

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	return path;
}

static intptr_t opens(void *arg)
{
	struct stat about;
	mode_t mask = umask(022);
	int fd;

	(void)arg;
	fd = knit_open(path_of("new"), O_RDWR | O_CREAT | O_EXCL, 0646);
	cr_assert_geq(fd, 0, "%s", knit_errname(fd));
	cr_assert_eq(fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
	cr_assert_eq(fstat(fd, &about), 0);
	cr_assert_eq(about.st_mode & 0777, 0644, "the mode, less the mask");
	cr_assert_eq(fcntl(fd, F_GETFL) & O_ACCMODE, O_RDWR);
	close(fd);
	fd = knit_open(path_of("new"), O_WRONLY | O_APPEND, 0);
	cr_assert_geq(fd, 0);
	cr_assert_eq(fcntl(fd, F_GETFL) & (O_ACCMODE | O_APPEND), O_WRONLY | O_APPEND);
	close(fd);

	cr_assert_eq(knit_open(path_of("new"), O_RDWR | O_CREAT | O_EXCL, 0644), -EEXIST);
	cr_assert_eq(knit_open(path_of("absent"), O_RDONLY, 0), -ENOENT);
	cr_assert_eq(knit_open(path_of("new/below"), O_RDONLY, 0), -ENOTDIR);
	cr_assert_eq(knit_open("", O_RDONLY, 0), -ENOENT);
	cr_assert_eq(knit_open(folder, O_RDWR, 0), -EISDIR);
	cr_assert_eq(knit_open(NULL, O_RDONLY, 0), -EFAULT);
	unlink(path_of("new"));
	umask(mask);
	return 0;
}

Test(io_file, open_opens_and_creates_and_says_why_not)
{
	make_folder();
	rig_run(opens, NULL);
	rmdir(folder);
}

static intptr_t reads_and_writes(void *arg)
{
	int fd = rig_file();
	char buffer[16] = "";

	(void)arg;
	/* At an offset: the position stays. */
	cr_assert_eq(knit_write(fd, "0123456789", 10, 0), 10);
	cr_assert_eq(knit_write(fd, "xyz", 3, 4), 3);
	cr_assert_eq(lseek(fd, 0, SEEK_CUR), 0);
	cr_assert_eq(knit_read(fd, buffer, 16, 2), 8);
	cr_assert_str_eq(buffer, "23xyz789");
	cr_assert_eq(lseek(fd, 0, SEEK_CUR), 0);
	/* At the position: it moves. */
	memset(buffer, 0, sizeof(buffer));
	cr_assert_eq(knit_read(fd, buffer, 4, -1), 4);
	cr_assert_eq(knit_read(fd, buffer + 4, 12, -1), 6);
	cr_assert_str_eq(buffer, "0123xyz789");
	cr_assert_eq(knit_read(fd, buffer, 1, -1), 0, "the end");
	cr_assert_eq(knit_read(fd, buffer, 1, 1000), 0, "beyond the end");
	cr_assert_eq(knit_write(fd, "more", 4, -1), 4);
	cr_assert_eq(lseek(fd, 0, SEEK_END), 14);
	/* Nothing, and more than 32 bits can say. */
	cr_assert_eq(knit_read(fd, buffer, 0, 0), 0);
	cr_assert_eq(knit_write(fd, buffer, 0, 0), 0);
	memset(buffer, 0, sizeof(buffer));
	cr_assert_eq(knit_read(fd, buffer, (size_t)1 << 32, 8), 6);
	cr_assert_str_eq(buffer, "89more");
	cr_assert_eq(knit_fsync(fd), 0);
	close(fd);
	return 0;
}

Test(io_file, read_and_write_work_at_an_offset_and_at_the_position)
{
	rig_run(reads_and_writes, NULL);
}

static intptr_t far_away(void *arg)
{
	const int64_t far = INT64_C(5) << 32;
	int fd = rig_file();
	char byte = 0;

	(void)arg;
	cr_assert_eq(knit_write(fd, "f", 1, far), 1);
	cr_assert_eq(lseek(fd, 0, SEEK_END), far + 1);
	cr_assert_eq(knit_read(fd, &byte, 1, far), 1);
	cr_assert_eq(byte, 'f');
	close(fd);
	return 0;
}

Test(io_file, offsets_have_64_bits)
{
	rig_run(far_away, NULL);
}

static intptr_t errors(void *arg)
{
	int fd = rig_file(), ends[2], other;
	char byte = 0;

	(void)arg;
	cr_assert_eq(knit_read(fd, &byte, 1, -2), -EINVAL);
	cr_assert_eq(knit_write(fd, &byte, 1, INT64_MIN), -EINVAL);
	cr_assert_eq(knit_write(fd, &byte, 1, 0), 1);
	cr_assert_eq(knit_read(fd, NULL, 1, 0), -EFAULT);
	close(fd);
	rig_pipe(ends);
	cr_assert_eq(knit_read(ends[1], &byte, 1, -1), -EBADF, "the end for writing");
	cr_assert_eq(knit_write(ends[0], &byte, 1, -1), -EBADF, "the end for reading");
	cr_assert_eq(knit_fsync(ends[1]), -EINVAL, "a pipe");
	cr_assert_eq(write(ends[1], "x", 1), 1);
	cr_assert_eq(knit_read(ends[0], &byte, 1, -2), -EINVAL);
	cr_assert_eq(rig_drain(ends[0]), 1);
	rig_close_all(ends, 2);
	other = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	cr_assert_eq(knit_read(other, &byte, 1, 0), -EISDIR);
	close(other);
	other = open("/dev/full", O_WRONLY | O_CLOEXEC);
	if (other >= 0) {
		cr_assert_eq(knit_write(other, &byte, 1, -1), -ENOSPC);
		close(other);
	}
	return 0;
}

Test(io_file, errors_come_out_as_they_are)
{
	rig_run(errors, NULL);
}

/* ---- pipes ---- */

static intptr_t pipes(void *arg)
{
	int ends[2], blocking = (int)(intptr_t)arg;
	char buffer[8] = "";
	struct rig_call call = {.make = rig_read, .buffer = buffer, .size = sizeof(buffer)};
	knit_task *task;

	rig_pipe(ends);
	if (!blocking) {
		fcntl(ends[0], F_SETFL, O_NONBLOCK);
		fcntl(ends[1], F_SETFL, O_NONBLOCK);
	}
	call.fd = ends[0];
	task = rig_start(&call);
	rig_yield(20);
	cr_assert_not(call.done, "there is nothing to read yet");
	cr_assert_eq(knit_write(ends[1], "pipe", 4, -1), 4);
	rig_finish(task);
	cr_assert_eq(call.result, 4);
	cr_assert_str_eq(buffer, "pipe");
	close(ends[1]);
	cr_assert_eq(knit_read(ends[0], buffer, 8, -1), 0, "the end");
	close(ends[0]);
	return 0;
}

Test(io_file, a_pipe_is_waited_for_whether_it_blocks_or_not)
{
	rig_run(pipes, (void *)0);
	rig_run(pipes, (void *)1);
}

static intptr_t full_pipe(void *arg)
{
	static char junk[70000];
	int ends[2];
	struct rig_call call = {.make = rig_write, .buffer = junk, .size = 4096};
	knit_task *task;
	size_t room;

	(void)arg;
	rig_pipe(ends);
	room = rig_fill(ends[1]);
	call.fd = ends[1];
	task = rig_start(&call);
	rig_yield(20);
	cr_assert_not(call.done, "the pipe is full");
	cr_assert_eq(read(ends[0], junk, sizeof(junk)), (ssize_t)room);
	rig_finish(task);
	cr_assert_eq(call.result, 4096);
	cr_assert_eq(rig_drain(ends[0]), 4096);
	rig_close_all(ends, 2);
	return 0;
}

Test(io_file, write_waits_for_room_in_a_pipe)
{
	rig_run(full_pipe, NULL);
}

/* ---- SIGPIPE ---- */

static intptr_t breaks_pipes(void *arg)
{
	int ends[2];
	char byte = 'x';
	struct rig_call call = {.make = rig_write, .buffer = &byte, .size = 1};
	knit_task *task;

	(void)arg;
	rig_pipe(ends);
	close(ends[0]);
	cr_assert_eq(knit_write(ends[1], &byte, 1, -1), -EPIPE);
	close(ends[1]);
	/* Nor from a socket, which has no flag against it here. */
	rig_pair(AF_UNIX, ends);
	close(ends[0]);
	cr_assert_eq(knit_write(ends[1], &byte, 1, -1), -EPIPE);
	close(ends[1]);
	/* While it waits: the kernel makes the second attempt when nobody asks it to. */
	rig_pipe(ends);
	rig_fill(ends[1]);
	call.fd = ends[1];
	task = rig_start(&call);
	rig_yield(RIG_IN_KERNEL);
	close(ends[0]);
	rig_finish(task);
	cr_assert_eq(call.result, -EPIPE);
	close(ends[1]);
	return 0;
}

/* The default action ends the process, so that the test sees whether it comes. */
Test(io_file, write_to_a_pipe_without_reader_is_EPIPE_and_no_signal)
{
	sigset_t set;

	signal(SIGPIPE, SIG_DFL);
	rig_run(breaks_pipes, NULL);
	/* Nor is one left behind for later. */
	cr_assert_eq(sigpending(&set), 0);
	cr_assert_not(sigismember(&set, SIGPIPE));
	cr_assert_eq(pthread_sigmask(SIG_BLOCK, NULL, &set), 0);
	cr_assert_not(sigismember(&set, SIGPIPE), "the mask is as before");
}

static intptr_t write_for_ever(void *arg)
{
	char byte = 'x';

	return knit_write(*(int *)arg, &byte, 1, -1);
}

/* The reader goes while the loop does not run, and then the loop is closed. */
Test(io_file, closing_a_loop_with_a_write_to_a_broken_pipe_raises_no_signal)
{
	knit_loop *loop = knit_loop_new();
	int ends[2];

	signal(SIGPIPE, SIG_DFL);
	rig_pipe(ends);
	rig_fill(ends[1]);
	cr_assert_not_null(loop);
	rig_silence(loop);
	knit_task *task = knit_loop_create_task(loop, write_for_ever, &ends[1]);
	for (int i = 0; i < 3; i++)
		knit_loop_run_once(loop, 0);
	close(ends[0]);
	cr_assert_eq(knit_loop_close(loop), 0);
	cr_assert(knit_task_done(task));
	knit_task_unref(task);
	knit_loop_unref(loop);
	close(ends[1]);
}
