/* SPDX-License-Identifier: MIT */
/* cached.c - what a read finds in memory needs no trip through the ring.
 *
 * preadv2(2) with RWF_NOWAIT copies what the page cache holds and never waits for a disk. Through
 * the ring the same copy is made just as directly, but the task is suspended for it, and that
 * costs a pass. So a read is tried here first. Whatever is not a plain success (not in memory, a
 * file system that cannot tell, every error) is left to the ring, which says it again.
 *
 * The flag does not keep an O_DIRECT read from waiting for the device, and on a pipe or a socket
 * an attempt is as a rule in vain. So the descriptor is asked first, once a pass while the same
 * one is read. The answer is a hint: a number may be another file's before the pass is over, and
 * then a read takes the slower of two right ways.
 *
 * A call that returns without suspending keeps the others waiting: see kn_operation_may_return().
 */
#include "io/operation.h"
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#ifndef RWF_NOWAIT
#define RWF_NOWAIT 0x00000008
#endif

#define SECTOR 512 /* O_DIRECT moves multiples of that, or of more */

/* Not what has no position; nor an eventfd and the like, which say they have one: what they give is
 * one message, and a second read is for the next. Nobody is asked over a network. */
static bool is_file(int fd)
{
	struct statx status;

	return statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_TYPE, &status) == 0 &&
	       (S_ISREG(status.stx_mode) || S_ISBLK(status.stx_mode));
}

static bool ask_descriptor(int fd, bool at_position)
{
	int flags = fcntl(fd, F_GETFL);

	if (flags < 0 || flags & O_DIRECT)
		return false;
	/* What has no position cannot be read at another one either: that read fails by itself. */
	return !at_position || is_file(fd);
}

/* May a read of @fd find something in memory? */
static bool may_be_cached(struct knit_loop *loop, int fd, size_t size, int64_t offset)
{
	struct kn_looked_at *last = &loop->looked_at;

	if (offset >= 0 && (size | (size_t)offset) % SECTOR)
		return true;
	if (last->fd != fd || last->pass != loop->counters.passes ||
	    last->at_position != (offset < 0))
		*last = (struct kn_looked_at){
		        .fd = fd,
		        .pass = loop->counters.passes,
		        .at_position = offset < 0,
		        .cached = ask_descriptor(fd, offset < 0),
		};
	return last->cached;
}

/* @buffer as a number: nobody has said yet that it is an address. */
static ssize_t read_no_wait(int fd, uintptr_t buffer, size_t size, int64_t offset)
{
	struct iovec piece = {(void *)buffer, size};

	/* Not the C library's function: that one is a point where a thread may be cancelled. */
	return syscall(SYS_preadv2, fd, &piece, 1, (long)offset, (long)(offset >> 32), RWF_NOWAIT);
}

bool kn_read_cached(int fd, void *buffer, size_t size, int64_t offset, size_t *ret_got)
{
	struct knit_loop *loop = kn_self.loop;
	int saved = errno;
	size_t got = 0;
	ssize_t n;

	*ret_got = 0;
	if (!kn_operation_may_return() || !may_be_cached(loop, fd, size, offset) ||
	    !kn_operation_take_budget(size))
		return false;
	/* Fewer bytes than asked for may be the end of the file, or of what is in memory. */
	do {
		n = read_no_wait(fd, (uintptr_t)buffer + got, size - got,
		                 offset < 0 ? -1 : offset + (int64_t)got);
		if (n > 0)
			got += (size_t)n;
	} while (n > 0 && got < size);
	if (n < 0 && errno == EOPNOTSUPP && loop->looked_at.fd == fd)
		loop->looked_at.cached = false;
	errno = saved;
	*ret_got = got;
	return n >= 0;
}
